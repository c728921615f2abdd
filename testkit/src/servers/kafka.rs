//! A Kafka broker: one node, without ZooKeeper. Clients come in by two doors, a direct one and one behind a [`proxy`](crate::proxy);
//! a broker leads them back to the address of the door that they came in by.

use super::container::Container;
use super::until_answered;
use crate::port::free_port;
use crate::proxy::Proxy;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use shared::service::config::Variables;
use std::path::Path;
use std::time::Duration;
use tokio::sync::OnceCell;

/// The ports of both doors in the container.
const DIRECT: u16 = 9092;
const PROXIED: u16 = 9094;
/// Where it keeps its data.
const DATA: &str = "/var/lib/kafka/data";

/// A Kafka broker.
#[derive(Debug)]
pub struct Kafka {
    brokers: String,
    proxy: Option<Proxy>,
    _container: Option<Container>,
}

/// The Kafka broker of this process.
pub async fn kafka() -> Result<&'static Kafka, String> {
    static BROKER: OnceCell<Result<Kafka, String>> = OnceCell::const_new();
    BROKER.get_or_init(Kafka::find).await.as_ref().map_err(Clone::clone)
}

impl Kafka {
    async fn find() -> Result<Self, String> {
        if let Some(brokers) = Variables::from_env().text("KAFKA_BROKERS") {
            return Ok(Self { brokers: brokers.to_owned(), proxy: None, _container: None });
        }
        let (broker, container) =
            Self::in_container(None).await.map_err(|error| format!("no KAFKA_BROKERS, and {error}"))?;
        container.command("start").await?;
        broker.until_answered().await?;
        Ok(Self { _container: Some(container), ..broker })
    }

    /// A broker in a container that is still to be started.
    pub(super) async fn in_container(data: Option<&Path>) -> Result<(Self, Container), String> {
        // The broker tells its clients where it is, so it has to know all ports before it starts.
        let (direct, proxied) = (free_port(), free_port());
        let brokers = format!("127.0.0.1:{direct}");
        let proxy = Proxy::before_kafka(([127, 0, 0, 1], proxied).into());
        let advertised = format!("DIRECT://{brokers},PROXIED://{},BROKER://localhost:9095", proxy.address());
        let environment = [
            ("KAFKA_HEAP_OPTS", "-Xms512m -Xmx512m"),
            ("KAFKA_NODE_ID", "1"),
            ("KAFKA_LOG_DIRS", DATA),
            ("KAFKA_PROCESS_ROLES", "broker,controller"),
            // The third is for the broker itself, which reaches no port of this machine.
            ("KAFKA_LISTENERS", "DIRECT://:9092,PROXIED://:9094,BROKER://localhost:9095,CONTROLLER://localhost:9093"),
            ("KAFKA_ADVERTISED_LISTENERS", &advertised),
            (
                "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
                "DIRECT:PLAINTEXT,PROXIED:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            ),
            ("KAFKA_INTER_BROKER_LISTENER_NAME", "BROKER"),
            ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
            ("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@localhost:9093"),
            ("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false"),
            // There is one broker, and there are few groups.
            ("KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS", "4"),
            ("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1"),
            ("KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS", "4"),
            ("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1"),
            ("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1"),
            // As the compose files have it: nobody waits for others to join, nor longer than said for the dead.
            ("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
            ("KAFKA_TRANSACTION_ABORT_TIMED_OUT_TRANSACTION_CLEANUP_INTERVAL_MS", "1000"),
        ];
        let folders = data.map(|data| (DATA, data));
        let published = [(DIRECT, Some(direct)), (PROXIED, Some(proxied))];
        let container =
            Container::create("apache/kafka:4.1.0", &published, folders.as_slice(), &environment, &[]).await?;
        Ok((Self { brokers, proxy: Some(proxy), _container: None }, container))
    }

    /// Where the broker is, as `HOST:PORT,…`.
    pub fn bootstrap(&self) -> &str {
        &self.brokers
    }

    /// Where the proxy before the broker is, unless the broker is somebody else's.
    pub fn bootstrap_through_proxy(&self) -> Option<String> {
        self.proxy.as_ref().map(|proxy| proxy.address().to_string())
    }

    /// The proxy before the broker, unless the broker is somebody else's.
    pub fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// Waits for both of its doors.
    pub async fn until_answered(&self) -> Result<(), String> {
        for brokers in [Some(self.brokers.clone()), self.bootstrap_through_proxy()].into_iter().flatten() {
            until_answered("Kafka", async || {
                let client = ClientConfig::new().set("bootstrap.servers", &brokers).set("log_level", "0").clone();
                let ask = move || client.create::<BaseConsumer>()?.fetch_metadata(None, Duration::from_secs(2));
                tokio::task::spawn_blocking(ask).await.expect("the thread ends")
            })
            .await?;
        }
        Ok(())
    }
}
