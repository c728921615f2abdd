//! Exchanges, queues and keys by their names, as Spring Cloud Stream's binder gives them.

use crate::messaging::BinderError;
use lapin::types::{AMQPValue, FieldTable, ShortString};

/// The exchange of all dead letters.
pub(super) const DEAD_LETTERS: &str = "DLX";

/// A destination: its exchange has this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names(String);

/// How many partitions a destination has: with one, keys and queues have no number.
pub(super) type Count = u32;

impl Names {
    /// A name with which all others still fit: the broker takes 255 bytes.
    pub(super) fn new(destination: &str) -> Result<Self, BinderError> {
        fitting(destination)?;
        Ok(Self(destination.to_owned()))
    }

    pub(super) fn destination(&self) -> &str {
        &self.0
    }

    /// `D`, or `D-p`.
    pub(super) fn routing_key(&self, partition: u32, count: Count) -> String {
        if count > 1 { format!("{}-{partition}", self.0) } else { self.0.clone() }
    }

    /// The key that binds a queue: `#`, or `D-p`.
    pub(super) fn binding_key(&self, partition: u32, count: Count) -> String {
        if count > 1 { self.routing_key(partition, count) } else { "#".to_owned() }
    }

    /// `D.G`, or `D.G-p`.
    pub(super) fn queue(&self, group: &str, partition: u32, count: Count) -> String {
        let queue = format!("{}.{group}", self.0);
        if count > 1 { format!("{queue}-{partition}") } else { queue }
    }

    /// `D.G.dlq`: one for all partitions.
    pub(super) fn dead_letter_queue(&self, group: &str) -> String {
        format!("{}.{group}.dlq", self.0)
    }

    /// What the queue of a consumer is declared with.
    pub(super) fn arguments(queue: &str) -> FieldTable {
        let mut arguments = FieldTable::default();
        for (name, value) in [("x-dead-letter-exchange", DEAD_LETTERS), ("x-dead-letter-routing-key", queue)] {
            arguments.insert(name.into(), AMQPValue::LongString(value.into()));
        }
        arguments
    }
}

/// Refuses names that are too long to be part of others.
pub(super) fn fitting(name: &str) -> Result<(), BinderError> {
    if (1..=100).contains(&name.len()) {
        return Ok(());
    }
    let source = anyhow::anyhow!("the name {name:?} has {} bytes instead of 1 to 100", name.len());
    Err(BinderError::refused("declare what carries the events", source))
}

/// A text as the protocol's short string; too long a text is the message's fault.
pub(super) fn short(text: &str) -> Result<ShortString, BinderError> {
    ShortString::try_new(text).map_err(|_| {
        BinderError::refused("send a message", anyhow::anyhow!("{} bytes are too long for a name or id", text.len()))
    })
}
