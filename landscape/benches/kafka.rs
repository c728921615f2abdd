//! What the landscape reaches over Kafka and PostgreSQL, beside what their clients reach alone in the same run.
//!
//! `cargo bench -p landscape --bench kafka`. The servers come from Docker, or from `KAFKA_BROKERS` and
//! `DATABASE_URL`. Machines differ and are never quiet: quote the ratios.

// A benchmark prints, and ends where something does not work.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::cast_precision_loss)]

use futures_util::future::join_all;
use product_service::Products;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::json;
use shared::api::{PRODUCTS, Product};
use shared::database::inbox::{self, Outcome};
use shared::database::{Database, PoolConfig, letters};
use shared::messaging::event::Event;
use shared::messaging::kafka::KafkaBinder;
use shared::messaging::processor::Handler;
use shared::messaging::{Binder, ProducerBinding};
use shared::service::config::{Config, Variables};
use shared::service::platform::Platform;
use std::time::{Duration, Instant};
use testkit::Running;
use testkit::servers;

/// Events of a measurement, and those of one batch.
const EVENTS: i32 = 70_000;
const BATCH: usize = 500;
/// A composite of 7 events a request, so many at a time; the bare client has as many in one transaction.
const REQUEST: i32 = 7;
const CLIENTS: i32 = 128;

#[tokio::main]
async fn main() {
    let (broker, database) = (servers::kafka().await.unwrap(), servers::postgres().await.unwrap());
    let brokers = broker.bootstrap();
    let bare = publish(brokers).await;
    println!("bare client, {} in a transaction       {bare:>8.0} events/s", REQUEST * CLIENTS);
    let consumed = consume(brokers);
    println!("consume and commit alone               {consumed:>8.0} events/s");
    let written = write(&database.database().await).await;
    println!("write the same batches alone           {written:>8.0} events/s");
    let (both, possible) = (apply(brokers, &database.database().await).await, 1.0 / (1.0 / consumed + 1.0 / written));
    println!("consume, apply, commit                 {both:>8.0} events/s  ({:.2} of both in turn)", both / possible);
    let posted = post(brokers).await;
    println!(
        "{CLIENTS} concurrent POSTs of {REQUEST} events      {posted:>8.0} events/s  ({:.2} of bare)",
        posted / bare
    );
}

fn product(id: i32) -> Product {
    Product { product_id: id, name: Some(format!("product {id}")), weight: 1, service_address: None }
}

fn body(id: i32) -> Vec<u8> {
    json!({"eventType": "CREATE", "key": id, "data": product(id), "eventCreatedAt": "2026-11-23T07:19:34.394747869Z"})
        .to_string()
        .into_bytes()
}

/// Publishes products, in transactions as large as those of the composite under its load.
async fn publish(brokers: &str) -> f64 {
    let binder = KafkaBinder::open(brokers.parse().unwrap(), "bench").unwrap();
    let binding = ProducerBinding { destination: PRODUCTS.name.to_owned(), partitions: 1, required_groups: Vec::new() };
    binder.producer(&[binding]).await.unwrap();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("transactional.id", "bare").set("linger.ms", "0");
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(Duration::from_secs(10)).unwrap();
    let started = Instant::now();
    let ids: Vec<i32> = (1..=EVENTS).collect();
    for window in ids.chunks(usize::try_from(REQUEST * CLIENTS).unwrap()) {
        producer.begin_transaction().unwrap();
        for id in window {
            let body = body(*id);
            producer.send(BaseRecord::<(), [u8]>::to(PRODUCTS.name).partition(0).payload(&body)).unwrap();
        }
        // Woken again and again: left to the commit, it would sleep before it sends.
        while producer.flush(Duration::ZERO).is_err() {
            producer.poll(Duration::ZERO);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        producer.commit_transaction(Duration::from_secs(10)).unwrap();
    }
    f64::from(EVENTS) / started.elapsed().as_secs_f64()
}

fn config(brokers: &str, database: &str) -> Config {
    let set = [("BINDER", "kafka"), ("KAFKA_BROKERS", brokers), ("DATABASE_URL", database)];
    Config::read(&Variables::from(set)).unwrap()
}

async fn post(brokers: &str) -> f64 {
    let platform = Platform::open(config(brokers, ""), "bench").await.unwrap();
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

fn consume(brokers: &str) -> f64 {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "bench").set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[PRODUCTS.name]).unwrap();
    let mut started = None;
    for number in 0..EVENTS {
        let record = loop {
            if let Some(record) = consumer.poll(Duration::from_secs(1)) {
                break record.unwrap();
            }
        };
        // Joining a group takes its time, and is no part of this.
        started.get_or_insert_with(Instant::now);
        if number % i32::try_from(BATCH).unwrap() == 0 {
            consumer.commit_message(&record, CommitMode::Async).unwrap();
        }
    }
    f64::from(EVENTS) / started.unwrap().elapsed().as_secs_f64()
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

async fn apply(brokers: &str, url: &str) -> f64 {
    let platform = Platform::open(config(brokers, url), "bench").await.unwrap();
    let looking = open(url).await;
    let service = Running::start(platform, product_service::service).await;
    let mut started = None;
    loop {
        let count: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM products").fetch_one(looking.readers()).await.unwrap();
        // As with the bare consumer, joining is no part of this.
        let (first, at) = *started.get_or_insert_with(|| (count, Instant::now()));
        if first == 0 && count < i64::from(EVENTS) {
            started = if count > 0 { Some((count, Instant::now())) } else { None };
        }
        if count == i64::from(EVENTS) {
            service.stop().await;
            return (EVENTS as f64 - first as f64) / at.elapsed().as_secs_f64();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
