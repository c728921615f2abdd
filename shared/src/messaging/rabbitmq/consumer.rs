//! Partitions, each the exclusive consumer of its queue on a channel of its own: the broker frees the queue when the
//! channel is gone, however that came.

use super::headers;
use super::hold::Hold;
use super::link::{Link, answer, channel};
use super::members::Members;
use super::message::received;
use super::names::Names;
use super::stream::Share;
use super::topology::{PASSIVE, Topology};
use crate::database::Database;
use crate::messaging::{Batch, BinderError, Consumer, ConsumerBinding, Partition, Position, Received};
use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use lapin::options::{BasicAckOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};
use tracing::warn;

/// How often a member looks for partitions that are free and to be its own.
const LOOK: Duration = Duration::from_millis(250);
/// How many batches may be on their way while one is applied, and what one batch may weigh.
const AHEAD: u32 = 2;
const BATCH_BYTES: usize = 4 << 20;

/// The connections of those who consume: one for what is delivered, which is not read while there is no room for more,
/// and one to look around, which always answers.
pub(super) struct Links {
    pub(super) consuming: Link,
    pub(super) looking: Link,
}

pub(super) struct RabbitConsumer {
    links: Links,
    names: Names,
    binding: ConsumerBinding,
    members: Members,
    /// A channel to look around, on a connection on which everything was declared.
    declared: Option<Topology>,
    /// The partitions that are ours, each with the means to ask for it back.
    ours: BTreeMap<String, watch::Sender<bool>>,
    /// Queues of another count of partitions that still hold events: they come first.
    leftovers: Vec<(String, u32)>,
    look: Interval,
}

impl RabbitConsumer {
    pub(super) async fn join(links: Links, binding: ConsumerBinding, database: Database) -> Result<Self, BinderError> {
        let names = Names::new(&binding.destination)?;
        links.consuming.first_connection().await?;
        let connection = links.looking.first_connection().await?;
        let mut topology = Topology::open(connection).await?;
        topology.consumer(&names, &binding.group, binding.partitions).await?;
        let leftovers = leftovers(&mut topology, &names, &binding).await?;
        let members = Members::join(links.consuming.clone(), &binding, database);
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { links, names, binding, members, declared: Some(topology), ours: BTreeMap::new(), leftovers, look })
    }

    /// A channel to look around, on a connection on which everything is declared.
    async fn topology(&mut self) -> Result<Topology, BinderError> {
        let connection = self.links.looking.connection()?;
        if let Some(topology) = self.declared.take().filter(|declared| declared.stands_on(&connection)) {
            return Ok(topology);
        }
        let mut topology = Topology::open(connection).await?;
        topology.consumer(&self.names, &self.binding.group, self.binding.partitions).await?;
        Ok(topology)
    }

    /// The next queue that is to be ours and is free.
    async fn next(&mut self) -> Result<Option<RabbitPartition>, BinderError> {
        self.ours.retain(|_, ours| !ours.is_closed());
        self.ask_back();
        let mut topology = self.topology().await?;
        // What stands in the queues of another count is older than what comes through those of this one.
        while let Some((queue, partition)) = self.leftovers.last().cloned() {
            match topology.look(&queue).await? {
                Some(found) if found.message_count() > 0 || found.consumer_count() > 0 => {
                    let taken = self.acquire(&queue, partition, found.consumer_count(), true).await;
                    self.declared = Some(topology);
                    return taken;
                }
                _ => self.leftovers.pop(),
            };
        }
        for partition in 0..self.binding.partitions {
            let queue = self.names.queue(&self.binding.group, partition, self.binding.partitions);
            if self.ours.contains_key(&queue) || !self.members.is_to_be_ours(partition) {
                continue;
            }
            // Where somebody deleted it, it is declared again before the next look.
            let Some(found) = topology.look(&queue).await? else { return Ok(None) };
            if let Some(taken) = self.acquire(&queue, partition, found.consumer_count(), false).await? {
                self.declared = Some(topology);
                return Ok(Some(taken));
            }
        }
        self.declared = Some(topology);
        Ok(None)
    }

    /// Asks for the partitions that are to be another's; whatever becomes of those that are to be ours.
    fn ask_back(&self) {
        let Self { names, binding, members, ours, .. } = self;
        for partition in (0..binding.partitions).filter(|partition| !members.is_to_be_ours(*partition)) {
            if let Some(ours) = ours.get(&names.queue(&binding.group, partition, binding.partitions)) {
                ours.send_replace(true);
            }
        }
    }

    /// Takes a queue, unless somebody else consumes it.
    async fn acquire(
        &mut self,
        queue: &str,
        number: u32,
        consumers: u32,
        leftover: bool,
    ) -> Result<Option<RabbitPartition>, BinderError> {
        if consumers > 0 || self.ours.contains_key(queue) {
            return Ok(None);
        }
        let link = self.links.consuming.clone();
        let connection = link.connection()?;
        let channel = channel(&connection).await?;
        let ahead = u16::try_from(self.binding.batch.saturating_mul(AHEAD)).unwrap_or(u16::MAX);
        answer("limit what is sent ahead", channel.basic_qos(ahead, BasicQosOptions::default())).await?;
        let stood_here = channel.queue_declare(queue.into(), PASSIVE, FieldTable::default());
        let stood_here = answer(&format!("look at the queue {queue}"), stood_here).await?.message_count();
        let share = link.share(&channel);
        let Some(hold) = Hold::take(channel, queue).await? else { return Ok(None) };
        let (ours, wanted_back) = watch::channel(false);
        self.ours.insert(queue.to_owned(), ours);
        Ok(Some(RabbitPartition {
            number,
            count: self.binding.partitions,
            queue: queue.into(),
            leftover,
            batch: self.binding.batch as usize,
            share,
            hold,
            connection,
            link,
            wanted_back,
            stood_here: stood_here.into(),
            settled: 0,
        }))
    }
}

#[async_trait]
impl Consumer for RabbitConsumer {
    async fn assigned(&mut self) -> Result<Box<dyn Partition>, BinderError> {
        loop {
            // A queue that was just taken goes with this future if it is dropped, and the next look takes it again.
            if let Some(taken) = self.next().await? {
                return Ok(Box::new(taken));
            }
            self.look.tick().await;
        }
    }

    async fn leave(self: Box<Self>) {
        self.members.leave().await;
    }
}

/// The queues of other counts of partitions that hold events.
async fn leftovers(
    topology: &mut Topology,
    names: &Names,
    binding: &ConsumerBinding,
) -> Result<Vec<(String, u32)>, BinderError> {
    let ConsumerBinding { group, partitions: count, .. } = binding;
    let mut others = Vec::new();
    if *count > 1 {
        let plain = names.queue(group, 0, 1);
        others.extend(topology.look(&plain).await?.map(|found| (plain, 0, found.message_count())));
    }
    // Partitions are numbered without a gap: behind the first that never was there are none.
    for partition in (if *count > 1 { *count } else { 0 }).. {
        let queue = names.queue(group, partition, u32::MAX);
        let Some(found) = topology.look(&queue).await? else { break };
        others.push((queue, partition, found.message_count()));
    }
    others.retain(|(_, _, messages)| *messages > 0);
    for (queue, _, messages) in &others {
        warn!(queue, messages, count, "the queue is of another count of partitions: its events are taken first");
    }
    Ok(others.into_iter().map(|(queue, partition, _)| (queue, partition)).collect())
}

struct RabbitPartition {
    number: u32,
    count: u32,
    queue: Box<str>,
    /// Given back when it is empty.
    leftover: bool,
    batch: usize,
    /// Before the hold, so that it goes first: while there is no room, the answer to closing the channel is not read.
    share: Share,
    hold: Hold,
    connection: Arc<Connection>,
    link: Link,
    wanted_back: watch::Receiver<bool>,
    /// How many messages stood here when the partition became ours, and the last that was settled since.
    stood_here: u64,
    settled: u64,
}

impl RabbitPartition {
    /// Whether the broker still takes us for the owner, as far as we know.
    fn is_ours(&self) -> bool {
        !*self.wanted_back.borrow() && self.hold.channel().is_ok_and(|channel| channel.status().connected())
    }

    /// Waits for the first message, then takes what is there.
    async fn next(&mut self) -> Result<Option<Vec<Received>>, BinderError> {
        let Some((channel, mut consumer)) = self.hold.held().cloned() else { return Ok(None) };
        let first = tokio::select! {
            biased;
            () = self.lost() => return Ok(None),
            first = consumer.next() => first,
            () = empty(&channel, &self.queue), if self.leftover => return Ok(None),
        };
        let mut next = Some(first);
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while let Some(delivery) = next {
            match delivery {
                Some(Ok(delivery)) => {
                    let headers = delivery.properties.headers().as_ref().map_or(0, headers::size);
                    bytes += delivery.data.len() + headers;
                    messages.push(received(delivery, &self.queue));
                }
                // The channel was closed, or the queue deleted: what is in hand goes to the next owner.
                Some(Err(_)) | None => return Ok(None),
            }
            let full = messages.len() >= self.batch || bytes >= BATCH_BYTES;
            next = if full { None } else { consumer.next().now_or_never() };
        }
        Ok(Some(messages))
    }
}

/// Resolves when nothing stands in the queue any more.
async fn empty(channel: &Channel, queue: &str) {
    loop {
        tokio::time::sleep(LOOK).await;
        let found = channel.queue_declare(queue.into(), PASSIVE, FieldTable::default()).await;
        if found.is_ok_and(|found| found.message_count() == 0) {
            return;
        }
    }
}

#[async_trait]
impl Partition for RabbitPartition {
    fn number(&self) -> u32 {
        self.number
    }

    async fn count(&self) -> Result<u32, BinderError> {
        Ok(self.count)
    }

    async fn receive(&mut self) -> Result<Option<Batch>, BinderError> {
        if !self.is_ours() {
            return Ok(None);
        }
        let messages = self.next().await?;
        Ok(messages.map(|messages| Batch { messages }))
    }

    async fn settle(&mut self, upto: Position) -> Result<(), BinderError> {
        let tag = upto.0.unsigned_abs();
        let acknowledged = self.hold.channel()?.basic_ack(tag, BasicAckOptions { multiple: true });
        answer("acknowledge", acknowledged).await?;
        self.share.settled(tag);
        self.settled = tag;
        Ok(())
    }

    async fn lost(&self) {
        tokio::select! {
            // A member that is gone asks for all of its partitions: nobody would look after them.
            _ = async { self.wanted_back.clone().wait_for(|wanted| *wanted).await.map(drop) } => {}
            () = self.link.lost(&self.connection) => {}
        }
    }

    fn caught_up(&self) -> bool {
        self.settled >= self.stood_here
    }

    async fn release(self: Box<Self>) {
        let Self { share, hold, .. } = *self;
        drop(share);
        // A channel that is gone already is closed.
        let _ = hold.close().await;
    }
}
