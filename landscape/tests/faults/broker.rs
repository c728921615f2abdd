//! A broker as it is seen from outside: what it holds, and who consumes it.
//!
//! - this file: what the brokers have in common
//! - [`rabbitmq`], [`kafka`]: how each of them is asked

mod kafka;
mod rabbitmq;

use reqwest::Client;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use testkit::eventually;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// How long a partition may be without a consumer.
const TAKEN_OVER: Duration = Duration::from_secs(10);
/// How often the consumers are counted.
const LOOK: Duration = Duration::from_millis(100);
/// How long a broker that is there may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// A kind of broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broker {
    RabbitMq,
    Kafka,
}

/// What a broker holds.
#[derive(Debug)]
pub(crate) struct Held {
    /// How many events wait in each partition for its group, such as `products.productsGroup-0`.
    pub(crate) waiting: BTreeMap<String, u64>,
    /// How many copies of dead letters there are.
    pub(crate) dead: u64,
}

impl Broker {
    /// Its service in the compose file.
    pub(crate) fn service(self) -> &'static str {
        match self {
            Self::RabbitMq => "rabbitmq",
            Self::Kafka => "kafka",
        }
    }

    /// The compose file that it stands in.
    pub(crate) fn compose_file(self) -> &'static str {
        match self {
            Self::RabbitMq => concat!(env!("CARGO_MANIFEST_DIR"), "/../docker-compose-partitions.yml"),
            Self::Kafka => concat!(env!("CARGO_MANIFEST_DIR"), "/../docker-compose-kafka.yml"),
        }
    }

    /// What it publishes on this machine.
    pub(crate) fn ports(self) -> &'static [u16] {
        match self {
            Self::RabbitMq => &[15672, 5672],
            Self::Kafka => &[9092],
        }
    }

    /// Whether an instance has the partition of its number. Kafka shares them as it likes.
    pub(crate) fn obeys_numbers(self) -> bool {
        self == Self::RabbitMq
    }

    /// What it holds now, or why that is not known.
    pub(crate) async fn held(self, http: &Client) -> Result<Held, String> {
        match self {
            Self::RabbitMq => rabbitmq::held(http).await,
            Self::Kafka => kafka::held().await,
        }
    }
}

/// What one look at the consumers shows.
#[derive(Debug, Clone, Default)]
struct Look {
    /// How many consumers there are: of each partition, or of each group where the group shares them.
    consumers: BTreeMap<String, usize>,
    /// Whether these are as they are to be.
    complete: bool,
    /// The partitions whose events nobody takes.
    idle: BTreeSet<String>,
}

/// What all looks have shown.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// Since when the broker answers, if it does.
    answers: Option<Instant>,
    /// The last look.
    last: Look,
    /// The longest time that any partition had no consumer while the broker was there.
    longest: Duration,
}

/// Counts the consumers all the time.
pub(crate) struct Consumers {
    seen: watch::Receiver<Seen>,
    _counting: AbortOnDropHandle<()>,
}

impl Consumers {
    pub(crate) fn count(broker: Broker) -> Self {
        let (seen, watched) = watch::channel(Seen::default());
        Self { seen: watched, _counting: AbortOnDropHandle::new(tokio::spawn(count(broker, seen))) }
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

    /// Waits until every instance has its partition.
    pub(crate) async fn until_complete(&self) {
        eventually(2 * TAKEN_OVER, "every instance has its one partition", async || {
            let seen = self.seen.borrow();
            if seen.answers.is_some() && seen.last.complete { Ok(()) } else { Err(format!("{:?}", *seen)) }
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

async fn count(broker: Broker, seen: watch::Sender<Seen>) {
    loop {
        // Whatever comes between us and the broker: it is away then.
        let looks = Looks { seen: &seen, idle: BTreeMap::new() };
        let _ = match broker {
            Broker::RabbitMq => rabbitmq::follow(looks).await,
            Broker::Kafka => kafka::follow(looks).await,
        };
        seen.send_modify(|seen| {
            seen.answers = None;
            seen.last = Look::default();
        });
        tokio::time::sleep(LOOK).await;
    }
}

/// The looks of one connection.
struct Looks<'a> {
    seen: &'a watch::Sender<Seen>,
    idle: BTreeMap<String, Instant>,
}

impl Looks<'_> {
    /// Adds one, and waits until it is time for the next.
    async fn add(&mut self, look: Look) {
        let now = Instant::now();
        self.idle.retain(|partition, _| look.idle.contains(partition));
        for partition in &look.idle {
            self.idle.entry(partition.clone()).or_insert(now);
        }
        let longest = self.idle.values().map(|since| now - *since).max().unwrap_or_default();
        self.seen.send_modify(|seen| {
            seen.answers.get_or_insert(now);
            seen.last = look;
            seen.longest = seen.longest.max(longest);
        });
        tokio::time::sleep(LOOK).await;
    }
}
