//! Real servers from Docker, or from where the variables say.

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, StreamConsumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use reqwest::Method;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use testkit::SOON;
use testkit::servers::{Kafka, Own, found, kafka, postgres, rabbitmq};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

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

fn client(brokers: &str) -> ClientConfig {
    ClientConfig::new().set("bootstrap.servers", brokers).set("group.id", "none").clone()
}

/// Makes a topic of one partition.
async fn topic(broker: &Kafka) -> String {
    let name = format!("test-{}", uuid::Uuid::new_v4().simple());
    let admin: AdminClient<DefaultClientContext> = client(broker.bootstrap()).create().unwrap();
    let made = admin.create_topics(&[NewTopic::new(&name, 1, TopicReplication::Fixed(1))], &AdminOptions::new()).await;
    assert_eq!(made.unwrap(), [Ok(name.clone())]);
    name
}

async fn send(brokers: &str, topic: &str, body: &str) {
    let producer: FutureProducer = client(brokers).create().unwrap();
    producer.send(FutureRecord::<(), str>::to(topic).payload(body), SOON).await.unwrap();
}

/// The first record of a topic.
async fn first(brokers: &str, topic: &str) -> String {
    let consumer: StreamConsumer = client(brokers).create().unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&from).unwrap();
    let record = timeout(SOON, consumer.recv()).await.expect("there is a record").unwrap();
    String::from_utf8(record.payload().unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn what_comes_in_by_one_door_goes_out_by_the_other() {
    let Some(broker) = found(kafka().await) else { return };
    let direct = broker.bootstrap();
    // Somebody else's broker has one door only.
    let proxied = broker.bootstrap_through_proxy().unwrap_or_else(|| direct.to_owned());
    for (door, other) in [(direct, &*proxied), (&*proxied, direct)] {
        let topic = topic(broker).await;
        send(door, &topic, "a record").await;
        assert_eq!(first(other, &topic).await, "a record");
    }
}

/// A client of Kafka that asks one thing only: which requests the broker knows.
struct Asking {
    connection: TcpStream,
    id: &'static str,
}

impl Asking {
    async fn connect(address: &str, id: &'static str) -> Self {
        Self { connection: TcpStream::connect(address).await.unwrap(), id }
    }

    /// Whether there is an answer in time; an error where the connection has ended.
    async fn ask(&mut self, time: Duration) -> std::io::Result<bool> {
        let length = u8::try_from(self.id.len()).unwrap();
        let head = [0, 0, 0, 10 + length, 0, 18, 0, 0, 0, 0, 0, 1, 0, length];
        self.connection.write_all(&[&head, self.id.as_bytes()].concat()).await?;
        let answered = timeout(time, async {
            let length = self.connection.read_u32().await?;
            self.connection.read_exact(&mut vec![0; length as usize]).await
        });
        answered.await.map_or(Ok(false), |answer| answer.map(|_| true))
    }
}

#[tokio::test]
async fn a_proxy_knows_clients_by_their_ids() {
    let Some(broker) = found(kafka().await) else { return };
    let (Some(proxy), Some(address)) = (broker.proxy(), broker.bootstrap_through_proxy()) else { return };
    let mut silenced = Asking::connect(&address, "here and silenced").await;
    let mut cut = Asking::connect(&address, "here and cut").await;
    assert!(silenced.ask(SOON).await.unwrap() && cut.ask(SOON).await.unwrap());
    let soon = Duration::from_millis(500);

    proxy.silence("here and s");
    assert!(!silenced.ask(soon).await.unwrap(), "a connection stays and carries nothing");
    let mut again = Asking::connect(&address, silenced.id).await;
    assert!(!again.ask(soon).await.unwrap(), "nor does a new one");
    assert!(cut.ask(SOON).await.unwrap(), "those of others carry as before");

    proxy.cut("here and c");
    assert!(cut.ask(SOON).await.is_err(), "a connection that is cut has ended");
    let mut again = Asking::connect(&address, cut.id).await;
    assert!(again.ask(SOON).await.unwrap(), "and a new one carries");
    assert!(!silenced.ask(soon).await.unwrap());
}

#[tokio::test]
async fn a_broker_of_its_own_keeps_its_addresses_and_what_it_confirmed_when_it_is_killed() {
    let Some(own) = found(Own::kafka().await) else { return };
    own.start().await;
    let topic = topic(&own.server).await;
    send(own.server.bootstrap(), &topic, "a record").await;
    own.kill().await;
    let there = client(own.server.bootstrap()).create::<BaseConsumer>().unwrap();
    assert!(there.fetch_metadata(None, Duration::from_secs(1)).is_err(), "it was killed");
    own.start().await;
    assert_eq!(first(&own.server.bootstrap_through_proxy().unwrap(), &topic).await, "a record");
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
