//! Declaring what carries the events, in Spring's order and with Spring's arguments. What stands already in another
//! form is used as it stands.

use super::link::{answer, channel, in_time};
use super::names::{Count, DEAD_LETTERS, Names, fitting};
use crate::messaging::{AUDIT_GROUP, BinderError, ProducerBinding};
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind, Queue};
use std::sync::Arc;
use tracing::warn;

/// The AMQP reply codes that are looked at.
pub(super) const ACCESS_REFUSED: u16 = 403;
pub(super) const NOT_FOUND: u16 = 404;
pub(super) const PRECONDITION_FAILED: u16 = 406;

/// Looks at a queue without declaring it.
pub(super) const PASSIVE: QueueDeclareOptions =
    QueueDeclareOptions { passive: true, durable: false, exclusive: false, auto_delete: false, nowait: false };

/// Declares on a channel of its own, since a refusal closes it.
pub(super) struct Topology {
    connection: Arc<Connection>,
    channel: Channel,
}

impl Topology {
    pub(super) async fn open(connection: Arc<Connection>) -> Result<Self, BinderError> {
        Ok(Self { channel: channel(&connection).await?, connection })
    }

    /// Whether this is of use on `connection`.
    pub(super) fn stands_on(&self, connection: &Arc<Connection>) -> bool {
        Arc::ptr_eq(&self.connection, connection) && self.channel.status().connected()
    }

    /// What a producer sends to, and the queues of all groups that shall miss nothing: those who were named, exactly
    /// as their consumers declare them, and the audit group, as Spring's producers do.
    pub(super) async fn producer(&mut self, binding: &ProducerBinding) -> Result<(), BinderError> {
        let (names, count) = (Names::new(&binding.destination)?, binding.partitions);
        for group in binding.required_groups.iter().filter(|group| *group != AUDIT_GROUP) {
            self.consumer(&names, group, count).await?;
        }
        self.exchange(names.destination(), ExchangeKind::Topic).await?;
        for partition in 0..count {
            let queue = names.queue(AUDIT_GROUP, partition, count);
            self.queue(&queue, FieldTable::default()).await?;
            self.bind(&queue, names.destination(), &names.binding_key(partition, count)).await?;
        }
        self.narrow(&names, AUDIT_GROUP, count).await
    }

    /// What a group reads: its queues, all partitions, and the queue of its dead letters.
    pub(super) async fn consumer(&mut self, names: &Names, group: &str, count: Count) -> Result<(), BinderError> {
        fitting(group)?;
        self.exchange(names.destination(), ExchangeKind::Topic).await?;
        for partition in 0..count {
            let queue = names.queue(group, partition, count);
            self.queue(&queue, Names::arguments(&queue)).await?;
            self.bind(&queue, names.destination(), &names.binding_key(partition, count)).await?;
            if partition == 0 {
                self.letters(names, group).await?;
            }
            self.bind(&names.dead_letter_queue(group), DEAD_LETTERS, &queue).await?;
        }
        self.narrow(names, group, count).await
    }

    /// What brings a letter that goes to `key` to the dead letters of a group.
    pub(super) async fn letter(&mut self, names: &Names, group: &str, key: &str) -> Result<(), BinderError> {
        self.letters(names, group).await?;
        self.bind(&names.dead_letter_queue(group), DEAD_LETTERS, key).await
    }

    async fn letters(&mut self, names: &Names, group: &str) -> Result<(), BinderError> {
        let letters = names.dead_letter_queue(group);
        self.queue(&letters, FieldTable::default()).await?;
        self.exchange(DEAD_LETTERS, ExchangeKind::Direct).await?;
        self.bind(&letters, DEAD_LETTERS, &names.queue(group, 0, 1)).await
    }

    /// The queue as it stands, or `None` where there is none.
    pub(super) async fn look(&mut self, queue: &str) -> Result<Option<Queue>, BinderError> {
        let attempt = format!("look at the queue {queue}");
        let found = self.channel.queue_declare(queue.into(), PASSIVE, FieldTable::default());
        match in_time(&attempt, found).await? {
            Ok(found) => Ok(Some(found)),
            Err(error) if reply_code(&error) == Some(NOT_FOUND) => {
                self.channel = channel(&self.connection).await?;
                Ok(None)
            }
            Err(error) => Err(BinderError::unavailable(attempt, error)),
        }
    }

    async fn exchange(&mut self, name: &str, kind: ExchangeKind) -> Result<(), BinderError> {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let attempt = format!("declare {name}");
        let declared = self.channel.exchange_declare(name.into(), kind, options, FieldTable::default());
        match in_time(&attempt, declared).await? {
            Err(error) if reply_code(&error) == Some(PRECONDITION_FAILED) => {
                warn!(exchange = name, %error, "the exchange stands in another form; it is used as it is");
                self.channel = channel(&self.connection).await?;
                Ok(())
            }
            declared => declared.map_err(|error| BinderError::unavailable(attempt, error)),
        }
    }

    /// Declares a queue, and makes sure that it is a classic one: two exclusive consumers can be on a quorum queue, and
    /// a stream keeps what was acknowledged.
    async fn queue(&mut self, name: &str, mut arguments: FieldTable) -> Result<(), BinderError> {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let attempt = format!("declare {name}");
        let declared = self.channel.queue_declare(name.into(), options, arguments.clone());
        let mut declared = in_time(&attempt, declared).await?;
        let stands = declared.is_ok();
        if stands {
            // A virtual host may have another type for queues that name none, as ours and Java's do.
            arguments.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
            declared = in_time(&attempt, self.channel.queue_declare(name.into(), options, arguments)).await?;
        }
        let Err(error) = declared else { return Ok(()) };
        if reply_code(&error) != Some(PRECONDITION_FAILED) {
            return Err(BinderError::unavailable(attempt, error));
        }
        let said = error.to_string();
        if ["quorum", "stream"]
            .iter()
            .any(|kind| said.contains(&format!("current is '{kind}'")) || said.contains(&format!("the value '{kind}'")))
        {
            let attempt = format!("use the queue {name}: order per key needs a classic queue");
            return Err(BinderError::refused(attempt, error));
        }
        // Old brokers take a type that is named for another one than the same type unnamed.
        if !stands {
            warn!(queue = name, %error, "the queue stands with other arguments; it is used as it is");
        }
        self.channel = channel(&self.connection).await?;
        Ok(())
    }

    async fn bind(&self, queue: &str, exchange: &str, key: &str) -> Result<(), BinderError> {
        let (options, none) = (QueueBindOptions::default(), FieldTable::default());
        let bound = self.channel.queue_bind(queue.into(), exchange.into(), key.into(), options, none);
        answer(&format!("bind {queue} to {exchange}"), bound).await
    }

    /// Where there are partitions, the queue of the form without them would get everything once more. It stays bound
    /// for producers that still write so.
    async fn narrow(&mut self, names: &Names, group: &str, count: Count) -> Result<(), BinderError> {
        let plain = names.queue(group, 0, 1);
        if count < 2 || self.look(&plain).await?.is_none() {
            return Ok(());
        }
        self.bind(&plain, names.destination(), names.destination()).await?;
        let unbound = self.channel.queue_unbind(
            plain.as_str().into(),
            names.destination().into(),
            "#".into(),
            FieldTable::default(),
        );
        answer(&format!("narrow what {plain} gets"), unbound).await
    }
}

/// The code with which the broker refused.
pub(super) fn reply_code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}
