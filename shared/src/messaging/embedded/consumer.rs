//! Partitions as they are read: from the settled offset on, woken by the writer.

use super::log::Log;
use super::ownership::{Held, Ownership};
use super::writer::Writer;
use crate::messaging::{Batch, BinderError, Consumer, ConsumerBinding, Partition, Position, Received};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::task::AbortOnDropHandle;

/// How often the members of a group look at each other: about how long a partition is without an owner.
const LOOK: Duration = Duration::from_millis(200);

pub(super) struct EmbeddedConsumer {
    topic: i64,
    binding: ConsumerBinding,
    group: Arc<str>,
    ownership: Ownership,
    look: Interval,
    log: Arc<Log>,
    writer: Writer,
}

impl EmbeddedConsumer {
    pub(super) fn new(
        topic: i64,
        binding: ConsumerBinding,
        ownership: Ownership,
        log: Arc<Log>,
        writer: Writer,
    ) -> Self {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let group = binding.group.as_str().into();
        Self { topic, binding, group, ownership, look, log, writer }
    }

    async fn open(&self, held: Held) -> Result<EmbeddedPartition, sqlx::Error> {
        let settled = self.log.settled(self.topic, &self.group, held.partition()).await?;
        Ok(EmbeddedPartition {
            topic: self.topic,
            group: self.group.clone(),
            batch: self.binding.batch,
            stood_here: self.log.end(self.topic, held.partition()).await?,
            settled,
            reading: None,
            held,
            appended: self.writer.appended(),
            log: self.log.clone(),
            writer: self.writer.clone(),
        })
    }
}

#[async_trait]
impl Consumer for EmbeddedConsumer {
    async fn assigned(&mut self) -> Result<Box<dyn Partition>, BinderError> {
        let join = |error: anyhow::Error| BinderError::unavailable(format!("consume as {}", self.binding.group), error);
        loop {
            let count = self.log.partitions(self.topic).await.map_err(|error| join(error.into()))?;
            if let Some(held) = self.ownership.next(count).map_err(|error| join(error.into()))? {
                // Opening may be cancelled or fail: the lock goes with it, and the next look takes it again.
                return Ok(Box::new(self.open(held).await.map_err(|error| join(error.into()))?));
            }
            self.look.tick().await;
        }
    }

    // The locks of a member that is gone say so.
    async fn leave(self: Box<Self>) {}
}

type Reading = AbortOnDropHandle<Result<Vec<Received>, sqlx::Error>>;

struct EmbeddedPartition {
    topic: i64,
    group: Arc<str>,
    batch: u32,
    /// The offset that the next message had when the partition became ours.
    stood_here: i64,
    settled: i64,
    /// A look into the log, which goes on while nobody waits for it: who looks again and again would else see nothing.
    reading: Option<Reading>,
    held: Held,
    appended: watch::Receiver<()>,
    log: Arc<Log>,
    writer: Writer,
}

impl EmbeddedPartition {
    /// Begins to read what comes next.
    fn read(&mut self) -> Reading {
        // Marked as seen before the look, so that nothing appended after it is slept through.
        self.appended.mark_unchanged();
        let (log, topic, partition) = (self.log.clone(), self.topic, self.held.partition());
        let (offset, most) = (self.settled, self.batch);
        AbortOnDropHandle::new(tokio::spawn(async move { log.read(topic, partition, offset, most).await }))
    }
}

#[async_trait]
impl Partition for EmbeddedPartition {
    fn number(&self) -> u32 {
        self.held.partition()
    }

    async fn count(&self) -> Result<u32, BinderError> {
        let count = self.log.partitions(self.topic).await;
        count.map_err(|error| BinderError::unavailable("count the partitions", error))
    }

    async fn receive(&mut self) -> Result<Option<Batch>, BinderError> {
        loop {
            if self.held.is_wanted_back() {
                return Ok(None);
            }
            let reading = self.reading.take().unwrap_or_else(|| self.read());
            let read = self.reading.insert(reading).await;
            self.reading = None;
            let read = read.map_err(|ended| BinderError::unavailable("read the log", ended))?;
            let messages = read.map_err(|error| BinderError::unavailable("read the log", error))?;
            if !messages.is_empty() {
                return Ok(Some(Batch { messages }));
            }
            tokio::select! {
                () = self.held.wanted_back() => return Ok(None),
                changed = self.appended.changed() => if changed.is_err() {
                    return Err(BinderError::unavailable("read the log", anyhow::anyhow!("the writer has ended")));
                },
            }
        }
    }

    async fn settle(&mut self, upto: Position) -> Result<(), BinderError> {
        let next = upto.0 + 1;
        let settled = self.writer.settle(self.topic, &self.group, self.held.partition(), next).await;
        settled.map_err(|error| BinderError::unavailable("settle", error))?;
        self.settled = next;
        Ok(())
    }

    async fn lost(&self) {
        self.held.wanted_back().await;
    }

    fn caught_up(&self) -> bool {
        self.settled >= self.stood_here
    }

    async fn release(self: Box<Self>) {}
}
