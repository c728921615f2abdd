//! Sends that share a window of confirms: many requests publish on one channel, and each waits for its own.

use super::link::{Link, answer, channel};
use super::message::Publishing;
use super::names::Names;
use super::topology::{PRECONDITION_FAILED, Topology, reply_code};
use crate::messaging::{BinderError, DeadLetter, Outgoing, Producer, ProducerBinding};
use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, MaybeDone, join_all, maybe_done};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{Channel, Confirmation, Connection};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::{Mutex, Semaphore};

/// The most messages that wait for their confirms; more wait for their turn.
const WINDOW: u32 = 4096;

/// Publishes to the destinations of its bindings, or, without any, copies of dead letters, one after the other.
#[derive(Debug)]
pub(super) struct Publisher {
    link: Link,
    bindings: Vec<ProducerBinding>,
    session: Mutex<Option<Session>>,
    window: Semaphore,
    /// How many permits the messages of one call take at the least.
    least: u32,
}

/// A channel on which everything was declared.
#[derive(Debug)]
struct Session {
    connection: Arc<Connection>,
    channel: Channel,
    /// The keys of dead letters that lead to their queue.
    letters: HashSet<ShortString>,
}

/// A message on its way: pushed to the connection when first polled, done when confirmed.
type Confirm = MaybeDone<BoxFuture<'static, lapin::Result<Confirmation>>>;

impl Publisher {
    pub(super) fn new(link: Link, bindings: Vec<ProducerBinding>) -> Self {
        let least = if bindings.is_empty() { WINDOW } else { 1 };
        Self { link, bindings, session: Mutex::new(None), window: Semaphore::new(WINDOW as usize), least }
    }

    /// Declares everything, unless that was done on the connection that is there.
    pub(super) async fn declare(&self) -> Result<(), BinderError> {
        self.link.first_connection().await?;
        self.session(&mut *self.session.lock().await).await.map(drop)
    }

    /// Returns once the broker has confirmed a copy of `letter`.
    pub(super) async fn copy(&self, letter: &DeadLetter) -> Result<(), BinderError> {
        self.publish(vec![Publishing::dead_letter(letter)?], Some(letter)).await
    }

    /// Returns once the broker has confirmed all of `messages`, or the one that is a copy of `letter`.
    async fn publish(&self, messages: Vec<Publishing>, letter: Option<&DeadLetter>) -> Result<(), BinderError> {
        let permits = u32::try_from(messages.len()).unwrap_or(WINDOW).clamp(self.least, WINDOW);
        let _permits = self.window.acquire_many(permits).await.map_err(unconfirmed)?;
        if let Some(reason) = self.link.blocked() {
            return Err(blocked(&reason));
        }
        let confirms = {
            // One after the other, so that the messages of a call stand together and each gets the confirm of its own.
            let mut session = self.session.lock().await;
            let session = self.session(&mut session).await?;
            if let (Some(letter), [copy]) = (letter, &messages[..]) {
                session.lead(letter, &copy.routing_key).await?;
            }
            messages.into_iter().map(|message| push(session.channel.clone(), message)).collect::<Vec<Confirm>>()
        };
        tokio::select! {
            confirmed = self.all(confirms) => confirmed,
            reason = self.link.until_blocked() => Err(blocked(&reason)),
        }
    }

    /// The session, if it is good, or a new one.
    async fn session<'a>(&self, session: &'a mut Option<Session>) -> Result<&'a mut Session, BinderError> {
        let connection = self.link.connection()?;
        let good =
            |session: &Session| session.channel.status().connected() && Arc::ptr_eq(&session.connection, &connection);
        Ok(match session.take().filter(good) {
            Some(good) => session.insert(good),
            // Each answer has its time: there are as many as there are partitions.
            None => session.insert(self.open(connection).await?),
        })
    }

    async fn open(&self, connection: Arc<Connection>) -> Result<Session, BinderError> {
        let mut topology = Topology::open(connection.clone()).await?;
        for binding in &self.bindings {
            topology.producer(binding).await?;
        }
        let channel = channel(&connection).await?;
        answer("ask for confirms", channel.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok(Session { connection, channel, letters: HashSet::new() })
    }

    /// Waits for all confirms.
    async fn all(&self, mut confirms: Vec<Confirm>) -> Result<(), BinderError> {
        // A refusal closes the channel: it speaks of these messages only if they were alone there.
        let alone = self.least == WINDOW;
        join_all(confirms.iter_mut()).await;
        for confirm in &mut confirms {
            match std::pin::Pin::new(confirm).take_output() {
                Some(Ok(Confirmation::Ack(None))) => {}
                Some(Ok(Confirmation::Ack(Some(returned)))) => {
                    // The queues are gone though the channel is good: the next send declares them again.
                    *self.session.lock().await = None;
                    let source = anyhow::anyhow!("no queue takes it: {} {}", returned.reply_code, returned.reply_text);
                    return Err(BinderError::unavailable("send a message", source));
                }
                Some(Err(error)) if alone && reply_code(&error) == Some(PRECONDITION_FAILED) => {
                    return Err(BinderError::refused("take a message", error));
                }
                Some(Err(error)) => return Err(unconfirmed(error)),
                other => return Err(unconfirmed(anyhow::anyhow!("the broker answered {other:?}"))),
            }
        }
        Ok(())
    }
}

impl Session {
    /// Makes sure, once, that a letter that goes to `key` comes to the queue of its group. Who consumes declares that
    /// too, but not while he waits for his copy to be taken.
    async fn lead(&mut self, letter: &DeadLetter, key: &ShortString) -> Result<(), BinderError> {
        if !self.letters.contains(key) {
            let names = Names::new(&letter.destination)?;
            let mut topology = Topology::open(self.connection.clone()).await?;
            topology.letter(&names, &letter.group, key.as_str()).await?;
            self.letters.insert(key.clone());
        }
        Ok(())
    }
}

#[async_trait]
impl Producer for Publisher {
    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), BinderError> {
        let mut publishing = Vec::with_capacity(messages.len());
        for message in messages {
            let bound = self.bindings.iter().find(|binding| binding.destination == message.destination);
            let Some(binding) = bound else {
                let source = anyhow::anyhow!("{:?} is no destination of this producer", message.destination);
                return Err(BinderError::refused("send a message", source));
            };
            let names = Names::new(&binding.destination)?;
            publishing.push(Publishing::event(message, &names, binding.partitions)?);
        }
        self.publish(publishing, None).await
    }
}

/// Pushes a message to the connection.
fn push(channel: Channel, message: Publishing) -> Confirm {
    let Publishing { exchange, routing_key, properties, body } = message;
    // A queue that takes nothing would otherwise lose it in silence.
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let confirmed =
        async move { channel.basic_publish(exchange, routing_key, options, &body, properties).await?.await };
    let mut confirm = maybe_done(confirmed.boxed());
    let _ = (&mut confirm).now_or_never();
    confirm
}

fn blocked(reason: &str) -> BinderError {
    BinderError::unavailable("send a message", anyhow::anyhow!("RabbitMQ takes no messages: {reason}"))
}

fn unconfirmed(source: impl Into<anyhow::Error>) -> BinderError {
    BinderError::unavailable("send a message that RabbitMQ confirms", source)
}
