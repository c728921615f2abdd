//! A member of a group: one thread that keeps the membership alive, whatever its partitions are busy with, and the
//! partitions that the group's leader gave it.

use super::link::{ANSWER, Link, blocking, client_log, unavailable};
use super::place::Place;
use super::record::number;
use crate::messaging::BinderError;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Message, Offset, TopicPartitionList};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

/// How long the thread waits for something to do before it looks whether it shall end.
const POLL: Duration = Duration::from_millis(200);

pub(super) type Client = BaseConsumer<Membership>;

/// A member, as the client knows it and as its partitions do.
pub(super) struct Membership {
    topic: String,
    group: String,
    state: Mutex<State>,
    /// Something became ours, came back, or went wrong.
    pub(super) changed: Notify,
    /// The client that this belongs to.
    client: OnceLock<Weak<Client>>,
}

#[derive(Default)]
struct State {
    /// The partitions that the group gave us.
    ours: BTreeMap<u32, Arc<Place>>,
    /// Those on which somebody works, who may not have noticed yet that his are gone.
    busy: BTreeSet<u32>,
    /// Why nothing is assigned, where that has a reason.
    trouble: Option<String>,
}

/// A partition that somebody works on from now on.
pub(super) struct Taken {
    pub(super) partition: u32,
    pub(super) place: Arc<Place>,
    pub(super) queue: PartitionQueue<Membership>,
}

/// Ends the membership when it is dropped.
pub(super) struct Member {
    pub(super) client: Arc<Client>,
    stop: CancellationToken,
    ended: CancellationToken,
}

impl Member {
    /// Joins `group`, which reads `topic`.
    pub(super) fn join(link: &Link, topic: &str, group: &str) -> Result<Self, BinderError> {
        let attempt = format!("join the group {group}");
        let mut config = link.clients().client("consumer");
        config
            .set("group.id", group)
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed")
            // What Java's clients can do too, so that they may be in the group.
            .set("partition.assignment.strategy", "range")
            // The least that brokers allow: about how long the partitions of a member that died stand still.
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "1000")
            // What is settled is committed in the background, and when the partition goes.
            .set("enable.auto.offset.store", "false")
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "500")
            .set("enable.partition.eof", "true")
            .set("statistics.interval.ms", "1000")
            // Enough for the next batches, and not the memory of the machine.
            .set("queued.min.messages", "2000")
            .set("queued.max.messages.kbytes", "4096")
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.error.backoff.ms", "100");
        let membership = Membership {
            topic: topic.to_owned(),
            group: group.to_owned(),
            state: Mutex::default(),
            changed: Notify::new(),
            client: OnceLock::new(),
        };
        let made: Client = config.create_with_context(membership).map_err(|error| unavailable(&attempt, &error))?;
        let client = Arc::new(made);
        let _ = client.context().client.set(Arc::downgrade(&client));
        client.subscribe(&[topic]).map_err(|error| unavailable(&attempt, &error))?;
        let member = Self { client: client.clone(), stop: CancellationToken::new(), ended: CancellationToken::new() };
        let (stop, ended) = (member.stop.clone(), member.ended.clone().drop_guard());
        std::thread::Builder::new()
            .name("kafka-consumer".to_owned())
            .spawn(move || {
                keep(&client, &stop);
                drop(ended);
            })
            .map_err(|error| BinderError::unavailable(attempt, error))?;
        Ok(member)
    }

    pub(super) fn membership(&self) -> &Membership {
        self.client.context()
    }

    /// Waits for a partition on which nobody works. Cancel-safe.
    pub(super) async fn assigned(&self) -> Result<Taken, BinderError> {
        let membership = self.membership();
        loop {
            if let Some((partition, place)) = membership.next() {
                let begin = place.progress().again();
                if let Some(begin) = begin {
                    self.seek(partition, &place, begin).await?;
                }
                let queue = self.client.split_partition_queue(&membership.topic, number(partition));
                if let Some(queue) = queue.filter(|_| membership.take(partition, &place)) {
                    return Ok(Taken { partition, place, queue });
                }
            } else if let Some(trouble) = lock(&membership.state).trouble.take() {
                let attempt = format!("consume as {}", membership.group);
                return Err(BinderError::unavailable(attempt, anyhow::anyhow!("{trouble}")));
            } else {
                membership.changed.notified().await;
            }
        }
    }

    /// Takes the client back to what was handed out and not settled.
    async fn seek(&self, partition: u32, place: &Place, begin: i64) -> Result<(), BinderError> {
        let (client, topic) = (self.client.clone(), self.membership().topic.clone());
        blocking("go back to what is not settled", move || {
            client.seek(&topic, number(partition), Offset::Offset(begin), ANSWER)
        })
        .await?;
        place.progress().went_back(begin);
        Ok(())
    }

    /// Leaves the group; returns when the others know, or after a while.
    pub(super) async fn leave(&self, limit: Duration) {
        self.stop.cancel();
        let _ = tokio::time::timeout(limit, self.ended.cancelled()).await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Serves the client until it shall stop, then leaves the group in an orderly way.
fn keep(client: &Client, stop: &CancellationToken) {
    let membership = client.context();
    let serve = || match client.poll(POLL) {
        None => {}
        Some(Ok(record)) => {
            // It belongs into a queue of its own. Whatever brought it here, the group gives it out again.
            warn!(topic = membership.topic, offset = record.offset(), "a record came past its partition");
            client.unsubscribe();
            if let Err(error) = client.subscribe(&[&membership.topic]) {
                membership.note(&error);
            }
        }
        Some(Err(error)) => membership.note(&error),
    };
    while !stop.is_cancelled() {
        serve();
    }
    membership.lose_all();
    if let Err(error) = client.close_queue() {
        debug!(%error, "could not close");
        return;
    }
    while !client.closed() {
        serve();
    }
}

impl Membership {
    /// A partition on which nobody works, with its place.
    fn next(&self) -> Option<(u32, Arc<Place>)> {
        let state = lock(&self.state);
        let free = state.ours.iter().find(|(number, _)| !state.busy.contains(number));
        free.map(|(number, place)| (*number, place.clone()))
    }

    /// Notes that somebody works on a partition, unless it has gone meanwhile.
    fn take(&self, partition: u32, place: &Arc<Place>) -> bool {
        let mut state = lock(&self.state);
        let still = state.ours.get(&partition).is_some_and(|ours| Arc::ptr_eq(ours, place));
        still && state.busy.insert(partition)
    }

    /// Notes that nobody works on it any more.
    pub(super) fn give_back(&self, partition: u32) {
        lock(&self.state).busy.remove(&partition);
        self.changed.notify_one();
    }

    /// Has it committed, if the partition is still ours as `place` has it.
    pub(super) fn settle(&self, client: &Client, partition: u32, place: &Place, next: i64) -> Result<(), BinderError> {
        // While it is held nothing is revoked, and what is stored is ours to store.
        let _state = lock(&self.state);
        if place.lost.is_cancelled() {
            return Err(BinderError::unavailable("settle", anyhow::anyhow!("the partition was taken from us")));
        }
        self.store(client, partition, next).map_err(|error| unavailable("settle", &error))?;
        place.progress().settled(next);
        Ok(())
    }

    fn store(&self, client: &Client, partition: u32, next: i64) -> KafkaResult<()> {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(&self.topic, number(partition), Offset::Offset(next))?;
        client.store_offsets(&offsets)
    }

    fn lose_all(&self) {
        for place in std::mem::take(&mut lock(&self.state).ours).into_values() {
            place.lost.cancel();
        }
    }

    fn note(&self, error: &KafkaError) {
        // That a broker is away is seen elsewhere, and passes.
        if let KafkaError::MessageConsumption(code) | KafkaError::MessageConsumptionFatal(code) = error {
            debug!(topic = self.topic, %code, "a consumer has a problem");
            if !matches!(code, RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown) {
                lock(&self.state).trouble = Some(code.to_string());
                self.changed.notify_one();
            }
        }
    }
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // That records were removed before they were read is told in no other way.
        if facility == "OFFSET" && matches!(level, RDKafkaLogLevel::Warning | RDKafkaLogLevel::Error) {
            let Self { topic, group, .. } = self;
            error!(topic, group, message, "Kafka does not have the records that come next: events may be lost");
        }
        client_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "a consumer has a problem");
    }

    /// Offsets count commits of transactions too. Where only those stand behind the last record, and all records are
    /// settled, they are settled too: a group that has read everything has no lag, in every tool.
    fn stats_raw(&self, statistics: &[u8]) {
        let Ok(statistics) = serde_json::from_slice::<Statistics>(statistics) else { return };
        let Some(client) = self.client.get().and_then(Weak::upgrade) else { return };
        let Some(topic) = statistics.topics.get(&self.topic) else { return };
        let state = lock(&self.state);
        for (partition, place) in &state.ours {
            let Some(seen) = topic.partitions.get(&partition.to_string()) else { continue };
            let mut progress = place.progress();
            let end = seen.eof_offset;
            if progress.is_over(end, seen.fetchq_cnt) && self.store(&client, *partition, end).is_ok() {
                progress.passed_to(end);
            }
        }
    }
}

impl ConsumerContext for Membership {
    fn pre_rebalance(&self, _: &Client, rebalance: &Rebalance<'_>) {
        match rebalance {
            // Split before the first record can come, so that each goes to its own queue.
            Rebalance::Assign(partitions) => {
                let client = self.client.get().and_then(Weak::upgrade);
                for assigned in partitions.elements() {
                    client
                        .as_ref()
                        .and_then(|client| client.split_partition_queue(assigned.topic(), assigned.partition()));
                }
            }
            // Nobody waits for those who work: what they have in hand is applied once, by them or by the next owner.
            Rebalance::Revoke(_) | Rebalance::Error(_) => self.lose_all(),
        }
    }

    fn post_rebalance(&self, _: &Client, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance {
            let mut state = lock(&self.state);
            let numbers = partitions.elements().into_iter().map(|assigned| assigned.partition());
            state.ours = numbers.filter_map(|number| Some((u32::try_from(number).ok()?, Arc::default()))).collect();
            state.trouble = None;
            drop(state);
            self.changed.notify_one();
        }
    }
}

/// What is needed of the client's statistics.
#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    topics: HashMap<String, TopicStatistics>,
}

#[derive(Deserialize)]
struct TopicStatistics {
    partitions: HashMap<String, PartitionStatistics>,
}

#[derive(Deserialize)]
struct PartitionStatistics {
    /// How many records wait to be taken.
    fetchq_cnt: i64,
    /// The end where the client last met it.
    eof_offset: i64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
