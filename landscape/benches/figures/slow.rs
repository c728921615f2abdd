//! A landscape whose broker is slower than whatever is asked of it: one request at a time, some milliseconds each.

use async_trait::async_trait;
use shared::database::Database;
use shared::messaging::{
    Binder, BinderError, BinderHealth, Consumer, ConsumerBinding, Copied, DeadLetter, DeadLetters, Outgoing, Producer,
    ProducerBinding, Tail, Topic,
};
use shared::service::config::{Config, Cores, Variables};
use shared::service::platform::Platform;
use shared::service::{Service, ServiceAddress, service_address};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

/// How long it takes for a request.
const EACH: Duration = Duration::from_millis(2);

/// Runs it until the process is killed, and says where it listens.
pub(crate) async fn serve() {
    let platform = Platform::open(Config::read(&Variables::from_env()).unwrap(), "slow").await.unwrap();
    let mut cores = Vec::new();
    cores.push(run(platform.clone(), product_service::service).await);
    cores.push(run(platform.clone(), recommendation_service::service).await);
    cores.push(run(platform.clone(), review_service::service).await);
    let [product, recommendation, review] = [0, 1, 2].map(|at| cores[at].parse().unwrap());
    let config = Config { cores: Cores { product, recommendation, review }, ..Config::clone(&platform.config) };
    let binder = Arc::new(Slow(platform.binder.clone()));
    let slow = Platform { config: Arc::new(config), binder, eureka: None };
    println!("{}", run(slow, product_composite_service::service).await);
    println!("{}", cores.join("\n"));
    std::future::pending().await
}

async fn run<F>(platform: Platform, wire: impl FnOnce(Platform, ServiceAddress) -> F) -> String
where
    F: Future<Output = anyhow::Result<Service>>,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (socket, address) = (listener.local_addr().unwrap(), service_address(&listener).await.unwrap());
    tokio::spawn(wire(platform, address).await.unwrap().run(listener, std::future::pending()));
    format!("http://{socket}")
}

struct Slow(Arc<dyn Binder>);

struct SlowProducer {
    inner: Box<dyn Producer>,
    turn: Mutex<()>,
}

#[async_trait]
impl Producer for SlowProducer {
    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), BinderError> {
        let _turn = self.turn.lock().await;
        tokio::time::sleep(EACH).await;
        self.inner.send(messages).await
    }
}

#[async_trait]
impl Binder for Slow {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    async fn producer(&self, bindings: &[ProducerBinding]) -> Result<Box<dyn Producer>, BinderError> {
        Ok(Box::new(SlowProducer { inner: self.0.producer(bindings).await?, turn: Mutex::default() }))
    }

    async fn consumer(&self, binding: &ConsumerBinding, database: &Database) -> Result<Box<dyn Consumer>, BinderError> {
        self.0.consumer(binding, database).await
    }

    async fn dead_letter(&self, letter: &DeadLetter) -> Result<Copied, BinderError> {
        self.0.dead_letter(letter).await
    }

    async fn dead_letters(&self, binding: &ConsumerBinding) -> Result<Option<Box<dyn DeadLetters>>, BinderError> {
        self.0.dead_letters(binding).await
    }

    async fn health(&self) -> BinderHealth {
        self.0.health().await
    }

    async fn topics(&self) -> Result<Vec<Topic>, BinderError> {
        self.0.topics().await
    }

    async fn tail(&self, topic: &str, partition: Option<u32>, all: bool) -> Result<Box<dyn Tail>, BinderError> {
        self.0.tail(topic, partition, all).await
    }
}
