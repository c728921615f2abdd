//! Kafka as clients of our own show it. They block while they ask, so they do it on threads of their own.

use super::{ANSWER, Held, Look, Looks};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;
use std::collections::BTreeMap;
use testkit::verdict::{PLACES, Place};
use tokio::task::spawn_blocking;

const BROKER: &str = "127.0.0.1:9092";
/// How many instances share the partitions of a group.
const MEMBERS: usize = 2;

/// What stands behind the offsets of the groups, and in the topics of their dead letters.
pub(super) async fn held() -> Result<Held, String> {
    let held = spawn_blocking(|| {
        let mut held = Held { waiting: BTreeMap::new(), dead: 0 };
        for place in &PLACES {
            let reader = client(place)?;
            for (partition, offset) in offsets(&reader, place)? {
                held.waiting.insert(name(place, partition), count_from(&reader, place, partition, offset)?);
                let letters = format!("error.{}.{}", place.topic, place.group);
                let (first, end) = reader.fetch_watermarks(&letters, partition, ANSWER)?;
                held.dead += (end - first).unsigned_abs();
            }
        }
        Ok(held)
    });
    held.await.unwrap().map_err(|error: KafkaError| error.to_string())
}

/// Looks with the same clients, until they get no answer.
pub(super) async fn follow(mut looks: Looks<'_>) -> Option<()> {
    let clients = PLACES.iter().map(|place| Some((place, client(place).ok()?))).collect::<Option<_>>()?;
    let mut watch = Watch { clients, settled: BTreeMap::new() };
    loop {
        let looked = spawn_blocking(move || watch.look().map(|look| (watch, look)));
        let look;
        (watch, look) = looked.await.ok()?.ok()?;
        looks.add(look).await;
    }
}

/// The clients that look, and what they have seen.
struct Watch {
    clients: Vec<(&'static Place, BaseConsumer)>,
    settled: BTreeMap<String, i64>,
}

impl Watch {
    fn look(&mut self) -> KafkaResult<Look> {
        let mut look = Look::default();
        for (place, client) in &self.clients {
            let groups = client.fetch_group_list(Some(place.group), ANSWER)?;
            let stable = groups.groups().iter().find(|group| group.state() == "Stable");
            look.consumers.insert(place.group.to_owned(), stable.map_or(0, |group| group.members().len()));
            for (partition, offset) in offsets(client, place)? {
                let (_, end) = client.fetch_watermarks(place.topic, partition, ANSWER)?;
                let name = name(place, partition);
                // The end of a transaction has an offset too, which nobody waits for.
                if self.settled.insert(name.clone(), offset) == Some(offset) && end - offset > 1 {
                    look.idle.insert(name);
                }
            }
        }
        // Who was killed is a member until its session ends.
        look.complete = look.consumers.values().all(|members| *members == MEMBERS);
        Ok(look)
    }
}

/// What a group has settled, by partition.
fn offsets(client: &BaseConsumer, place: &Place) -> KafkaResult<Vec<(i32, i64)>> {
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_range(place.topic, 0, 1);
    let committed = client.committed_offsets(partitions, ANSWER)?;
    let offset = |offset| if let Offset::Offset(offset) = offset { offset } else { 0 };
    Ok(committed.elements().iter().map(|element| (element.partition(), offset(element.offset()))).collect())
}

/// Reads to the end, for not all that has an offset is an event.
fn count_from(reader: &BaseConsumer, place: &Place, partition: i32, offset: i64) -> KafkaResult<u64> {
    let mut start = TopicPartitionList::new();
    start.add_partition_offset(place.topic, partition, Offset::Offset(offset))?;
    reader.assign(&start)?;
    let mut count = 0;
    loop {
        match reader.poll(ANSWER) {
            Some(Ok(_)) => count += 1,
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(count),
            Some(Err(error)) => return Err(error),
            None => return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut)),
        }
    }
}

/// A client that reads offsets as a member of the group, and joins nothing.
fn client(place: &Place) -> KafkaResult<BaseConsumer> {
    ClientConfig::new()
        .set("bootstrap.servers", BROKER)
        .set("group.id", place.group)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        // An end is told at once.
        .set("fetch.wait.max.ms", "10")
        .create()
}

fn name(place: &Place, partition: i32) -> String {
    format!("{}.{}-{partition}", place.topic, place.group)
}
