//! Reading the topic of dead letters. Records stay for good: what was settled is remembered as the offsets of a group of
//! its own, since brokers refuse those of a group that has members elsewhere.

use super::link::{ANSWER, Link, Said, blocking, unavailable};
use super::look::{ends, patiently};
use super::record::{number, standing};
use super::topics::dead_letters;
use crate::messaging::{BinderError, ConsumerBinding, DeadLetters, Position, STANDING_BYTES, StandingLetter};
use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Message, Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

/// Begins to read `error.D.G` behind what was settled, unless there is none.
pub(super) async fn read(link: &Link, binding: &ConsumerBinding) -> Result<Option<Box<dyn DeadLetters>>, BinderError> {
    let topic = dead_letters(&binding.destination, &binding.group);
    let name = topic.clone();
    let ends = link.ask("look at the dead letters", move |admin| patiently(|| ends(admin.inner(), &name))).await?;
    if ends.is_empty() {
        return Ok(None);
    }
    let mut config = link.clients().client("dead letters reader");
    config.set("group.id", format!("{}.dead-letters", binding.group)).set("enable.auto.commit", "false");
    config.set("isolation.level", "read_committed").set("enable.partition.eof", "true");
    let opened = blocking("read dead letters", move || {
        let client: BaseConsumer<Said> = config.create_with_context(Said)?;
        let mut asked = TopicPartitionList::new();
        for (partition, _) in &ends {
            asked.add_partition(&topic, *partition);
        }
        let settled = client.committed_offsets(asked, ANSWER)?;
        let mut assignment = TopicPartitionList::new();
        for (partition, (first, _)) in &ends {
            let settled = settled.find_partition(&topic, *partition).map(|at| at.offset());
            let begin = if let Some(Offset::Offset(offset)) = settled { offset.max(*first) } else { *first };
            assignment.add_partition_offset(&topic, *partition, Offset::Offset(begin))?;
        }
        client.assign(&assignment)?;
        let open = ends.into_iter().map(|(partition, _)| partition).collect();
        Ok(Topic { client: Arc::new(client), topic, open, behind: BTreeMap::new() })
    });
    Ok(Some(Box::new(opened.await?)))
}

/// A topic of dead letters, read to its end.
struct Topic {
    client: Arc<BaseConsumer<Said>>,
    topic: String,
    /// The partitions that are not read to their ends.
    open: BTreeSet<i32>,
    /// The offsets behind what was handed out, by partition.
    behind: BTreeMap<u32, i64>,
}

#[async_trait]
impl DeadLetters for Topic {
    async fn next(&mut self, most: usize) -> Result<Vec<StandingLetter>, BinderError> {
        let (client, open) = (self.client.clone(), self.open.clone());
        let polled = blocking("read dead letters", move || poll(&client, open, most)).await?;
        self.behind.extend(polled.behind);
        self.open = polled.open;
        Ok(polled.letters)
    }

    async fn settle(&mut self, _: &[Position]) -> Result<(), BinderError> {
        let mut offsets = TopicPartitionList::new();
        for (partition, behind) in std::mem::take(&mut self.behind) {
            let added = offsets.add_partition_offset(&self.topic, number(partition), Offset::Offset(behind));
            added.map_err(|error| unavailable("settle dead letters", &error))?;
        }
        if offsets.count() == 0 {
            return Ok(());
        }
        let client = self.client.clone();
        blocking("settle dead letters", move || client.commit(&offsets, CommitMode::Sync)).await
    }

    async fn close(self: Box<Self>) -> Result<(), BinderError> {
        // Closing waits for the brokers.
        blocking("end the reading of dead letters", move || {
            drop(self);
            Ok(())
        })
        .await
    }
}

/// What came.
struct Polled {
    letters: Vec<StandingLetter>,
    behind: BTreeMap<u32, i64>,
    open: BTreeSet<i32>,
}

/// At most `most` records of the `open` partitions, and no more than may weigh together.
fn poll(client: &BaseConsumer<Said>, open: BTreeSet<i32>, most: usize) -> KafkaResult<Polled> {
    let (mut polled, since) = (Polled { letters: Vec::new(), behind: BTreeMap::new(), open }, Instant::now());
    let mut weight = 0;
    while !polled.open.is_empty() && polled.letters.len() < most && weight < STANDING_BYTES {
        match client.poll(ANSWER) {
            Some(Ok(record)) => {
                polled.behind.insert(record.partition().unsigned_abs(), record.offset() + 1);
                weight += record.payload_len();
                polled.letters.push(standing(&record));
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(polled.open.remove(&partition)),
            Some(Err(error)) => return Err(error),
            None if since.elapsed() < 2 * ANSWER => {}
            None => return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut)),
        }
    }
    Ok(polled)
}
