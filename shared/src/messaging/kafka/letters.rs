//! The brokers' copies of dead letters: each by itself, and confirmed.

use super::link::{Link, Said, unavailable};
use super::record::{Record, number};
use super::topics::{self, Wanted};
use super::transactions::is_refused;
use crate::messaging::{BinderError, DeadLetter};
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long the brokers may take for a copy.
const COPY: &str = "5000";

/// Writes copies. Only a service that has given up an event has a client for it.
pub(super) struct Letters {
    link: Link,
    producer: Mutex<Option<FutureProducer<Said>>>,
    /// How many partitions each topic has, until a copy fails.
    counts: Mutex<HashMap<String, u32>>,
}

impl Letters {
    pub(super) fn new(link: Link) -> Self {
        Self { link, producer: Mutex::default(), counts: Mutex::default() }
    }

    /// Returns once the copy of `letter` is durable.
    pub(super) async fn write(&self, letter: &DeadLetter) -> Result<(), BinderError> {
        self.link.up()?;
        let mut record = Record::dead_letter(letter);
        let count = self.count(letter).await?;
        // A topic that somebody else made may have fewer partitions than the events'.
        record.partition %= number(count);
        let mut next = FutureRecord::<(), [u8]>::to(&record.topic).partition(record.partition).headers(record.headers);
        next.payload = record.body.as_deref();
        let attempt = format!("keep a dead letter in {}", record.topic);
        let producer = self.producer().await?;
        let error = match producer.send(next, Duration::ZERO).await {
            Ok(taken) if taken.offset >= 0 => return Ok(()),
            // It is taken for sent because the next one is, as in a transaction.
            Ok(_) => return Err(BinderError::unavailable(attempt, anyhow::anyhow!("the broker may have refused it"))),
            Err((error, _)) => error,
        };
        match error.rdkafka_error_code() {
            Some(code) if is_refused(code) => Err(BinderError::refused(attempt, anyhow::anyhow!("{code}"))),
            _ => {
                // Somebody may have deleted the topic, and a client that fails may do so for ever.
                self.counts.lock().await.remove(&record.topic);
                let failed = self.producer.lock().await.take();
                // It waits a moment for what is on its way.
                tokio::task::spawn_blocking(|| drop((failed, producer)));
                Err(unavailable(&attempt, &error))
            }
        }
    }

    async fn count(&self, letter: &DeadLetter) -> Result<u32, BinderError> {
        let mut counts = self.counts.lock().await;
        let mut wanted = Wanted::letters(&letter.destination, &letter.group, letter.partition + 1);
        if let Some(count) = counts.get(&wanted.name) {
            return Ok(*count);
        }
        // Made when the group was joined, with as many partitions as there are events': here only if somebody deleted it.
        wanted.partitions = topics::count(&self.link, &letter.destination).await?.unwrap_or(wanted.partitions);
        let count = topics::declare(&self.link, &wanted).await?;
        counts.insert(wanted.name, count);
        Ok(count)
    }

    async fn producer(&self) -> Result<FutureProducer<Said>, BinderError> {
        let mut producer = self.producer.lock().await;
        if let Some(producer) = &*producer {
            return Ok(producer.clone());
        }
        let mut config = self.link.clients().client("dead letters");
        config.set("acks", "all").set("enable.idempotence", "true").set("message.timeout.ms", COPY);
        config.set("message.max.bytes", "67108864").set("linger.ms", "0");
        // A broker weighs what comes together, and would refuse all of it for one.
        config.set("batch.num.messages", "1");
        let made: FutureProducer<Said> =
            config.create_with_context(Said).map_err(|error| unavailable("start to write letters", &error))?;
        Ok(producer.insert(made).clone())
    }
}
