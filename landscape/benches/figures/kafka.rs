//! The event layer over Kafka and PostgreSQL, beside what their clients reach alone.

use crate::Table;
use crate::layer::{BATCH, CLIENTS, MANY, apply, body, platform, posts, rows, write};
use crate::load::EVENTS;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use shared::api::PRODUCTS;
use shared::messaging::kafka::KafkaBinder;
use shared::messaging::{Binder, ProducerBinding};
use std::time::{Duration, Instant};
use testkit::servers;

pub(crate) async fn kafka(table: &mut Table) {
    let (broker, database) = (servers::kafka().await.unwrap(), servers::postgres().await.unwrap());
    let brokers = broker.bootstrap();
    let on = async |database: &str| {
        platform([("BINDER", "kafka"), ("KAFKA_BROKERS", brokers), ("DATABASE_URL", database)]).await
    };
    let bare = publish(brokers).await;
    let consumed = consume(brokers);
    let rows = rows(&database.database().await).await;
    let written = write(&database.database().await).await;
    let url = database.database().await;
    let applied = apply(on(&url).await, &url).await;
    let posted = posts(on("").await).await;
    let transaction = format!("{} in a transaction", EVENTS * CLIENTS);
    table.layer("Kafka, PostgreSQL", &transaction, [bare, posted, consumed, rows, written, applied]);
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
    let ids: Vec<i32> = (1..=MANY).collect();
    for window in ids.chunks(usize::try_from(EVENTS * CLIENTS).unwrap()) {
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
    f64::from(MANY) / started.elapsed().as_secs_f64()
}

fn consume(brokers: &str) -> f64 {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "bench").set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[PRODUCTS.name]).unwrap();
    let mut started = None;
    for number in 0..MANY {
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
    f64::from(MANY) / started.unwrap().elapsed().as_secs_f64()
}
