//! Sends that share transactions: all requests that wait are sent in one and committed together, since a commit costs
//! the same for one record and for a thousand.

use super::link::Link;
use super::record::Record;
use super::topics::{self, Wanted};
use super::transactions::Transactions;
use crate::messaging::{BinderError, Outgoing, Producer, ProducerBinding};
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// The most that one transaction takes of what waits.
const WINDOW_RECORDS: usize = 8192;
const WINDOW_BYTES: usize = 16 << 20;
/// How many requests may wait for their turn; more wait to be let in.
const WAITING: usize = 1024;

/// Sends in transactions to the destinations of its bindings.
pub(super) struct Publisher {
    link: Link,
    bindings: Vec<ProducerBinding>,
    declared: tokio::sync::Mutex<Declared>,
    requests: mpsc::Sender<Request>,
}

/// How many partitions of each destination are used.
#[derive(Default)]
struct Declared {
    counts: Arc<HashMap<String, u32>>,
    /// Whether all topics stood when that was last asked, and no send has failed since.
    stands: bool,
}

/// What must be taken as a whole or not at all.
pub(super) struct Request {
    pub(super) records: Vec<Record>,
    pub(super) answer: oneshot::Sender<Result<(), Unsent>>,
}

/// Why records were not sent.
#[derive(Debug, Clone)]
pub(super) enum Unsent {
    /// The broker refuses one of the records.
    Refused(String),
    /// It may work later.
    Later(String),
}

impl Publisher {
    pub(super) fn start(link: Link, bindings: Vec<ProducerBinding>) -> Result<Self, BinderError> {
        let (requests, mut waiting) = mpsc::channel(WAITING);
        let mut transactions = Transactions::new(link.clone());
        std::thread::Builder::new()
            .name("kafka-publisher".to_owned())
            .spawn(move || {
                while let Some(window) = window(&mut waiting) {
                    transactions.publish(window);
                }
            })
            .map_err(|error| BinderError::unavailable("start to publish", error))?;
        Ok(Self { link, bindings, declared: tokio::sync::Mutex::default(), requests })
    }

    /// Makes the topics, unless that was done; returns how many partitions of each are used.
    pub(super) async fn declare(&self) -> Result<Arc<HashMap<String, u32>>, BinderError> {
        let mut declared = self.declared.lock().await;
        if !declared.stands {
            let mut counts = HashMap::new();
            for ProducerBinding { destination, partitions, .. } in &self.bindings {
                let count = topics::declare(&self.link, &Wanted::events(destination, *partitions)).await?;
                // Partitions that somebody adds are not used before the next start: with them keys would move, and overtake
                // what still stands where they were.
                let before = declared.counts.get(destination).copied();
                counts.insert(destination.clone(), before.map_or(count, |before| before.min(count)));
            }
            *declared = Declared { counts: Arc::new(counts), stands: true };
        }
        Ok(declared.counts.clone())
    }
}

#[async_trait]
impl Producer for Publisher {
    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), BinderError> {
        if messages.is_empty() {
            return Ok(());
        }
        self.link.up()?;
        let counts = self.declare().await?;
        let mut records = Vec::with_capacity(messages.len());
        for message in messages {
            let Some(count) = counts.get(&message.destination) else {
                let source = anyhow::anyhow!("{:?} is no destination of this producer", message.destination);
                return Err(BinderError::refused("send a message", source));
            };
            records.push(Record::event(message, *count));
        }
        let (answer, answered) = oneshot::channel();
        let later = |reason| BinderError::unavailable("send events that Kafka commits", anyhow::anyhow!("{reason}"));
        let ended = || later("the publisher has ended".to_owned());
        self.requests.send(Request { records, answer }).await.map_err(|_| ended())?;
        match answered.await.map_err(|_| ended())? {
            Ok(()) => Ok(()),
            Err(Unsent::Refused(reason)) => Err(BinderError::refused("take an event", anyhow::anyhow!("{reason}"))),
            Err(Unsent::Later(reason)) => {
                // Somebody may have deleted a topic: the next send makes it again.
                self.declared.lock().await.stands = false;
                Err(later(reason))
            }
        }
    }
}

/// Waits for requests and takes those that are there; `None` when nobody can ask any more.
fn window(waiting: &mut mpsc::Receiver<Request>) -> Option<Vec<Request>> {
    let mut next = Some(waiting.blocking_recv()?);
    let (mut window, mut records, mut bytes) = (Vec::new(), 0, 0);
    while let Some(request) = next {
        records += request.records.len();
        bytes += request.records.iter().filter_map(|record| record.body.as_ref()).map(bytes::Bytes::len).sum::<usize>();
        window.push(request);
        let full = records >= WINDOW_RECORDS || bytes >= WINDOW_BYTES;
        next = if full { None } else { waiting.try_recv().ok() };
    }
    Some(window)
}
