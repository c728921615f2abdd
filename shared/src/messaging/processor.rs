//! From a partition to the tables: every event takes effect once or becomes one dead letter, in the order of its key.
//!
//! This is the policy of the event layer, the same above every binder:
//!
//! - this file: one worker for each partition that is ours
//! - [`patience`]: how long to wait, and when to give up
//! - [`apply`]: a batch in one transaction, or event by event where one is bad
//! - [`give_up`]: dead letters, and the broker's copies of them
//! - [`repair`]: replays and drops that somebody asked for, between batches
//! - [`left`]: what stands in the broker's dead letters: copies that are to go, and what others left
//!
//! What must never happen: a message settled before [`apply`] or [`give_up`] has committed what became of it; a wait
//! that neither a stop nor the loss of the partition ends.

mod apply;
mod give_up;
mod left;
mod patience;
mod repair;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
mod steps;

pub use left::{ImportError, Imported, import};

use super::event::Event;
use super::failure::Failure;
use super::retry::RetryPolicy;
use super::{Binder, Consumer, ConsumerBinding, Partition};
use crate::database::{Database, inbox};
use patience::Outage;
use serde::de::DeserializeOwned;
use sqlx::AnyConnection;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// What a service does with the events of a destination.
pub trait Handler: Send + Sync + 'static {
    /// The data of a creation.
    type Payload: DeserializeOwned + Send + Sync + 'static;

    /// Applies `events`, which are in order, inside the transaction of `connection`. On an error nothing is kept. An error
    /// of the database must be returned: PostgreSQL keeps nothing of a transaction in which a statement failed, and lets
    /// it be committed without a word. Nor may it wait for anything else: a transaction that idles is ended.
    fn apply(
        &self,
        connection: &mut AnyConnection,
        events: &[Event<Self::Payload>],
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What is consumed, by whom, and with how much patience.
pub struct Subscription<H> {
    /// Where the broker's copies of dead letters go.
    pub binder: Arc<dyn Binder>,
    /// What is consumed.
    pub binding: ConsumerBinding,
    /// Where inbox, letters and the handler's tables are.
    pub database: Database,
    /// What is done with each event.
    pub handler: H,
    /// How often a failing event is tried.
    pub retry: RetryPolicy,
    /// How long the inbox remembers an event at the least; longer where the broker [keeps](Consumer::keeps) it longer.
    pub remember: Duration,
}

impl<H> std::fmt::Debug for Subscription<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("binding", &self.binding).finish_non_exhaustive()
    }
}

/// Consumes until `stop`, then finishes the batches in hand and gives all partitions back.
pub async fn process<H: Handler>(
    subscription: Subscription<H>,
    mut consumer: Box<dyn Consumer>,
    stop: CancellationToken,
) {
    let subscription = Arc::new(subscription);
    let mut workers = JoinSet::new();
    workers.spawn(left::remove_closed(subscription.clone(), stop.clone()));
    let mut outage = Outage::new("take partitions");
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = workers.join_next() => {
                // The partition was given back when its worker was dropped, so it will be assigned again.
                if let Err(panic) = ended {
                    error!(error = %panic, "a partition's worker ended unexpectedly");
                }
            }
            assigned = consumer.assigned() => match assigned {
                Ok(partition) => {
                    outage.over();
                    let remember = subscription.remember.max(consumer.keeps());
                    let worker = Worker { subscription: subscription.clone(), partition, remember, stop: stop.clone() };
                    workers.spawn(worker.run());
                }
                Err(error) => {
                    let pause = outage.pause(error);
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
    }
    while workers.join_next().await.is_some() {}
    consumer.leave().await;
}

/// Why a worker leaves its partition.
#[derive(Debug, Clone, Copy)]
enum Left {
    /// The service stops.
    Stop,
    /// The partition is not ours any more.
    Lost,
}

/// Works on one partition, one batch at a time.
struct Worker<H> {
    subscription: Arc<Subscription<H>>,
    partition: Box<dyn Partition>,
    /// How long its events are remembered.
    remember: Duration,
    stop: CancellationToken,
}

impl<H: Handler> Worker<H> {
    async fn run(mut self) {
        let (destination, number) = (self.subscription.binding.destination.clone(), self.partition.number());
        info!(destination, partition = number, "partition taken");
        let left = match self.work().await {
            Ok(never) => match never {},
            Err(left) => left,
        };
        self.partition.release().await;
        info!(destination, partition = number, why = ?left, "partition given back");
    }

    async fn work(&mut self) -> Result<std::convert::Infallible, Left> {
        // A former owner may have crashed between a letter and the broker's copy of it.
        self.send_copies().await?;
        let mut outage = Outage::new("receive events");
        let mut prune_at = Instant::now() + PRUNE_EVERY;
        let (mut repair_at, mut together) = (Instant::now(), usize::MAX);
        loop {
            // Between batches and when there are none: neither holds up the other.
            if Instant::now() >= repair_at {
                let since = Instant::now();
                let more = self.repair(&mut together).await?;
                repair_at = Instant::now() + if more { Duration::ZERO } else { rest(since.elapsed()) };
            }
            let batch = tokio::select! {
                // Unbiased, a batch is taken after the stop in more than half of all cases.
                biased;
                () = self.stop.cancelled() => return Err(Left::Stop),
                received = self.partition.receive() => match received {
                    Ok(Some(batch)) => batch,
                    Ok(None) => return Err(Left::Lost),
                    Err(error) => {
                        self.wait(outage.pause(error)).await?;
                        continue;
                    }
                },
                () = tokio::time::sleep_until(repair_at.into()) => continue,
            };
            outage.over();
            let Some(last) = batch.messages.last() else { continue };
            let upto = last.position;
            self.apply(&batch.messages).await?;
            if let Err(error) = self.partition.settle(upto).await {
                warn!(error = format!("{:#}", anyhow::Error::from(error)), "partition lost while settling");
                // Where it is not, as on a full disk, it would be taken again at once, and the same batch fail again.
                self.wait(UNSETTLED).await?;
                return Err(Left::Lost);
            }
            if self.partition.caught_up() && Instant::now() >= prune_at {
                let more = self.prune().await;
                prune_at = Instant::now() + if more { Duration::ZERO } else { PRUNE_EVERY };
            }
        }
    }

    /// Waits for `pause`, or until there is no reason to wait.
    async fn wait(&self, pause: Duration) -> Result<(), Left> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Left::Stop),
            () = self.partition.lost() => Err(Left::Lost),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }

    /// Forgets events that can no longer be redelivered, and tells whether there may be more of them. Everything that
    /// stood in the partition when it was taken is settled, so what could come back is younger than what is forgotten.
    async fn prune(&self) -> bool {
        let Subscription { database, binding, .. } = &*self.subscription;
        let age = i64::try_from(self.remember.as_millis()).unwrap_or(i64::MAX);
        let before = jiff::Timestamp::now().as_millisecond().saturating_sub(age);
        let forgotten = async {
            let mut transaction = database.begin().await?;
            let number = self.partition.number();
            let rows = inbox::forget(&mut transaction, &binding.destination, number, before, PRUNE_MOST).await?;
            transaction.commit().await?;
            Ok::<_, sqlx::Error>(rows)
        };
        match database.in_time(forgotten).await {
            Ok(rows) => rows >= PRUNE_MOST.into(),
            Err(error) => {
                warn!(%error, "could not forget old events; this is tried again later");
                false
            }
        }
    }
}

/// How often a partition looks for replays and drops.
const REPAIR_EVERY: Duration = Duration::from_millis(500);
/// How long a partition rests that could not be settled, unless it is lost.
const UNSETTLED: Duration = Duration::from_secs(1);
/// How often old events are forgotten. While there are more, after every batch, and more than came with it.
const PRUNE_EVERY: Duration = Duration::from_secs(10);
const PRUNE_MOST: u32 = 1_000;

/// How long until the next look, after one that found nothing to do: among very many letters of others it takes long, and
/// is not to take more than a tenth of all time.
fn rest(took: Duration) -> Duration {
    REPAIR_EVERY.max(took * 9)
}
