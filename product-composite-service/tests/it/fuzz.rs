//! Requests that nobody sends on purpose: each is refused with a sentence or accepted as events that can be read; none
//! is a failure of ours.

// What a large run came to is to be read.
#![expect(clippy::print_stdout)]

use crate::cores;
use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, Method, Request, StatusCode};
use serde_json::{Value, json};
use shared::api::{Product, Recommendation, Review};
use shared::database::Database;
use shared::messaging::event::Event;
use shared::messaging::{
    Binder, BinderError, BinderHealth, Consumer, ConsumerBinding, Copied, DeadLetter, DeadLetters, Outgoing, Producer,
    ProducerBinding, Tail, Topic,
};
use shared::service::config::{Config, Variables};
use shared::service::platform::Platform;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use testkit::Fuzz;
use tokio::task::JoinSet;
use tower::ServiceExt;

/// A binder that takes what it is sent and reads it as the core services do.
struct Reading;

#[async_trait]
impl Producer for Reading {
    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), BinderError> {
        for Outgoing { destination, key, body, .. } in messages {
            let read = match destination.as_str() {
                "products" => Event::<Product>::from_body(&body).map(|event| event.key()),
                "recommendations" => Event::<Recommendation>::from_body(&body).map(|event| event.key()),
                _ => Event::<Review>::from_body(&body).map(|event| event.key()),
            };
            assert_eq!(read.unwrap(), key);
        }
        Ok(())
    }
}

#[async_trait]
impl Binder for Reading {
    fn name(&self) -> &'static str {
        "reading"
    }

    async fn producer(&self, _: &[ProducerBinding]) -> Result<Box<dyn Producer>, BinderError> {
        Ok(Box::new(Self))
    }

    async fn consumer(&self, _: &ConsumerBinding, _: &Database) -> Result<Box<dyn Consumer>, BinderError> {
        unreachable!("the composite consumes nothing")
    }

    async fn dead_letter(&self, _: &DeadLetter) -> Result<Copied, BinderError> {
        unreachable!("the composite gives nothing up")
    }

    async fn dead_letters(&self, _: &ConsumerBinding) -> Result<Option<Box<dyn DeadLetters>>, BinderError> {
        Ok(None)
    }

    async fn health(&self) -> BinderHealth {
        BinderHealth { up: true, details: Vec::new() }
    }

    async fn topics(&self) -> Result<Vec<Topic>, BinderError> {
        Ok(Vec::new())
    }

    async fn tail(&self, _: &str, _: Option<u32>, _: bool) -> Result<Box<dyn Tail>, BinderError> {
        unreachable!("nobody looks")
    }
}

/// The routes of the service, with all that stands before them.
async fn routes() -> Router {
    let config = Config::read(&Variables::default()).unwrap();
    // Nobody reads here, so nobody is asked.
    let config = Arc::new(Config { cores: cores(["http://127.0.0.1:1"; 3]), ..config });
    let platform = Platform { config, binder: Arc::new(Reading), eureka: None };
    product_composite_service::service(platform, "here".into()).await.unwrap().into_routes()
}

fn whole() -> Value {
    json!({
        "productId": 7, "name": "a product", "weight": 100,
        "recommendations": [
            {"recommendationId": 1, "author": "a", "rate": 5, "content": "good"},
            {"recommendationId": 2, "author": "b", "rate": 1, "content": "bad"},
        ],
        "reviews": [
            {"reviewId": 1, "author": "b", "subject": "s", "content": "fine"},
            {"reviewId": 2, "author": "c", "subject": "t", "content": "poor"},
        ],
        "serviceAddresses": {"cmp": "", "pro": "", "rev": "", "rec": ""},
    })
}

fn request(fuzz: &mut Fuzz, whole: &Value) -> Request<Body> {
    let mut request = Request::new(Body::from(fuzz.mutated(whole)));
    let (mut path, mut method) = ("/product-composite".to_owned(), Method::POST);
    if fuzz.one_in(20) {
        let id: String = fuzz.text().bytes().take(200).map(|byte| format!("%{byte:02X}")).collect();
        (path, method) = (format!("{path}/{id}"), Method::DELETE);
    }
    (*request.uri_mut(), *request.method_mut()) = (path.parse().unwrap(), method);
    let mut header = |name: &'static str, value: Vec<u8>| {
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            request.headers_mut().insert(name, value);
        }
    };
    let content_type = if fuzz.one_in(50) { fuzz.text() } else { "application/json".to_owned() };
    header("content-type", content_type.into_bytes());
    if fuzz.one_in(10) {
        header("idempotency-key", if fuzz.one_in(2) { fuzz.bytes(300) } else { fuzz.text().into_bytes() });
    }
    if fuzz.one_in(50) {
        header("traceparent", fuzz.text().into_bytes());
    }
    request
}

/// Sends so many requests of a seed, and counts the answers by status.
async fn send(routes: Router, seed: u64, count: u32) -> BTreeMap<u16, u32> {
    let (mut fuzz, whole, mut answers) = (Fuzz::new(seed), whole(), BTreeMap::new());
    for number in 0..count {
        let answer = routes.clone().oneshot(request(&mut fuzz, &whole)).await.unwrap();
        let status = answer.status();
        *answers.entry(status.as_u16()).or_default() += 1;
        assert!(!status.is_server_error(), "request {number} of seed {seed}: {answer:?}");
        if status != StatusCode::ACCEPTED {
            let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["status"], status.as_u16(), "request {number} of seed {seed}: {body}");
        }
    }
    answers
}

async fn send_all(seeds: u64, each: u32) {
    let (routes, started) = (routes().await, Instant::now());
    let mut senders: JoinSet<_> = (1..=seeds).map(|seed| send(routes.clone(), seed, each)).collect();
    let mut answers: BTreeMap<u16, u32> = BTreeMap::new();
    while let Some(one) = senders.join_next().await {
        for (status, count) in one.unwrap() {
            *answers.entry(status).or_default() += count;
        }
    }
    println!("{} requests in {:.0?}: {answers:?}", answers.values().sum::<u32>(), started.elapsed());
    for status in [202, 400, 415, 422] {
        assert!(answers.contains_key(&status), "no request was answered {status}: {answers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_a_failure_of_ours() {
    send_all(4, 500).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: cargo test --profile profiling -p product-composite-service fuzz -- --ignored --nocapture"]
async fn no_request_of_a_million_is_a_failure_of_ours() {
    send_all(8, 125_000).await;
}
