//! The lab with a RabbitMQ broker: each trial has a virtual host there, and a PostgreSQL database for its service.

mod broker;

use crate::lab::Lab;
use crate::scenarios::Scenario;
use async_trait::async_trait;
use broker::Broker;
use reqwest::Method;
use serde_json::Value;
use shared::messaging::rabbitmq::RabbitBinder;
use shared::messaging::{Binder, ConsumerBinding};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use testkit::{SOON, eventually, servers};

/// The binder for RabbitMQ.
pub(crate) struct Rabbit;

#[async_trait(?Send)]
impl Lab for Rabbit {
    fn name(&self) -> &'static str {
        "rabbit"
    }

    fn absent(&self) -> Option<String> {
        crate::runtime().block_on(async {
            let (broker, database) = (servers::rabbitmq().await, servers::postgres().await);
            broker.err().or(database.err())
        })
    }

    fn exempt(&self, scenario: &str) -> Option<&'static str> {
        (scenario == "the_events_of_a_request_are_taken_all_or_none")
            .then_some("RabbitMQ takes each message for itself: a request that was not promised may be there in part")
    }

    fn own_scenarios(&self) -> Vec<Scenario> {
        Vec::new()
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(120)
    }

    fn settling(&self) -> Duration {
        SOON
    }

    async fn space(&self, _: &Path) -> String {
        Broker::from(servers::rabbitmq().await.unwrap().vhost().await).to_string()
    }

    async fn remove(&self, address: &str) {
        let broker: Broker = address.parse().unwrap();
        broker.remove().await;
    }

    async fn database(&self, _: &Path) -> String {
        servers::postgres().await.unwrap().database().await
    }

    async fn binder(&self, address: &str) -> Arc<dyn Binder> {
        let broker: Broker = address.parse().unwrap();
        let url = broker.user().await.parse().unwrap();
        let binder = RabbitBinder::open(url, Some(broker.management()), "conformance").unwrap();
        eventually(SOON, "a connection to the broker", async || {
            let health = binder.health().await;
            if health.up { Ok(()) } else { Err(format!("{:?}", health.details)) }
        })
        .await;
        Arc::new(binder)
    }

    async fn steal(&self, address: &str, _: &ConsumerBinding) {
        // Whoever consumes loses all connections, and gets no new one.
        let broker: Broker = address.parse().unwrap();
        let consuming = broker.until_connected(" consumer").await;
        for user in consuming.iter().map(|connection| connection["user"].as_str().unwrap()) {
            broker.manage(Method::DELETE, &["users", user], Value::Null).await.unwrap();
        }
    }
}
