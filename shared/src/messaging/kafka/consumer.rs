//! Partitions as they are read: each from a queue of its own, which the client fills ahead.

use super::group::{Member, Taken};
use super::headers;
use super::link::{Link, unavailable};
use super::record::received;
use super::topics::{self, Wanted};
use crate::messaging::{Batch, BinderError, Consumer, ConsumerBinding, Partition, Position, Received};
use async_trait::async_trait;
use rdkafka::Message;
use rdkafka::error::KafkaError;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tracing::warn;

/// What one batch may weigh.
const BATCH_BYTES: usize = 4 << 20;
/// How long the others may take to hear that a member has gone.
const LEAVING: Duration = Duration::from_secs(5);

pub(super) struct KafkaConsumer {
    link: Link,
    binding: ConsumerBinding,
    member: Arc<Member>,
    /// Whether the topics may be gone.
    doubtful: bool,
    keeps: Duration,
}

impl KafkaConsumer {
    pub(super) async fn join(link: &Link, binding: &ConsumerBinding) -> Result<Self, BinderError> {
        link.first_up().await?;
        declare(link, binding).await?;
        let keeps = topics::keeps(link, &binding.destination).await?;
        let member = Arc::new(Member::join(link, &binding.destination, &binding.group)?);
        Ok(Self { link: link.clone(), binding: binding.clone(), member, doubtful: false, keeps })
    }
}

/// Makes the topics of events and of dead letters.
async fn declare(link: &Link, binding: &ConsumerBinding) -> Result<(), BinderError> {
    let ConsumerBinding { destination, group, partitions, .. } = binding;
    let count = topics::declare(link, &Wanted::events(destination, *partitions)).await?;
    topics::declare(link, &Wanted::letters(destination, group, count)).await.map(drop)
}

#[async_trait]
impl Consumer for KafkaConsumer {
    async fn assigned(&mut self) -> Result<Box<dyn Partition>, BinderError> {
        if self.doubtful {
            declare(&self.link, &self.binding).await?;
            self.doubtful = false;
        }
        let assigned = self.member.assigned().await;
        // Somebody may have deleted a topic. That is looked at in the next call, since this one may be dropped meanwhile.
        self.doubtful = assigned.is_err();
        let mut taken = assigned?;
        let ready = Arc::new(Notify::new());
        let waker = ready.clone();
        taken.queue.set_nonempty_callback(move || waker.notify_one());
        let ConsumerBinding { destination, batch, partitions, .. } = &self.binding;
        let (batch, member) = (*batch as usize, self.member.clone());
        let mut partition = KafkaPartition { taken, ready, batch, count: *partitions, member };
        // All members are assigned anew where somebody adds partitions: so they count alike. Dropped here, it is given back.
        let counted = topics::count(&self.link, destination).await;
        self.doubtful = !matches!(counted, Ok(Some(_)));
        let gone = || BinderError::unavailable("count partitions", anyhow::anyhow!("there is no topic {destination}"));
        partition.count = counted?.ok_or_else(gone)?;
        Ok(Box::new(partition))
    }

    fn keeps(&self) -> Duration {
        self.keeps
    }

    async fn leave(self: Box<Self>) {
        self.member.leave(LEAVING).await;
    }
}

struct KafkaPartition {
    taken: Taken,
    ready: Arc<Notify>,
    batch: usize,
    count: u32,
    member: Arc<Member>,
}

impl KafkaPartition {
    /// Takes what is there, up to a batch.
    fn take(&self) -> Result<Vec<Received>, BinderError> {
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while messages.len() < self.batch && bytes < BATCH_BYTES {
            let mut progress = self.taken.place.progress();
            match self.taken.queue.poll(Duration::ZERO) {
                None => break,
                Some(Ok(record)) => {
                    progress.took(record.offset());
                    let message = received(&record);
                    bytes += message.body.len() + message.origin.get("headers").map_or(0, headers::size);
                    messages.push(message);
                }
                Some(Err(KafkaError::PartitionEOF(_))) => progress.reached_end(),
                // What was taken comes first; the client tells again what it cannot read.
                Some(Err(error)) if !messages.is_empty() => {
                    warn!(%error, "could not read on");
                    break;
                }
                Some(Err(error)) => return Err(unavailable("read a partition", &error)),
            }
        }
        Ok(messages)
    }
}

#[async_trait]
impl Partition for KafkaPartition {
    fn number(&self) -> u32 {
        self.taken.partition
    }

    async fn count(&self) -> Result<u32, BinderError> {
        Ok(self.count)
    }

    async fn receive(&mut self) -> Result<Option<Batch>, BinderError> {
        loop {
            if self.taken.place.lost.is_cancelled() {
                return Ok(None);
            }
            let messages = self.take()?;
            if !messages.is_empty() {
                return Ok(Some(Batch { messages }));
            }
            tokio::select! {
                biased;
                () = self.taken.place.lost.cancelled() => return Ok(None),
                () = self.ready.notified() => {}
            }
        }
    }

    async fn settle(&mut self, upto: Position) -> Result<(), BinderError> {
        let Taken { partition, place, .. } = &self.taken;
        self.member.membership().settle(&self.member.client, *partition, place, upto.0 + 1)
    }

    async fn lost(&self) {
        self.taken.place.lost.cancelled().await;
    }

    fn caught_up(&self) -> bool {
        self.taken.place.progress().caught_up
    }

    async fn release(self: Box<Self>) {}
}

impl Drop for KafkaPartition {
    fn drop(&mut self) {
        self.member.membership().give_back(self.taken.partition);
    }
}
