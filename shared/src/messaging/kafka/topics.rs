//! Topics, as Spring Cloud Stream's binder makes them; those that stand are used as they are.

use super::link::{ANSWER, Link, unavailable};
use crate::messaging::BinderError;
use rdkafka::admin::{AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use std::time::{Duration, Instant};
use tracing::warn;

/// How long a topic may take from its making until it has leaders.
const MAKING: Duration = Duration::from_secs(5);
/// How long a topic that was deleted stays away: longer than its consumers take to notice.
const GONE: Duration = Duration::from_secs(3);
/// More than it takes brokers to look for what is old, and to remove it.
const LOOKED_AT: Duration = Duration::from_secs(3600);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// The largest record in a topic of ours: the largest request of the services and what is written around it.
const MOST_EVENT: &str = "16777216";
/// The largest in a topic of dead letters: what they say comes to what the event was.
const MOST_LETTER: &str = "67108864";

/// A topic as it shall be.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) partitions: u32,
    /// Whether it is for dead letters, which nothing may remove unseen.
    pub(super) dead_letters: bool,
}

impl Wanted {
    pub(super) fn events(destination: &str, partitions: u32) -> Self {
        Self { name: destination.to_owned(), partitions, dead_letters: false }
    }

    /// `error.D.G`, with as many partitions as `D`.
    pub(super) fn letters(destination: &str, group: &str, partitions: u32) -> Self {
        Self { name: dead_letters(destination, group), partitions, dead_letters: true }
    }
}

/// The topic of a group's dead letters.
pub(super) fn dead_letters(destination: &str, group: &str) -> String {
    format!("error.{destination}.{group}")
}

/// Makes what does not stand yet; returns how many partitions it has, wanted or not.
pub(super) async fn declare(link: &Link, wanted: &Wanted) -> Result<u32, BinderError> {
    let Wanted { name, partitions, .. } = wanted;
    let mut stood = link.has_declared(name);
    if stood && is_gone(link, name).await? {
        // A consumer that does not notice that it was gone would go on at its offset in the new one.
        warn!(topic = name, "the topic is gone; it is made again");
        tokio::time::sleep(GONE).await;
        stood = false;
    }
    let unmade = make(link, wanted).await?;
    link.declared(name);
    let since = Instant::now();
    let count = loop {
        match stands(link, name).await? {
            Some((count, true)) => break count,
            // Those that have leaders are used, and the others when they have them again.
            Some((count, false)) if stood || since.elapsed() > MAKING => {
                warn!(topic = name, "not all partitions of the topic have leaders");
                break count;
            }
            None if since.elapsed() > MAKING => {
                let reason = unmade.map_or("it is not there".to_owned(), |code| format!("it cannot be made: {code}"));
                return Err(BinderError::unavailable(format!("use the topic {name}"), anyhow::anyhow!("{reason}")));
            }
            _ => tokio::time::sleep(LOOK).await,
        }
    };
    if count != *partitions {
        warn!(topic = name, count, wanted = partitions, "the topic has another count of partitions: it is used so");
    }
    Ok(count)
}

/// Whether the brokers know no such topic; one without a leader, as while they start, is there.
async fn is_gone(link: &Link, topic: &str) -> Result<bool, BinderError> {
    let name = topic.to_owned();
    let asked = link.ask("look whether a topic stands", move |admin| {
        let metadata = admin.inner().fetch_metadata(Some(&name), ANSWER)?;
        let error = metadata.topics().iter().find(|topic| topic.name() == name).and_then(|topic| topic.error());
        Ok(error.map(RDKafkaErrorCode::from))
    });
    Ok(asked.await? == Some(RDKafkaErrorCode::UnknownTopicOrPartition))
}

/// How many partitions a topic has, whether or not they have leaders now.
pub(super) async fn count(link: &Link, topic: &str) -> Result<Option<u32>, BinderError> {
    Ok(stands(link, topic).await?.map(|(count, _)| count))
}

/// How many partitions a topic has, and whether all of them have leaders.
async fn stands(link: &Link, topic: &str) -> Result<Option<(u32, bool)>, BinderError> {
    let name = topic.to_owned();
    let attempt = format!("look at the topic {topic}");
    let asked = link.ask(&attempt, move |admin| {
        let metadata = admin.inner().fetch_metadata(Some(&name), ANSWER)?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == name && topic.error().is_none());
        Ok(topic.map(|topic| {
            let led = topic.partitions().iter().all(|partition| partition.leader() >= 0);
            (u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX), led)
        }))
    });
    Ok(asked.await?.filter(|(count, _)| *count > 0))
}

/// How long a record stays in a topic at the most: until its segment is full of time, old, and looked at.
/// [`Duration::MAX`] is for ever, or nobody knows.
pub(super) async fn keeps(link: &Link, topic: &str) -> Result<Duration, BinderError> {
    let attempt = format!("look how long {topic} keeps records");
    let asked = [ResourceSpecifier::Topic(topic)];
    let said = link.admin().describe_configs(&asked, &AdminOptions::new().request_timeout(Some(ANSWER))).await;
    let config = match said.map_err(|error| unavailable(&attempt, &error))?.pop() {
        Some(Ok(config)) => config,
        other => {
            let code = other.and_then(Result::err);
            warn!(topic, ?code, "the brokers do not say how long they keep records: no event is forgotten");
            return Ok(Duration::MAX);
        }
    };
    let text = |name: &str| config.get(name).and_then(|entry| entry.value.as_deref());
    let time = |name: &str| text(name).and_then(|text| text.parse().ok()).map(Duration::from_millis);
    let ages = text("cleanup.policy").is_some_and(|policy| policy.contains("delete"));
    // Without an end it is -1, which is no such number.
    let whole = time("retention.ms").zip(time("segment.ms")).filter(|_| ages);
    Ok(whole.map_or(Duration::MAX, |(old, full)| old.saturating_add(full).saturating_add(LOOKED_AT)))
}

/// Makes the topic, and tells why that did not come about where it may stand already.
async fn make(link: &Link, wanted: &Wanted) -> Result<Option<RDKafkaErrorCode>, BinderError> {
    let attempt = format!("make the topic {}", wanted.name);
    let partitions = i32::try_from(wanted.partitions).unwrap_or(i32::MAX);
    // As many replicas as the brokers have by default.
    let topic = NewTopic::new(&wanted.name, partitions, TopicReplication::Fixed(-1));
    let topic = match wanted.dead_letters {
        true => topic.set("retention.ms", "-1").set("max.message.bytes", MOST_LETTER),
        false => topic.set("max.message.bytes", MOST_EVENT),
    };
    let options = AdminOptions::new().request_timeout(Some(ANSWER)).operation_timeout(Some(ANSWER));
    let made = link.admin().create_topics([&topic], &options).await;
    match made.map_err(|error| unavailable(&attempt, &error))?.pop() {
        Some(Err((_, RDKafkaErrorCode::InvalidTopic))) => {
            Err(BinderError::refused(attempt, anyhow::anyhow!("that is no name for a topic")))
        }
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | Some(Ok(_)) | None => Ok(None),
        Some(Err((_, code))) => Ok(Some(code)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::messaging::kafka::link::Clients;
    use rdkafka::mocking::MockCluster;

    #[tokio::test]
    async fn a_partition_without_a_leader_is_one_of_the_partitions() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("things", 2, 1).unwrap();
        let link = Link::start(Clients::new(cluster.bootstrap_servers().parse().unwrap(), "test")).unwrap();
        link.first_up().await.unwrap();
        assert_eq!(stands(&link, "things").await.unwrap(), Some((2, true)));
        cluster.partition_leader("things", 1, None).unwrap();
        assert_eq!(stands(&link, "things").await.unwrap(), Some((2, false)));
        assert_eq!(count(&link, "things").await.unwrap(), Some(2));
    }
}
