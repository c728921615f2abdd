//! A service on a log of its own, and how its work is cut short.

use super::KEYS;
use super::model::{Nature, Natures, Work};
use crate::database::{Database, PoolConfig};
use crate::messaging::embedded::EmbeddedBinder;
use crate::messaging::event::Event;
use crate::messaging::failure::Failure;
use crate::messaging::processor::{Handler, Subscription, Worker};
use crate::messaging::retry::RetryPolicy;
use crate::messaging::{Binder, Consumer, ConsumerBinding, Producer, ProducerBinding};
use serde::Deserialize;
use sqlx::AnyConnection;
use sqlx::migrate::Migrator;
use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

#[derive(Deserialize)]
pub(super) struct Number {
    number: i64,
}

/// Writes each event down, and fails as its nature is: too late, so that what is written must be taken back.
pub(super) struct Effects(Arc<Mutex<Vec<Natures>>>);

impl Handler for Effects {
    type Payload = Number;

    async fn apply(&self, connection: &mut AnyConnection, events: &[Event<Number>]) -> Result<(), Failure> {
        for event in events {
            let Event::Create { key, data: Number { number } } = event else { continue };
            let effect = sqlx::query("INSERT INTO effects (event_key, event) VALUES ($1, $2)");
            effect.bind(key).bind(number).execute(&mut *connection).await?;
            match self.0.lock().unwrap()[place(*key)][number] {
                Nature::Failing => return Err(Failure::Failed(anyhow::anyhow!("no luck"))),
                Nature::Refused => return Err(Failure::Invalid("not now".to_owned())),
                Nature::Good | Nature::Unreadable => {}
            }
        }
        Ok(())
    }
}

/// Opens its tables and its log in `folder`.
pub(super) async fn service(
    folder: &Path,
    natures: Arc<Mutex<Vec<Natures>>>,
) -> (Subscription<Effects>, Box<dyn Producer>, Box<dyn Consumer>) {
    static NONE: Migrator = Migrator::DEFAULT;
    let url = format!("sqlite:{}", folder.join("service.db").display());
    let database = Database::open(&url, &PoolConfig::default(), &NONE).await.unwrap();
    let table = "CREATE TABLE effects (number INTEGER PRIMARY KEY AUTOINCREMENT, event_key INTEGER, event BIGINT)";
    let mut transaction = database.begin().await.unwrap();
    sqlx::query(table).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();

    let binder = EmbeddedBinder::open(folder, Duration::MAX).await.unwrap();
    let (destination, group) = ("things".to_owned(), "thingsGroup".to_owned());
    let produced =
        ProducerBinding { destination: destination.clone(), partitions: 1, required_groups: vec![group.clone()] };
    // Few at a time, so that a crash comes between two batches too.
    let binding = ConsumerBinding { destination, group, partitions: 1, instance: None, takeover: true, batch: 3 };
    let no = Duration::ZERO;
    let retry = RetryPolicy { max_attempts: 2, initial_interval: no, max_interval: no, multiplier: 1.0 };
    let (producer, consumer) =
        (binder.producer(&[produced]).await.unwrap(), binder.consumer(&binding, &database).await.unwrap());
    let (binder, handler) = (Arc::new(binder), Effects(natures));
    let subscription = Subscription { binder, binding, database, handler, retry, remember: Duration::MAX };
    (subscription, producer, consumer)
}

pub(super) fn place(key: i32) -> usize {
    key as usize % KEYS
}

/// Works until nothing is left to do; `last` is what was sent last.
pub(super) async fn run(worker: &mut Worker<Effects>, work: Work, last: Option<&str>) {
    match (work, last) {
        (Work::Take, Some(last)) => loop {
            let batch = worker.partition.receive().await.unwrap().unwrap();
            worker.apply(&batch.messages).await.unwrap();
            let end = batch.messages.last().unwrap();
            worker.partition.settle(end.position).await.unwrap();
            if end.id == last {
                break;
            }
        },
        (Work::Repair, _) => {
            let mut together = usize::MAX;
            while worker.repair(&mut together).await.unwrap() {}
        }
        _ => {}
    }
}

/// Polls `work` no more than so many times; what it came to, where it ended.
pub(super) async fn cut<T>(work: impl Future<Output = T>, mut polls: usize) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|context| {
        if polls > 0
            && let Poll::Ready(done) = work.as_mut().poll(context)
        {
            return Poll::Ready(Some(done));
        }
        polls = polls.saturating_sub(1);
        if polls == 0 { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}
