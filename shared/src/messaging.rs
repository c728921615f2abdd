//! The event layer: what Spring Cloud Stream is to Java.
//!
//! A *binder* connects to one kind of broker and binds *producers* and *consumers* to *destinations*. Binders
//! transport and never decide: the partition of a key, JSON, attempts, pauses, parking and giving up are written once,
//! above them. In reading order:
//!
//! - this file: the contract that every binder keeps
//! - [`event`]: what a message says; [`ids`]: how it is known; [`partition`]: where its key belongs
//! - [`failure`]: the three ways in which an event cannot be applied; [`retry`]: how long to try
//! - [`processor`]: from a partition to the tables, exactly once
//! - [`sharing`]: who of a group shall own what, where the broker does not say
//! - [`embedded`]: the binder that needs no server; [`rabbitmq`], [`kafka`]: the binders for brokers that Java services
//!   share
//!
//! What must never happen: a send that returns before the broker has durably taken everything; a message settled before
//! its effect or its dead letter is committed; two owners of one partition who both have an effect; a batch handed out
//! while another of its partition is still out.

pub mod embedded;
pub mod event;
pub mod failure;
pub mod ids;
pub mod kafka;
pub mod partition;
pub mod processor;
pub mod rabbitmq;
pub mod retry;
mod sharing;

use crate::database::Database;
use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};
use std::time::Duration;

/// The group that everybody may read for a look at what was sent; nobody has to.
pub const AUDIT_GROUP: &str = "auditGroup";

/// Headers of a message; values keep the types they had on the wire.
pub type Headers = Map<String, Value>;

/// A connection to one kind of broker.
#[async_trait]
pub trait Binder: Send + Sync + 'static {
    /// Its name in health, as Spring's has it, such as `rabbit`.
    fn name(&self) -> &'static str;

    /// Binds one producer to all of `bindings`, and makes what their required groups need to miss nothing.
    async fn producer(&self, bindings: &[ProducerBinding]) -> Result<Box<dyn Producer>, BinderError>;

    /// Joins a group of consumers. `database` is the service's own, where the members of the group find each other if
    /// the broker does not tell them.
    async fn consumer(&self, binding: &ConsumerBinding, database: &Database) -> Result<Box<dyn Consumer>, BinderError>;

    /// Keeps the broker's copy of a dead letter; returns once it is durable. Binders without a place for it do nothing.
    async fn dead_letter(&self, letter: &DeadLetter) -> Result<Copied, BinderError>;

    /// Reads the place where the broker keeps the dead letters of a group: our copies, and what others left there. Where
    /// letters can be removed, one reads at a time. `None` where there is nothing to read.
    async fn dead_letters(&self, binding: &ConsumerBinding) -> Result<Option<Box<dyn DeadLetters>>, BinderError>;

    /// Whether the broker can be reached, asked now.
    async fn health(&self) -> BinderHealth;

    /// What stands on the broker. Looks only: nothing is consumed.
    async fn topics(&self) -> Result<Vec<Topic>, BinderError>;

    /// Follows a destination, or one partition of it, from its oldest message or from now on. Looks only.
    async fn tail(
        &self,
        destination: &str,
        partition: Option<u32>,
        from_beginning: bool,
    ) -> Result<Box<dyn Tail>, BinderError>;
}

/// Sends to the destinations it was bound to; shared by concurrent requests.
#[async_trait]
pub trait Producer: Send + Sync {
    /// Returns once the broker has durably taken all of `messages`. An error says nothing was promised.
    ///
    /// Messages of one call keep their order in each partition. Dropping the future may or may not send them.
    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), BinderError>;
}

/// A member of a group of consumers. Dropping it leaves the group, though the others may be slow to notice.
#[async_trait]
pub trait Consumer: Send {
    /// Waits for the next partition to become ours. Cancel-safe. To be polled all the time: partitions are handed back
    /// to other members in here too.
    async fn assigned(&mut self) -> Result<Box<dyn Partition>, BinderError>;

    /// How long messages stay with the broker that are settled, and may be handed out again where it loses count of what
    /// was: no event may be forgotten before. [`Duration::MAX`] is for ever; nothing is where they are gone, or counted as
    /// safely as they are kept.
    fn keeps(&self) -> Duration {
        Duration::ZERO
    }

    /// Leaves the group and tells the others, once all partitions are given back.
    async fn leave(self: Box<Self>);
}

/// A partition that is ours: no other member of the group gets its messages meanwhile. Where the broker, and not we,
/// ended that, another may own it before we notice: both then meet the same events in the same order, and the inbox
/// lets each take effect once.
#[async_trait]
pub trait Partition: Send + Sync {
    /// Its number, from 0.
    fn number(&self) -> u32;

    /// Among how many partitions the keys of its destination are shared out now.
    async fn count(&self) -> Result<u32, BinderError>;

    /// Waits for messages and hands out those that are there, in order; `None` when the partition is no longer ours.
    /// Cancel-safe. One batch is out at a time: settle it before the next.
    async fn receive(&mut self) -> Result<Option<Batch>, BinderError>;

    /// Settles all messages up to and including the one at `upto`. An error means that the partition is lost: what is
    /// buffered must be dropped.
    async fn settle(&mut self, upto: Position) -> Result<(), BinderError>;

    /// Resolves when the partition is no longer ours or is wanted by its rightful owner, also while a batch is out.
    async fn lost(&self);

    /// Whether everything that stood here when the partition was assigned has been settled.
    fn caught_up(&self) -> bool;

    /// Gives it back at once; what is not settled goes to the next owner, in order. Dropping does the same.
    async fn release(self: Box<Self>);
}

/// A look at messages as they come.
#[async_trait]
pub trait Tail: Send {
    /// The next message with the number of its partition, or `None` when none is there now.
    async fn next(&mut self) -> Result<Option<(u32, Received)>, BinderError>;
}

/// The dead letters of a group as the broker keeps them. Dropping the reader gives back what it has not settled.
#[async_trait]
pub trait DeadLetters: Send {
    /// The next ones, in order, at most `most` of them, and none more once they weigh [`STANDING_BYTES`]; none at the end.
    async fn next(&mut self, most: usize) -> Result<Vec<StandingLetter>, BinderError>;

    /// Settles what was handed out so far: those at `remove` go, where the broker lets single ones go; the others stay,
    /// in order.
    async fn settle(&mut self, remove: &[Position]) -> Result<(), BinderError>;

    /// Ends the reading; returns once what was to go is gone.
    async fn close(self: Box<Self>) -> Result<(), BinderError>;
}

/// How many bytes of dead letters are read from a broker at once, but for the last one.
pub const STANDING_BYTES: usize = 4 << 20;

/// A dead letter as it stands on the broker.
#[derive(Debug, Clone)]
pub struct StandingLetter {
    /// The message.
    pub message: Received,
    /// The partition that it stood in before.
    pub partition: u32,
    /// Why it was given up, where that is said.
    pub cause: Option<String>,
    /// Whether [`Binder::dead_letter`] wrote it, and not another service.
    pub copy: bool,
}

/// What a producer sends to, and who must miss nothing of it.
#[derive(Debug, Clone)]
pub struct ProducerBinding {
    /// The destination, such as `products`.
    pub destination: String,
    /// How many partitions the destination shall have.
    pub partitions: u32,
    /// Groups that get everything, even if they never ran.
    pub required_groups: Vec<String>,
}

/// What a consumer reads, and as whom.
#[derive(Debug, Clone)]
pub struct ConsumerBinding {
    /// The destination, such as `products`.
    pub destination: String,
    /// The group, whose members share the partitions; such as `productsGroup`.
    pub group: String,
    /// How many partitions the destination shall have if it has to be made.
    pub partitions: u32,
    /// Which partitions this instance prefers; never which it may take over.
    pub instance: Option<Instance>,
    /// Whether it may take over partitions of other instances; binders whose brokers assign them do not ask.
    pub takeover: bool,
    /// The most messages in one batch.
    pub batch: u32,
}

/// The place of an instance among its siblings, as Spring's `instance-index` and `instance-count` state it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instance {
    /// From 0.
    pub index: u32,
    /// How many there are.
    pub count: u32,
}

/// A message on its way to the broker.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// One of the destinations of the producer.
    pub destination: String,
    /// The message id: the same id takes effect once.
    pub id: String,
    /// The key, which decides the partition.
    pub key: i32,
    /// Headers besides those that every binder sets.
    pub headers: Headers,
    /// The event as JSON.
    pub body: Bytes,
}

impl Outgoing {
    /// The partition of this message, where the destination has `count` of them.
    pub fn partition(&self, count: u32) -> u32 {
        partition::of(partition::hash_int(self.key), count)
    }
}

/// A message as it came from the broker.
#[derive(Debug, Clone)]
pub struct Received {
    /// The message id, or what stands for one that is missing or too long.
    pub id: String,
    /// Where to settle it.
    pub position: Position,
    /// When it was sent, in milliseconds since 1970.
    pub timestamp: i64,
    /// What the message says it is, where it says so; such as `application/json`.
    pub content_type: Option<String>,
    /// All headers.
    pub headers: Headers,
    /// The body, whatever it is.
    pub body: Bytes,
    /// Where it came from, in the binder's terms; a dead letter carries it on.
    pub origin: Headers,
}

/// A place in a partition; grows with every message. Only the binder that gave it knows more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub i64);

/// Messages of one partition, in order, at least one.
#[derive(Debug)]
pub struct Batch {
    /// The messages.
    pub messages: Vec<Received>,
}

/// An event that was given up, as the broker's copy needs it.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The message id.
    pub id: String,
    /// Where it was sent to.
    pub destination: String,
    /// The group that gave it up.
    pub group: String,
    /// The partition it stood in.
    pub partition: u32,
    /// The headers it came with.
    pub headers: Headers,
    /// The body it came with.
    pub body: Bytes,
    /// Where it came from, in the binder's terms.
    pub origin: Headers,
    /// Why it was given up.
    pub cause: String,
    /// How often it was tried.
    pub attempts: u32,
}

/// What became of the broker's copy of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// There is none.
    Nowhere,
    /// It stays for good, as history.
    ForGood,
    /// It stays until [`DeadLetters::settle`] removes it.
    UntilRemoved,
}

/// Whether the broker can be reached.
#[derive(Debug, Clone)]
pub struct BinderHealth {
    /// Whether it can.
    pub up: bool,
    /// What health shows, in this order.
    pub details: Vec<(&'static str, Value)>,
}

/// A destination as it stands on the broker.
#[derive(Debug, Clone, Serialize)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its partitions, by number.
    pub partitions: Vec<TopicPartition>,
    /// Its groups, by name.
    pub groups: Vec<TopicGroup>,
}

/// A partition as it stands on the broker.
#[derive(Debug, Clone, Serialize)]
pub struct TopicPartition {
    /// Its number.
    pub partition: u32,
    /// The offset of the oldest message that is kept.
    pub first: i64,
    /// The offset that the next message gets.
    pub end: i64,
}

/// How far a group has come.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicGroup {
    /// Its name.
    pub group: String,
    /// Which partition.
    pub partition: u32,
    /// The offset that it reads next.
    pub settled: i64,
    /// How many messages it has still to read.
    pub lag: i64,
}

/// What went wrong with a broker.
#[derive(Debug, thiserror::Error)]
pub enum BinderError {
    /// The broker cannot be reached, or cannot write: the same may succeed later.
    #[error("could not {attempt}")]
    Unavailable {
        /// What was tried.
        attempt: String,
        /// Why it failed.
        source: anyhow::Error,
    },
    /// The broker refuses this message, now and later.
    #[error("the broker refuses to {attempt}")]
    Refused {
        /// What was tried.
        attempt: String,
        /// Why it is refused.
        source: anyhow::Error,
    },
}

impl BinderError {
    /// The broker is away: the same may succeed later.
    pub fn unavailable(attempt: impl Into<String>, source: impl Into<anyhow::Error>) -> Self {
        Self::Unavailable { attempt: attempt.into(), source: source.into() }
    }

    /// The broker refuses the message.
    pub fn refused(attempt: impl Into<String>, source: impl Into<anyhow::Error>) -> Self {
        Self::Refused { attempt: attempt.into(), source: source.into() }
    }
}
