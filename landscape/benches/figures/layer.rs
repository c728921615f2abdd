//! What is asked of the event layer on every broker: posts from many clients, and batches as they are applied.

use crate::load::{EVENTS, closed, post};
use product_service::Products;
use serde_json::json;
use shared::api::{PRODUCTS, Product};
use shared::database::inbox::{self, Outcome};
use shared::database::{Database, PoolConfig, letters};
use shared::messaging::event::Event;
use shared::messaging::processor::Handler;
use shared::messaging::{Headers, Outgoing, Producer, ProducerBinding};
use shared::service::config::Config;
use shared::service::platform::Platform;
use std::time::{Duration, Instant};
use testkit::Running;

/// Events of a measurement, and those of one batch.
pub(crate) const MANY: i32 = 70_000;
pub(crate) const BATCH: usize = 500;
/// So many clients post at a time.
pub(crate) const CLIENTS: i32 = 128;

pub(crate) fn product(id: i32) -> Product {
    Product { product_id: id, name: Some(format!("product {id}")), weight: 1, service_address: None }
}

/// An event as a client without us would write it.
pub(crate) fn body(id: i32) -> Vec<u8> {
    json!({"eventType": "CREATE", "key": id, "data": product(id), "eventCreatedAt": "2026-11-23T07:19:34.394747869Z"})
        .to_string()
        .into_bytes()
}

pub(crate) async fn platform<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Platform {
    Platform::open(Config::read(&variables.into_iter().collect()).unwrap(), "bench").await.unwrap()
}

/// Who sends products to so many partitions.
pub(crate) async fn producer(platform: &Platform, partitions: u32) -> Box<dyn Producer> {
    let required_groups = vec![PRODUCTS.group.to_owned()];
    let binding = ProducerBinding { destination: PRODUCTS.name.to_owned(), partitions, required_groups };
    platform.binder.producer(&[binding]).await.unwrap()
}

/// Sends so many products, as many at a time as one batch has.
pub(crate) async fn send(producer: &dyn Producer, many: i32) {
    for ids in (1..=many).collect::<Vec<_>>().chunks(BATCH) {
        let messages = ids.iter().map(|id| Outgoing {
            destination: PRODUCTS.name.to_owned(),
            id: uuid::Uuid::now_v7().to_string(),
            key: *id,
            headers: Headers::new(),
            body: body(*id).into(),
        });
        producer.send(messages.collect()).await.unwrap();
    }
}

/// Events a second of concurrent posts to a composite on this platform.
pub(crate) async fn posts(platform: Platform) -> f64 {
    let composite = Running::start(platform, product_composite_service::service).await;
    composite.answers("/actuator/health/readiness", 200).await;
    let address = composite.url.trim_start_matches("http://").parse().unwrap();
    let measured = closed(address, CLIENTS as usize, Duration::from_secs(5), move || post(address)).await;
    composite.stop().await;
    measured.rate() * f64::from(EVENTS)
}

pub(crate) async fn open(url: &str) -> Database {
    Database::open(url, &PoolConfig::default(), &sqlx::migrate!("../product-service/migrations")).await.unwrap()
}

/// Writes products `from` to `to` as the event layer does, and says how long that took.
pub(crate) async fn apply_all(database: &Database, from: i32, to: i32) -> Duration {
    let products = Products::new(database.clone(), "bench".into());
    let events: Vec<_> =
        (from..to).map(|id| (uuid::Uuid::now_v7().to_string(), Event::Create { key: id, data: product(id) })).collect();
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
    started.elapsed()
}

/// Events a second that are written without a broker.
pub(crate) async fn write(url: &str) -> f64 {
    f64::from(MANY) / apply_all(&open(url).await, 1, MANY + 1).await.as_secs_f64()
}

/// Events a second that a product service takes from where [`MANY`] wait for it. To join in is no part of that.
pub(crate) async fn apply(platform: Platform, url: &str) -> f64 {
    let looking = open(url).await;
    let service = Running::start(platform, product_service::service).await;
    let mut started = None;
    loop {
        let count: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM products").fetch_one(looking.readers()).await.unwrap();
        let (first, at) = match started {
            Some(started) => started,
            None if count == 0 => continue,
            None => *started.insert((count, Instant::now())),
        };
        if count == i64::from(MANY) {
            service.stop().await;
            return (count - first) as f64 / at.elapsed().as_secs_f64();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Rows a second by statements of many rows, without anything that makes events of them.
pub(crate) async fn rows(url: &str) -> f64 {
    let database = open(url).await;
    let products = Products::new(database.clone(), "bench".into());
    let all: Vec<_> = (1..=MANY).map(product).collect();
    let started = Instant::now();
    for batch in all.chunks(BATCH) {
        let mut transaction = database.begin().await.unwrap();
        products.create(&mut transaction, &batch.iter().collect::<Vec<_>>()).await.unwrap();
        transaction.commit().await.unwrap();
    }
    f64::from(MANY) / started.elapsed().as_secs_f64()
}
