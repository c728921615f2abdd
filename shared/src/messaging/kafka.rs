//! The binder for Kafka: topics, records, headers and dead letters are those of Spring Cloud Stream's binder, so that a
//! Java service can stand on the same brokers, in either role.
//!
//! - this file: the binder
//! - [`brokers`]: where the brokers are
//! - [`link`]: how things stand with them; what all clients have in common
//! - [`topics`]: topics by their names, and making them
//! - [`headers`]: headers in Spring's encodings; [`record`]: records as they go and come
//! - [`publisher`]: sends that share [`transactions`]
//! - [`letters`]: copies of dead letters; [`left`]: reading them, and what others left beside them
//! - [`group`]: a member of a group; [`consumer`]: its partitions; [`place`]: how far each has come
//! - [`look`]: topics and tails
//!
//! What must never happen: a send that is promised before its transaction is committed; a membership that waits for
//! what its partitions do; an offset stored for a partition that is no longer ours.

mod brokers;
mod consumer;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod fuzz;
mod group;
mod headers;
mod left;
mod letters;
mod link;
mod look;
mod place;
mod publisher;
mod record;
mod topics;
mod transactions;

pub use brokers::KafkaBrokers;

use super::{
    Binder, BinderError, BinderHealth, Consumer, ConsumerBinding, Copied, DeadLetter, DeadLetters, Producer,
    ProducerBinding, Tail, Topic,
};
use crate::database::Database;
use async_trait::async_trait;
use letters::Letters;
use link::{Clients, Link, State};
use publisher::Publisher;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The binder for Kafka.
pub struct KafkaBinder {
    link: Link,
    letters: Letters,
    bound: Mutex<Bound>,
}

/// What was bound, as health shows it.
#[derive(Debug, Default)]
struct Bound {
    topics: BTreeSet<String>,
    consumers: Vec<ConsumerBinding>,
}

impl std::fmt::Debug for KafkaBinder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaBinder").field("link", &self.link).finish_non_exhaustive()
    }
}

impl KafkaBinder {
    /// Starts to look for the brokers, for the program `name`, under which they see its clients.
    pub fn open(brokers: KafkaBrokers, name: &str) -> anyhow::Result<Self> {
        let link = Link::start(Clients::new(brokers, name))?;
        Ok(Self { letters: Letters::new(link.clone()), link, bound: Mutex::default() })
    }

    fn bound(&self) -> std::sync::MutexGuard<'_, Bound> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Binder for KafkaBinder {
    fn name(&self) -> &'static str {
        "kafka"
    }

    async fn producer(&self, bindings: &[ProducerBinding]) -> Result<Box<dyn Producer>, BinderError> {
        self.link.first_up().await?;
        // Groups need nothing of ours: each reads from the start when it first comes.
        let publisher = Publisher::start(self.link.clone(), bindings.to_vec())?;
        publisher.declare().await?;
        self.bound().topics.extend(bindings.iter().map(|binding| binding.destination.clone()));
        Ok(Box::new(publisher))
    }

    // The brokers know who is in a group: neither the database nor the index of an instance is asked.
    async fn consumer(&self, binding: &ConsumerBinding, _: &Database) -> Result<Box<dyn Consumer>, BinderError> {
        let consumer = consumer::KafkaConsumer::join(&self.link, binding).await?;
        let mut bound = self.bound();
        bound.topics.insert(binding.destination.clone());
        bound.consumers.push(binding.clone());
        Ok(Box::new(consumer))
    }

    async fn dead_letter(&self, letter: &DeadLetter) -> Result<Copied, BinderError> {
        self.letters.write(letter).await?;
        Ok(Copied::ForGood)
    }

    async fn dead_letters(&self, binding: &ConsumerBinding) -> Result<Option<Box<dyn DeadLetters>>, BinderError> {
        self.link.first_up().await?;
        left::read(&self.link, binding).await
    }

    async fn health(&self) -> BinderHealth {
        if let State::Away(reason) = self.link.state() {
            return BinderHealth { up: false, details: vec![("error", Value::from(&*reason))] };
        }
        let bound = self.bound();
        let containers: Vec<Value> = bound.consumers.iter().map(container).collect();
        let details = vec![("topicsInUse", json!(bound.topics)), ("listenerContainers", containers.into())];
        BinderHealth { up: true, details }
    }

    async fn topics(&self) -> Result<Vec<Topic>, BinderError> {
        self.link.first_up().await?;
        look::topics(&self.link).await
    }

    async fn tail(
        &self,
        destination: &str,
        partition: Option<u32>,
        from_beginning: bool,
    ) -> Result<Box<dyn Tail>, BinderError> {
        self.link.first_up().await?;
        look::tail(&self.link, destination, partition, from_beginning).await
    }
}

/// A consumer, as Spring's health shows its listener container.
fn container(binding: &ConsumerBinding) -> Value {
    let ConsumerBinding { destination, group, partitions, .. } = binding;
    let letters = topics::dead_letters(destination, group);
    json!({
        "isPaused": false,
        "listenerId": format!(
            "KafkaConsumerDestination{{consumerDestinationName='{destination}', partitions={partitions}, \
             dlqName='{letters}'}}.container"
        ),
        "groupId": group,
        "isRunning": true,
        "isStoppedAbnormally": false,
    })
}
