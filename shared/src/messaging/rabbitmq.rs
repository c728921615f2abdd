//! The binder for RabbitMQ: exchanges, queues, headers and dead letters are those of Spring Cloud Stream's binder, so
//! that a Java service can stand on the same broker, in either role.
//!
//! - this file: the binder
//! - [`url`]: where the broker is
//! - [`link`]: a connection that is supervised; one for publishing, one for consuming, one for looking around
//! - [`stream`]: headers no deeper than a stack bears, and no more messages than there is room for
//! - [`names`]: exchanges, queues and keys by their names; [`topology`]: declaring them
//! - [`headers`]: header tables as JSON; [`message`]: messages as they go and come
//! - [`publisher`]: sends that share a window of confirms
//! - [`hold`]: an exclusive consumer, which is the lock of its queue
//! - [`members`]: who is in a group; [`consumer`]: partitions, each with the hold of its queue
//! - [`letters`]: reading the queue of dead letters
//! - [`management`]: what only the management API tells; [`look`]: topics and tails
//!
//! What must never happen: a send that is promised without the broker's confirm; a partition given up in another way
//! than by closing its channel, since a cancelled consumer still holds what it got.

mod consumer;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod fuzz;
mod headers;
mod hold;
mod letters;
mod link;
mod look;
mod management;
mod members;
mod message;
mod names;
mod publisher;
mod stream;
mod topology;
mod url;

pub use url::RabbitUrl;

use super::{
    Binder, BinderError, BinderHealth, Consumer, ConsumerBinding, Copied, DeadLetter, DeadLetters, Producer,
    ProducerBinding, Tail, Topic,
};
use crate::database::Database;
use async_trait::async_trait;
use consumer::{Links, RabbitConsumer};
use link::{Link, State};
use management::Management;
use names::Names;
use publisher::Publisher;
use serde_json::Value;
use std::sync::OnceLock;

/// The binder for RabbitMQ.
#[derive(Debug)]
pub struct RabbitBinder {
    url: RabbitUrl,
    name: String,
    publishing: Link,
    /// Only a service that consumes has it. It is not read while there is no room.
    consuming: OnceLock<Link>,
    /// So who looks around or reads dead letters has one of his own.
    looking: OnceLock<Link>,
    copies: Publisher,
    management: Management,
}

impl RabbitBinder {
    /// Starts to connect to the broker at `url`, for the program `name`; the management page shows the connections
    /// under that name. `management` is the address of the management API, where it is not on the usual port.
    pub fn open(url: RabbitUrl, management: Option<&str>, name: &str) -> anyhow::Result<Self> {
        let management = Management::new(&url, management)?;
        let publishing = Link::start(url.clone(), format!("{name} publisher"));
        // Apart from events: what the broker refuses of a dead letter closes the channel.
        let copies = Publisher::new(publishing.clone(), Vec::new());
        Ok(Self {
            url,
            name: name.to_owned(),
            publishing,
            consuming: OnceLock::new(),
            looking: OnceLock::new(),
            copies,
            management,
        })
    }

    fn consuming(&self) -> &Link {
        self.consuming.get_or_init(|| Link::start(self.url.clone(), format!("{} consumer", self.name)))
    }

    fn looking(&self) -> &Link {
        self.looking.get_or_init(|| Link::start(self.url.clone(), format!("{} looking", self.name)))
    }
}

#[async_trait]
impl Binder for RabbitBinder {
    fn name(&self) -> &'static str {
        "rabbit"
    }

    async fn producer(&self, bindings: &[ProducerBinding]) -> Result<Box<dyn Producer>, BinderError> {
        let publisher = Publisher::new(self.publishing.clone(), bindings.to_vec());
        publisher.declare().await?;
        Ok(Box::new(publisher))
    }

    async fn consumer(&self, binding: &ConsumerBinding, database: &Database) -> Result<Box<dyn Consumer>, BinderError> {
        let links = Links { consuming: self.consuming().clone(), looking: self.looking().clone() };
        Ok(Box::new(RabbitConsumer::join(links, binding.clone(), database.clone()).await?))
    }

    async fn dead_letter(&self, letter: &DeadLetter) -> Result<Copied, BinderError> {
        self.copies.copy(letter).await?;
        Ok(Copied::UntilRemoved)
    }

    async fn dead_letters(&self, binding: &ConsumerBinding) -> Result<Option<Box<dyn DeadLetters>>, BinderError> {
        letters::read(self.looking(), binding).await
    }

    async fn health(&self) -> BinderHealth {
        for link in [Some(&self.publishing), self.consuming.get(), self.looking.get()].into_iter().flatten() {
            if let State::Away(reason) = link.state() {
                return BinderHealth { up: false, details: vec![("error", Value::from(&*reason))] };
            }
        }
        if let Some(reason) = self.publishing.blocked() {
            let reason = format!("the broker takes no messages: {reason}");
            return BinderHealth { up: false, details: vec![("error", Value::from(reason))] };
        }
        let version = self.management.version().await;
        BinderHealth {
            up: true,
            details: version.map(|version| ("version", Value::from(version))).into_iter().collect(),
        }
    }

    async fn topics(&self) -> Result<Vec<Topic>, BinderError> {
        look::topics(&self.management).await
    }

    async fn tail(
        &self,
        destination: &str,
        partition: Option<u32>,
        from_beginning: bool,
    ) -> Result<Box<dyn Tail>, BinderError> {
        let names = Names::new(destination)?;
        let topics = self.topics().await?;
        look::tail(self.looking(), &names, topics, partition, from_beginning).await
    }
}
