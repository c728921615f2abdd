//! What the landscape reaches over RabbitMQ and PostgreSQL, beside what their clients reach alone in the same run.
//!
//! `cargo bench -p landscape --bench rabbitmq`. The servers come from Docker, or from `RABBITMQ_URL` and
//! `DATABASE_URL`. Machines differ and are never quiet: quote the ratios.

// A benchmark prints, and ends where something does not work.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::cast_precision_loss)]

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use product_service::Products;
use serde_json::json;
use shared::api::{PRODUCTS, Product};
use shared::database::inbox::{self, Outcome};
use shared::database::{Database, PoolConfig, letters};
use shared::messaging::event::Event;
use shared::messaging::processor::Handler;
use shared::messaging::rabbitmq::RabbitBinder;
use shared::messaging::{Binder, ProducerBinding};
use shared::service::config::{Config, Variables};
use shared::service::platform::Platform;
use std::time::{Duration, Instant};
use testkit::Running;
use testkit::servers::{self, Vhost};

/// Events of a measurement, those that wait for a confirm or an acknowledgement, those of one batch.
const EVENTS: i32 = 70_000;
const WINDOW: usize = 1_000;
const BATCH: usize = 500;
/// A composite of 7 events a request, so many at a time.
const REQUEST: i32 = 7;
const CLIENTS: i32 = 128;

#[tokio::main]
async fn main() {
    let (broker, database) = (servers::rabbitmq().await.unwrap(), servers::postgres().await.unwrap());
    let vhost = broker.vhost().await;

    let bare = publish(&vhost).await;
    println!("bare client, {WINDOW} confirms in flight     {bare:>8.0} events/s");
    let posted = post(&vhost).await;
    println!(
        "{CLIENTS} concurrent POSTs of {REQUEST} events      {posted:>8.0} events/s  ({:.2} of bare)",
        posted / bare
    );

    let consumed = consume(&vhost).await;
    println!("consume and acknowledge alone          {consumed:>8.0} events/s");
    let written = write(&database.database().await).await;
    println!("write the same batches alone           {written:>8.0} events/s");
    let vhost = broker.vhost().await;
    publish(&vhost).await;
    let (both, possible) = (apply(&vhost, &database.database().await).await, 1.0 / (1.0 / consumed + 1.0 / written));
    println!("consume, apply, acknowledge            {both:>8.0} events/s  ({:.2} of both in turn)", both / possible);
}

fn product(id: i32) -> Product {
    Product { product_id: id, name: Some(format!("product {id}")), weight: 1, service_address: None }
}

fn body(id: i32) -> Vec<u8> {
    json!({"eventType": "CREATE", "key": id, "data": product(id), "eventCreatedAt": "2026-11-23T07:19:34.394747869Z"})
        .to_string()
        .into_bytes()
}

/// A channel of the bare client on a broker where everything is declared, as the composite declares it.
async fn channel(vhost: &Vhost) -> (Channel, Connection) {
    let binder = RabbitBinder::open(vhost.url.parse().unwrap(), Some(&vhost.management), "bench").unwrap();
    let binding = ProducerBinding {
        destination: PRODUCTS.name.to_owned(),
        partitions: 1,
        required_groups: vec![PRODUCTS.group.to_owned()],
    };
    binder.producer(&[binding]).await.unwrap();
    let connection = Connection::connect(&vhost.url, ConnectionProperties::default()).await.unwrap();
    (connection.create_channel().await.unwrap(), connection)
}

async fn publish(vhost: &Vhost) -> f64 {
    let (channel, _connection) = channel(vhost).await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let started = Instant::now();
    let mut confirms = FuturesUnordered::new();
    for id in 1..=EVENTS {
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(2)
            .with_message_id(uuid::Uuid::now_v7().to_string().into());
        let options = BasicPublishOptions::default();
        let body = body(id);
        let sent = channel.basic_publish("products".into(), "products".into(), options, &body, properties);
        confirms.push(sent.await.unwrap());
        if confirms.len() >= WINDOW {
            assert!(confirms.next().await.unwrap().unwrap().is_ack());
        }
    }
    while let Some(confirm) = confirms.next().await {
        assert!(confirm.unwrap().is_ack());
    }
    f64::from(EVENTS) / started.elapsed().as_secs_f64()
}

fn config(vhost: &Vhost, database: &str) -> Config {
    let set = [
        ("BINDER", "rabbitmq"),
        ("RABBITMQ_URL", &vhost.url),
        ("RABBITMQ_MANAGEMENT_URL", &vhost.management),
        ("DATABASE_URL", database),
    ];
    Config::read(&Variables::from(set)).unwrap()
}

async fn post(vhost: &Vhost) -> f64 {
    let platform = Platform::open(config(vhost, ""), "bench").await.unwrap();
    let composite = Running::start(platform, product_composite_service::service).await;
    composite.answers("/actuator/health/readiness", 200).await;
    let per_client = EVENTS / REQUEST / CLIENTS;
    let started = Instant::now();
    join_all((0..CLIENTS).map(|client| {
        let composite = &composite;
        async move {
            for id in client * per_client + 1..=(client + 1) * per_client {
                let recommendations: Vec<_> =
                    (1..=3).map(|n| json!({"recommendationId": n, "author": "a", "rate": n, "content": "c"})).collect();
                let reviews: Vec<_> =
                    (1..=3).map(|n| json!({"reviewId": n, "author": "a", "subject": "s", "content": "c"})).collect();
                let body = json!({"productId": id, "name": "n", "weight": 1, "recommendations": recommendations,
                                  "reviews": reviews});
                assert_eq!(composite.post("/product-composite", body.to_string()).await.status, 202);
            }
        }
    }))
    .await;
    let took = started.elapsed();
    composite.stop().await;
    f64::from(per_client * CLIENTS * REQUEST) / took.as_secs_f64()
}

async fn consume(vhost: &Vhost) -> f64 {
    let (channel, _connection) = channel(vhost).await;
    channel.basic_qos(u16::try_from(WINDOW).unwrap(), BasicQosOptions::default()).await.unwrap();
    let started = Instant::now();
    let options = BasicConsumeOptions::default();
    let queue = format!("{}.{}", PRODUCTS.name, PRODUCTS.group);
    let mut consumer = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await.unwrap();
    for number in 1..=EVENTS {
        let delivery = consumer.next().await.unwrap().unwrap();
        if number % i32::try_from(BATCH).unwrap() == 0 {
            delivery.acker.ack(BasicAckOptions { multiple: true }).await.unwrap();
        }
    }
    f64::from(EVENTS) / started.elapsed().as_secs_f64()
}

async fn open(url: &str) -> Database {
    Database::open(url, &PoolConfig::default(), &sqlx::migrate!("../product-service/migrations")).await.unwrap()
}

async fn write(url: &str) -> f64 {
    let database = open(url).await;
    let products = Products::new(database.clone(), "bench".into());
    let events: Vec<_> = (1..=EVENTS)
        .map(|id| (uuid::Uuid::now_v7().to_string(), Event::Create { key: id, data: product(id) }))
        .collect();
    let started = Instant::now();
    for batch in events.chunks(BATCH) {
        let mut transaction = database.begin().await.unwrap();
        let ids: Vec<&str> = batch.iter().map(|(id, _)| id.as_str()).collect();
        inbox::take(&mut transaction, PRODUCTS.name, 0, Outcome::Applied, &ids).await.unwrap();
        let keys: Vec<i32> = batch.iter().map(|(_, event)| event.key()).collect();
        letters::parked(&mut transaction, PRODUCTS.name, &keys).await.unwrap();
        let events: Vec<_> = batch.iter().map(|(_, event)| event.clone()).collect();
        products.apply(&mut transaction, &events).await.unwrap();
        transaction.commit().await.unwrap();
    }
    f64::from(EVENTS) / started.elapsed().as_secs_f64()
}

async fn apply(vhost: &Vhost, url: &str) -> f64 {
    let platform = Platform::open(config(vhost, url), "bench").await.unwrap();
    let looking = open(url).await;
    let started = Instant::now();
    let service = Running::start(platform, product_service::service).await;
    loop {
        let count: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM products").fetch_one(looking.readers()).await.unwrap();
        if count == i64::from(EVENTS) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = started.elapsed();
    service.stop().await;
    f64::from(EVENTS) / took.as_secs_f64()
}
