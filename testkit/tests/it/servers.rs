//! Real servers from Docker, or from where the variables say.

use reqwest::Method;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use testkit::servers::{Own, found, postgres, rabbitmq};

async fn tables(url: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let count = sqlx::query_scalar("SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public'");
    count.fetch_one(&mut connection).await.unwrap()
}

#[tokio::test]
async fn each_database_is_empty_and_its_own() {
    let Some(server) = found(postgres().await) else { return };
    let (one, other) = (server.database().await, server.database().await);
    let mut connection = PgConnection::connect(&one).await.unwrap();
    sqlx::raw_sql("CREATE TABLE t (id INTEGER)").execute(&mut connection).await.unwrap();
    assert_eq!((tables(&one).await, tables(&other).await), (1, 0));
}

#[tokio::test]
async fn each_virtual_host_is_empty_and_its_own() {
    let Some(broker) = found(rabbitmq().await) else { return };
    let (one, other) = (broker.vhost().await, broker.vhost().await);
    let queue = format!("queues/{}/q", one.name);
    broker.manage(Method::PUT, &queue, serde_json::json!({"durable": true})).await.unwrap();
    for (vhost, count) in [(one, 1), (other, 0)] {
        let queues = broker.manage(Method::GET, &format!("queues/{}", vhost.name), Value::Null).await.unwrap();
        assert_eq!(queues.as_array().map(Vec::len), Some(count), "{queues}");
    }
}

#[tokio::test]
async fn a_server_of_its_own_keeps_its_address_and_what_it_confirmed_when_it_is_killed() {
    let Some(own) = found(Own::postgres().await) else { return };
    let url = own.server.named("postgres");
    assert!(PgConnection::connect(&url).await.is_err(), "it is not started yet");
    own.start().await;
    own.server.execute("CREATE TABLE t (id INTEGER)").await;
    own.kill().await;
    assert!(PgConnection::connect(&url).await.is_err(), "it was killed");
    own.start().await;
    assert_eq!(tables(&url).await, 1);
}
