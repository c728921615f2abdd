//! What the event layer reaches on the embedded binder, beside what bare SQLite reaches in the same run.
//!
//! `cargo bench -p shared --bench event_layer`. Machines differ and are never quiet: quote the ratios.

// A benchmark prints, and ends where something does not work.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::cast_precision_loss, missing_debug_implementations)]

use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::database::rows::{self, List};
use shared::database::{Database, PoolConfig};
use shared::messaging::embedded::EmbeddedBinder;
use shared::messaging::event::Event;
use shared::messaging::failure::Failure;
use shared::messaging::ids::MessageIds;
use shared::messaging::processor::{Handler, Subscription, process};
use shared::messaging::retry::RetryPolicy;
use shared::messaging::{Binder, ConsumerBinding, Headers, Outgoing, Producer, ProducerBinding};
use sqlx::AnyConnection;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Events of a measurement; a request has 7, 64 requests wait at a time.
const EVENTS: i32 = 140_000;
const REQUEST: i32 = 7;
const CLIENTS: i32 = 64;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let single = single_rows(folder.path()).await;
    let many = many_rows(folder.path()).await;
    println!("SQLite, one row a transaction        {single:>9.0} rows/s");
    println!("SQLite, 100 rows a statement         {many:>9.0} rows/s");

    let binder = EmbeddedBinder::open(folder.path(), Duration::from_secs(3600)).await.unwrap();
    let sent = send(&binder).await;
    println!(
        "durable sends, {CLIENTS} requests of {REQUEST}     {sent:>9.0} events/s  ({:.2} of 100 rows a statement)",
        sent / many
    );
    let applied = apply(Arc::new(binder), folder.path()).await;
    println!(
        "applied: inbox, table, offset        {applied:>9.0} events/s  ({:.2} of 100 rows a statement)",
        applied / many
    );
}

fn tables() -> Migrator {
    let sql = "CREATE TABLE things (key INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, weight INTEGER NOT NULL)";
    let sql = sqlx::SqlSafeStr::into_sql_str(sql);
    Migrator::with_migrations(vec![Migration::new(1, "things".into(), MigrationType::Simple, sql, false)])
}

async fn database(folder: &Path, name: &str) -> Database {
    let url = format!("sqlite:{}", folder.join(name).display());
    Database::open(&url, &PoolConfig::default(), &tables()).await.unwrap()
}

async fn insert(connection: &mut AnyConnection, keys: &[i32]) -> Result<(), sqlx::Error> {
    for batch in rows::padded(rows::most(connection), keys) {
        let list = List::Rows { given: 0, shared: "", columns: 3 };
        let sql = rows::statement(
            "INSERT INTO things (key, name, weight) VALUES ",
            list,
            batch.len(),
            " ON CONFLICT DO NOTHING",
        );
        let query = batch.into_iter().fold(sqlx::query(sql), |query, key| query.bind(*key).bind("a thing").bind(1));
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

async fn single_rows(folder: &Path) -> f64 {
    let database = database(folder, "single.db").await;
    let (started, rows) = (Instant::now(), 5_000);
    for key in 0..rows {
        let mut transaction = database.begin().await.unwrap();
        insert(&mut transaction, &[key]).await.unwrap();
        transaction.commit().await.unwrap();
    }
    f64::from(rows) / started.elapsed().as_secs_f64()
}

async fn many_rows(folder: &Path) -> f64 {
    let database = database(folder, "many.db").await;
    let values = vec!["(?, ?, ?)"; 100].join(", ");
    let sql = format!("INSERT INTO things (key, name, weight) VALUES {values}");
    let keys: Vec<i32> = (0..EVENTS).collect();
    let started = Instant::now();
    for transaction_keys in keys.chunks(500) {
        let mut transaction = database.begin().await.unwrap();
        for keys in transaction_keys.chunks(100) {
            let query = sqlx::query(sqlx::AssertSqlSafe(sql.clone()));
            let query = keys.iter().fold(query, |query, key| query.bind(*key).bind("a thing").bind(1));
            query.execute(&mut *transaction).await.unwrap();
        }
        transaction.commit().await.unwrap();
    }
    f64::from(EVENTS) / started.elapsed().as_secs_f64()
}

async fn send(binder: &EmbeddedBinder) -> f64 {
    let binding =
        ProducerBinding { destination: "things".to_owned(), partitions: 1, required_groups: vec!["group".to_owned()] };
    let producer: Arc<dyn Producer> = Arc::from(binder.producer(&[binding]).await.unwrap());
    let started = Instant::now();
    let requests = EVENTS / REQUEST / CLIENTS;
    let clients = (0..CLIENTS).map(|client| {
        let producer = producer.clone();
        tokio::spawn(async move {
            for request in 0..requests {
                let first = (client * requests + request) * REQUEST;
                producer.send((first..first + REQUEST).map(message).collect()).await.unwrap();
            }
        })
    });
    for client in join_all(clients).await {
        client.unwrap();
    }
    f64::from(requests * CLIENTS * REQUEST) / started.elapsed().as_secs_f64()
}

fn message(key: i32) -> Outgoing {
    let data = json!({"productId": key, "name": "a thing", "weight": 1, "serviceAddress": null});
    Event::Create { key, data }.to_message("things", MessageIds::fresh().id("things", 0), Headers::new()).unwrap()
}

struct Things;

impl Handler for Things {
    type Payload = Value;

    async fn apply(&self, connection: &mut AnyConnection, events: &[Event<Value>]) -> Result<(), Failure> {
        let keys: Vec<i32> = events.iter().map(Event::key).collect();
        Ok(insert(connection, &keys).await?)
    }
}

async fn apply(binder: Arc<EmbeddedBinder>, folder: &Path) -> f64 {
    let binding = ConsumerBinding {
        destination: "things".to_owned(),
        group: "group".to_owned(),
        partitions: 1,
        instance: None,
        takeover: true,
        batch: 500,
    };
    let database = database(folder, "things.db").await;
    let consumer = binder.consumer(&binding, &database).await.unwrap();
    let subscription = Subscription {
        binder: binder.clone(),
        binding,
        database,
        handler: Things,
        retry: RetryPolicy {
            max_attempts: 1,
            initial_interval: Duration::ZERO,
            max_interval: Duration::ZERO,
            multiplier: 1.0,
        },
        remember: Duration::from_secs(3600),
    };
    let stop = CancellationToken::new();
    let started = Instant::now();
    let processing = tokio::spawn(process(subscription, consumer, stop.clone()));
    while binder.topics().await.unwrap()[0].groups.iter().any(|group| group.group == "group" && group.lag > 0) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let rate = f64::from(EVENTS / REQUEST / CLIENTS * CLIENTS * REQUEST) / started.elapsed().as_secs_f64();
    stop.cancel();
    processing.await.unwrap();
    rate
}
