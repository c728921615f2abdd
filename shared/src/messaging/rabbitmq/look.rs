//! Topics and tails: looks that leave everything as it was.

use super::link::{Link, answer, channel};
use super::management::Management;
use super::message::received;
use super::names::Names;
use crate::messaging::{AUDIT_GROUP, BinderError, Received, Tail, Topic, TopicGroup, TopicPartition};
use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use lapin::options::{BasicConsumeOptions, BasicGetOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use std::collections::BTreeMap;
use std::collections::VecDeque;

/// What stands on the broker: every topic exchange with a queue that is named after it is a topic. Messages have no
/// offsets there: the audit queue, which holds them all unless it is bounded, tells how many there are.
pub(super) async fn topics(management: &Management) -> Result<Vec<Topic>, BinderError> {
    let (exchanges, queues) = (management.exchanges().await?, management.queues().await?);
    let topics =
        exchanges.into_iter().filter(|exchange| exchange.kind == "topic" && !exchange.name.starts_with("amq."));
    let mut topics: Vec<Topic> = topics
        .filter_map(|exchange| {
            let prefix = format!("{}.", exchange.name);
            let named = queues.iter().filter_map(|queue| Some((queue.name.strip_prefix(&prefix)?, queue.messages)));
            let named: Vec<_> = named.filter(|(name, _)| !name.ends_with(".dlq")).collect();
            (!named.is_empty()).then(|| topic(exchange.name, &named))
        })
        .collect();
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(topics)
}

/// A topic whose queues, without the name of the destination, hold so many messages.
fn topic(name: String, queues: &[(&str, i64)]) -> Topic {
    let numbered = |queue: &str| {
        let (group, number) = queue.rsplit_once('-')?;
        Some((group.to_owned(), number.parse::<u32>().ok()?))
    };
    let partitioned = queues.iter().any(|(queue, _)| numbered(queue).is_some());
    let mut lags: BTreeMap<(String, u32), i64> = BTreeMap::new();
    for (queue, messages) in queues {
        // Beside queues with a number, one without is left from a time with one partition, and counts for the first.
        let at = numbered(queue).filter(|_| partitioned).unwrap_or_else(|| ((*queue).to_owned(), 0));
        *lags.entry(at).or_default() += messages;
    }
    let count = lags.keys().map(|(_, partition)| partition + 1).max().unwrap_or(1);
    let end = |of: u32| {
        lags.iter().filter(|((_, partition), _)| *partition == of).map(|(_, messages)| *messages).max().unwrap_or(0)
    };
    Topic {
        name,
        partitions: (0..count).map(|partition| TopicPartition { partition, first: 0, end: end(partition) }).collect(),
        groups: lags
            .iter()
            .map(|((group, partition), lag)| TopicGroup {
                group: group.clone(),
                partition: *partition,
                settled: end(*partition) - lag,
                lag: *lag,
            })
            .collect(),
    }
}

/// Follows `names`, as `topics` has it: from the beginning through the audit queues, from now on through a queue of
/// our own that goes with us.
pub(super) async fn tail(
    link: &Link,
    names: &Names,
    topics: Vec<Topic>,
    partition: Option<u32>,
    from_beginning: bool,
) -> Result<Box<dyn Tail>, BinderError> {
    let refused = |reason: &str| {
        let source = anyhow::anyhow!("{reason}");
        Err(BinderError::refused(format!("look into {}", names.destination()), source))
    };
    let Some(topic) = topics.into_iter().find(|topic| topic.name == names.destination()) else {
        return refused("there is no such topic");
    };
    let count = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
    let partitions: Vec<u32> = (0..count).filter(|at| partition.is_none_or(|wanted| wanted == *at)).collect();
    if partitions.is_empty() {
        return refused("there is no such partition");
    }
    let connection = link.first_connection().await?;
    let channel = channel(&connection).await?;
    if from_beginning {
        let queues = partitions.into_iter().map(|at| (at, names.queue(AUDIT_GROUP, at, count))).collect();
        return Ok(Box::new(AuditTail { channel, queues }));
    }
    let own = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare("".into(), own, FieldTable::default());
    let queue = answer("make a queue to look through", declared).await?.name().clone();
    for at in &partitions {
        let (exchange, key) = (names.destination().into(), names.binding_key(*at, count));
        let bound = channel.queue_bind(
            queue.clone(),
            exchange,
            key.as_str().into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        answer("bind a queue to look through", bound).await?;
    }
    let options = BasicConsumeOptions { no_ack: true, exclusive: true, ..BasicConsumeOptions::default() };
    let consumed = channel.basic_consume(queue, "".into(), options, FieldTable::default());
    let consumer = answer("look through a queue", consumed).await?;
    Ok(Box::new(NewTail { consumer, prefix: format!("{}-", names.destination()) }))
}

/// Gets what the audit queues hold and acknowledges nothing: when the channel goes, all of it stands there as before.
struct AuditTail {
    channel: Channel,
    queues: VecDeque<(u32, String)>,
}

#[async_trait]
impl Tail for AuditTail {
    async fn next(&mut self) -> Result<Option<(u32, Received)>, BinderError> {
        // In turn, so that no partition hides the others; each in its own order.
        for _ in 0..self.queues.len() {
            self.queues.rotate_left(1);
            let Some((partition, queue)) = self.queues.back() else { break };
            let got = self.channel.basic_get(queue.as_str().into(), BasicGetOptions::default());
            if let Some(message) = answer(&format!("look at {queue}"), got).await? {
                return Ok(Some((*partition, received(message.delivery, queue))));
            }
        }
        Ok(None)
    }
}

/// Reads a queue of its own.
struct NewTail {
    consumer: Consumer,
    /// What a routing key with a partition begins with.
    prefix: String,
}

#[async_trait]
impl Tail for NewTail {
    async fn next(&mut self) -> Result<Option<(u32, Received)>, BinderError> {
        let ended = || BinderError::unavailable("look on", anyhow::anyhow!("the channel was closed"));
        match self.consumer.next().now_or_never() {
            None => Ok(None),
            Some(None) => Err(ended()),
            Some(Some(delivery)) => {
                let delivery = delivery.map_err(|error| BinderError::unavailable("look on", error))?;
                let number = delivery.routing_key.as_str().strip_prefix(&self.prefix);
                let partition = number.and_then(|number| number.parse().ok()).unwrap_or(0);
                Ok(Some((partition, received(delivery, ""))))
            }
        }
    }
}
