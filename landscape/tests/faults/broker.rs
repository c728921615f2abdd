//! The broker as its management API and a connection of our own show it.

use crate::compose::{BROKER, MANAGEMENT};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use reqwest::Client;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use testkit::eventually;
use testkit::verdict::PLACES;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// How long a partition may be without a consumer.
const TAKEN_OVER: Duration = Duration::from_secs(10);
/// How often the consumers are counted.
const LOOK: Duration = Duration::from_millis(100);
/// How long a broker that is there may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// How many messages stand in each queue of the groups and of their dead letters, or why that is not known.
pub(crate) async fn waiting(http: &Client) -> Result<BTreeMap<String, u64>, String> {
    // Asked of the queues themselves: the statistics are some seconds old.
    let url = format!("{MANAGEMENT}/api/queues/%2F?disable_stats=true&enable_queue_totals=true");
    let answer = async {
        let answer = http.get(url).basic_auth("guest", Some("guest")).send().await?;
        answer.error_for_status()?.json::<Vec<Value>>().await
    };
    let queues = answer.await.map_err(|error| format!("{error:?}"))?;
    let mut waiting = BTreeMap::new();
    for queue in queues {
        let name = queue["name"].as_str().unwrap_or_default();
        if PLACES.iter().any(|place| name.contains(place.group)) {
            let messages = queue["messages"].as_u64().ok_or_else(|| format!("nothing is counted in {queue}"))?;
            waiting.insert(name.to_owned(), messages);
        }
    }
    let queues = 3 * PLACES.len();
    if waiting.len() == queues { Ok(waiting) } else { Err(format!("not {queues} queues: {waiting:?}")) }
}

/// What a look at the consumers has shown.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// Since when the broker answers, if it does.
    answers: Option<Instant>,
    /// How many consumers each partition has.
    consumers: BTreeMap<String, u32>,
    /// The longest time that any partition had no consumer while the broker was there.
    longest: Duration,
}

/// Counts the consumers of each partition all the time.
pub(crate) struct Consumers {
    seen: watch::Receiver<Seen>,
    _counting: AbortOnDropHandle<()>,
}

impl Consumers {
    pub(crate) fn count() -> Self {
        let (seen, watched) = watch::channel(Seen::default());
        Self { seen: watched, _counting: AbortOnDropHandle::new(tokio::spawn(count(seen))) }
    }

    /// Waits until the broker does not answer.
    pub(crate) async fn until_away(&self) {
        eventually(2 * ANSWER, "the broker is away", async || {
            let seen = self.seen.borrow();
            if seen.answers.is_none() { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await;
    }

    /// Waits until the broker answers, and returns since when it does.
    pub(crate) async fn until_answered(&self) -> Instant {
        eventually(Duration::from_secs(60), "the broker answers", async || {
            let seen = self.seen.borrow();
            seen.answers.ok_or_else(|| format!("{seen:?}"))
        })
        .await
    }

    /// Waits until every partition has its consumer.
    pub(crate) async fn until_complete(&self) {
        eventually(2 * TAKEN_OVER, "every partition has its one consumer", async || {
            let seen = self.seen.borrow();
            let complete = seen.answers.is_some() && seen.consumers.values().all(|count| *count == 1);
            if complete { Ok(()) } else { Err(format!("{:?}", *seen)) }
        })
        .await;
        let longest = self.longest();
        assert!(longest < TAKEN_OVER, "a partition was without a consumer for {longest:?}");
    }

    /// The longest time that any partition had no consumer while the broker was there.
    pub(crate) fn longest(&self) -> Duration {
        self.seen.borrow().longest
    }
}

async fn count(seen: watch::Sender<Seen>) {
    loop {
        // Whatever comes between us and the broker: it is away then.
        let _ = follow(&seen).await;
        seen.send_modify(|seen| {
            seen.answers = None;
            seen.consumers.clear();
        });
        tokio::time::sleep(LOOK).await;
    }
}

/// Counts on one connection, until it ends.
async fn follow(seen: &watch::Sender<Seen>) -> Option<()> {
    let connected = timeout(ANSWER, Connection::connect(BROKER, ConnectionProperties::default()));
    let connection = connected.await.ok()?.ok()?;
    let channel = timeout(ANSWER, connection.create_channel()).await.ok()?.ok()?;
    let mut without: BTreeMap<String, Instant> = BTreeMap::new();
    loop {
        let mut consumers = BTreeMap::new();
        for place in &PLACES {
            for partition in 0..2 {
                let queue = format!("{}.{}-{partition}", place.topic, place.group);
                let count = timeout(ANSWER, count_at(&channel, &queue)).await.ok()?.ok()?;
                consumers.insert(queue, count);
            }
        }
        let now = Instant::now();
        without.retain(|queue, _| consumers[queue] == 0);
        for (queue, _) in consumers.iter().filter(|(_, count)| **count == 0) {
            without.entry(queue.clone()).or_insert(now);
        }
        let longest = without.values().map(|since| now - *since).max().unwrap_or_default();
        seen.send_modify(|seen| {
            seen.answers.get_or_insert(now);
            seen.consumers = consumers;
            seen.longest = seen.longest.max(longest);
        });
        tokio::time::sleep(LOOK).await;
    }
}

async fn count_at(channel: &Channel, queue: &str) -> lapin::Result<u32> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let found = channel.queue_declare(queue.into(), passive, FieldTable::default()).await?;
    Ok(found.consumer_count())
}
