//! Topics, groups and tails: looks that leave everything as it was.

use super::link::{ANSWER, Clients, Link, Said, blocking, unavailable};
use super::record::{number, received};
use super::topics::dead_letters;
use crate::messaging::{BinderError, Received, Tail, Topic, TopicGroup, TopicPartition};
use async_trait::async_trait;
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Message, Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How soon a question is asked again.
const AGAIN: Duration = Duration::from_millis(100);

impl ConsumerContext for Said {}

/// What stands on the brokers, but for their own topics and the dead letters of others. Offsets count the commits of
/// transactions too, and the end what is written and not yet to be read: right behind the answer to a commit that may be
/// all of it.
pub(super) async fn topics(link: &Link) -> Result<Vec<Topic>, BinderError> {
    let clients = link.clients().clone();
    link.ask("look at the topics", move |_| patiently(|| look(&clients))).await
}

/// Asks again where the answer passes: topics come and go meanwhile, and a broker that has just started has still to learn
/// who looks after which group.
// In a thread that may wait.
#[expect(clippy::disallowed_methods)]
pub(super) fn patiently<T>(question: impl Fn() -> KafkaResult<T>) -> KafkaResult<T> {
    let since = Instant::now();
    loop {
        match question() {
            Err(error) if passes(&error) && since.elapsed() < ANSWER => std::thread::sleep(AGAIN),
            answer => return answer,
        }
    }
}

fn look(clients: &Clients) -> KafkaResult<Vec<Topic>> {
    let mut config = clients.client("look");
    let asking: BaseConsumer<Said> = config.set("isolation.level", "read_uncommitted").create_with_context(Said)?;
    let mut topics = stand(asking.client())?;
    for group in asking.client().fetch_group_list(None, ANSWER)?.groups() {
        read(clients, group.name(), &mut topics)?;
    }
    Ok(topics)
}

/// Whether the same question may have an answer a moment later.
fn passes(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    error.rdkafka_error_code().is_some_and(|code| {
        matches!(
            code,
            Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::CoordinatorLoadInProgress
                | Code::CoordinatorNotAvailable
                | Code::NotCoordinator
                | Code::UnknownTopicOrPartition
                | Code::UnknownPartition
                | Code::UnknownTopic
        )
    })
}

fn stand(client: &Client<Said>) -> KafkaResult<Vec<Topic>> {
    let metadata = client.fetch_metadata(None, ANSWER)?;
    let names: BTreeSet<&str> = metadata.topics().iter().map(|topic| topic.name()).collect();
    let is_for_letters = |name: &str| {
        let of = |destination: &&str| {
            name.strip_prefix(&dead_letters(destination, "")).is_some_and(|group| !group.is_empty())
        };
        name.starts_with("error.") && names.iter().any(of)
    };
    let mut topics = Vec::new();
    for topic in metadata.topics() {
        let name = topic.name();
        if name.starts_with("__") || topic.error().is_some() || is_for_letters(name) {
            continue;
        }
        let mut partitions = Vec::new();
        for partition in topic.partitions() {
            let (first, end) = client.fetch_watermarks(name, partition.id(), ANSWER)?;
            partitions.push(TopicPartition { partition: partition.id().unsigned_abs(), first, end });
        }
        partitions.sort_by_key(|at| at.partition);
        topics.push(Topic { name: name.to_owned(), partitions, groups: Vec::new() });
    }
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(topics)
}

/// Notes how far `group` has come wherever it reads. A partition of which it has read nothing is read from its start.
fn read(clients: &Clients, group: &str, topics: &mut [Topic]) -> KafkaResult<()> {
    let mut config = clients.client("look");
    let asking: BaseConsumer<Said> =
        config.set("group.id", group).set("enable.auto.commit", "false").create_with_context(Said)?;
    let mut all = TopicPartitionList::new();
    for topic in topics.iter() {
        for at in &topic.partitions {
            all.add_partition(&topic.name, number(at.partition));
        }
    }
    let committed = asking.committed_offsets(all, ANSWER)?;
    let committed: BTreeMap<(String, u32), i64> = (committed.elements().iter())
        .filter_map(|at| match at.offset() {
            Offset::Offset(offset) => Some(((at.topic().to_owned(), at.partition().unsigned_abs()), offset)),
            _ => None,
        })
        .collect();
    for topic in topics {
        if !committed.keys().any(|(name, _)| *name == topic.name) {
            continue;
        }
        for &TopicPartition { partition, first, end } in &topic.partitions {
            let settled = committed.get(&(topic.name.clone(), partition)).copied().unwrap_or(first).max(first);
            let lag = (end - settled).max(0);
            topic.groups.push(TopicGroup { group: group.to_owned(), partition, settled, lag });
        }
        topic.groups.sort_by(|a, b| (&a.group, a.partition).cmp(&(&b.group, b.partition)));
    }
    Ok(())
}

/// Follows a topic, or one partition of it, from its oldest record or from now on.
pub(super) async fn tail(
    link: &Link,
    topic: &str,
    partition: Option<u32>,
    from_beginning: bool,
) -> Result<Box<dyn Tail>, BinderError> {
    let refused = |reason: &str| Err(BinderError::refused(format!("look into {topic}"), anyhow::anyhow!("{reason}")));
    let (name, mut config) = (topic.to_owned(), link.clients().client("tail"));
    // The ends of what was written, not of what is known to be committed: right behind the answer to a commit that is less.
    config.set("isolation.level", "read_uncommitted");
    let found = blocking("look at the topics", move || {
        let asking: BaseConsumer<Said> = config.create_with_context(Said)?;
        patiently(|| ends(asking.client(), &name))
    });
    let mut partitions = found.await?;
    if partitions.is_empty() {
        return refused("there is no such topic");
    }
    partitions.retain(|(number, _)| partition.is_none_or(|wanted| wanted == number.unsigned_abs()));
    if partitions.is_empty() {
        return refused("there is no such partition");
    }
    let mut assignment = TopicPartitionList::new();
    for (number, (first, end)) in partitions {
        let offset = Offset::Offset(if from_beginning { first } else { end });
        let added = assignment.add_partition_offset(topic, number, offset);
        added.map_err(|error| unavailable("look on", &error))?;
    }
    // Nobody's group: nothing is ever committed, and no member joins.
    let mut config = link.clients().client("tail");
    config.set("group.id", format!("landscape-tail-{}", Uuid::new_v4().simple()));
    config.set("enable.auto.commit", "false").set("isolation.level", "read_committed");
    config.set("auto.offset.reset", "earliest").set("queued.min.messages", "1000");
    let consumer = blocking("look on", move || {
        let consumer: BaseConsumer<Said> = config.create_with_context(Said)?;
        consumer.assign(&assignment)?;
        Ok(consumer)
    });
    Ok(Box::new(KafkaTail(Some(consumer.await?))))
}

/// The partitions of a topic with their first offsets and their ends; none where there is no such topic.
pub(super) fn ends(client: &Client<Said>, name: &str) -> KafkaResult<Vec<(i32, (i64, i64))>> {
    let metadata = client.fetch_metadata(Some(name), ANSWER)?;
    let topic = metadata.topics().iter().find(|topic| topic.name() == name && topic.error().is_none());
    let partitions = topic.into_iter().flat_map(|topic| topic.partitions());
    partitions.map(|at| Ok((at.id(), client.fetch_watermarks(name, at.id(), ANSWER)?))).collect()
}

struct KafkaTail(Option<BaseConsumer<Said>>);

#[async_trait]
impl Tail for KafkaTail {
    async fn next(&mut self) -> Result<Option<(u32, Received)>, BinderError> {
        let Some(consumer) = &self.0 else { return Ok(None) };
        match consumer.poll(Duration::ZERO) {
            None | Some(Err(KafkaError::PartitionEOF(_))) => Ok(None),
            Some(Ok(record)) => Ok(Some((record.partition().unsigned_abs(), received(&record)))),
            Some(Err(error)) => Err(unavailable("look on", &error)),
        }
    }
}

impl Drop for KafkaTail {
    fn drop(&mut self) {
        // Closing waits for the brokers.
        let consumer = self.0.take();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || drop(consumer));
        }
    }
}
