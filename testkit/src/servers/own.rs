//! A server that one test has for itself, to be killed, frozen and started again, always at the same address.

use super::container::Container;
use super::{Kafka, Postgres, RabbitMq};
use crate::port::free_port;
use std::path::Path;

/// A server that runs from [`start`](Self::start) on. It is always a container: others' servers are not killed.
#[derive(Debug)]
pub struct Own<T> {
    /// How it is used while it runs.
    pub server: T,
    /// What it runs in.
    pub container: Container,
}

impl Own<Postgres> {
    /// A PostgreSQL server that is not running yet.
    pub async fn postgres() -> Result<Self, String> {
        Self::postgres_in(None).await
    }

    /// Likewise, with its data in this folder of this machine.
    pub async fn postgres_in(data: Option<&Path>) -> Result<Self, String> {
        // Docker gives a container that is started again another port, unless it is told which.
        let port = free_port();
        Ok(Self { container: Postgres::container(Some(port), data).await?, server: Postgres::in_container(port) })
    }

    /// Starts it, and waits until it answers.
    pub async fn start(&self) {
        self.container.command("start").await.expect("docker starts it");
        self.server.until_answered().await.expect("PostgreSQL answers");
    }
}

impl Own<RabbitMq> {
    /// A RabbitMQ broker that is not running yet.
    pub async fn rabbitmq() -> Result<Self, String> {
        Self::rabbitmq_in(None).await
    }

    /// Likewise, with its data in this folder of this machine.
    pub async fn rabbitmq_in(data: Option<&Path>) -> Result<Self, String> {
        let (amqp, management) = (free_port(), free_port());
        let container = RabbitMq::container(Some((amqp, management)), data).await?;
        Ok(Self { container, server: RabbitMq::in_container(amqp, management) })
    }

    /// Starts it, and waits until it answers.
    pub async fn start(&self) {
        self.container.command("start").await.expect("docker starts it");
        self.server.until_answered().await.expect("RabbitMQ answers");
    }

    /// Runs `rabbitmqctl` with these words.
    pub async fn control(&self, words: &[&str]) {
        let words = [&["rabbitmqctl"], words].concat();
        self.container.execute(&words).await.expect("rabbitmqctl does it");
    }
}

impl Own<Kafka> {
    /// A Kafka broker that is not running yet.
    pub async fn kafka() -> Result<Self, String> {
        Self::kafka_in(None).await
    }

    /// Likewise, with its data in this folder of this machine.
    pub async fn kafka_in(data: Option<&Path>) -> Result<Self, String> {
        let (server, container) = Kafka::in_container(data).await?;
        Ok(Self { server, container })
    }

    /// Starts it, and waits until it answers.
    pub async fn start(&self) {
        self.container.command("start").await.expect("docker starts it");
        self.server.until_answered().await.expect("Kafka answers");
    }
}

impl<T> Own<T> {
    /// Kills it. What it had confirmed is there when it is started again.
    pub async fn kill(&self) {
        self.container.command("kill").await.expect("docker kills it");
    }

    /// Lets it do nothing from now on, while its connections stand.
    pub async fn freeze(&self) {
        self.container.command("pause").await.expect("docker pauses it");
    }

    /// Lets it go on.
    pub async fn thaw(&self) {
        self.container.command("unpause").await.expect("docker lets it go on");
    }
}
