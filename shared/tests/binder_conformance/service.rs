//! The service under test: the real processor over a handler that does as it is told.

use crate::lab::{GROUP, SOON, World, consuming};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use shared::database::Database;
use shared::messaging::event::Event;
use shared::messaging::failure::Failure;
use shared::messaging::processor::{Handler, Subscription, process};
use shared::messaging::retry::RetryPolicy;
use shared::messaging::{Binder, ConsumerBinding, Instance};
use sqlx::AnyConnection;
use sqlx::migrate::Migrator;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use testkit::eventually;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The tables of the service.
pub(crate) static TABLES: Migrator = sqlx::migrate!("./tests/binder_conformance/migrations");

/// The data of an event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Thing {
    pub(crate) id: String,
    pub(crate) seq: i64,
    pub(crate) value: String,
}

/// What an event has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) key: i32,
    pub(crate) seq: i64,
    pub(crate) id: String,
}

/// What comes before an event's effect; on an error there is none.
pub(crate) type Hook = Arc<dyn Fn(Thing) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync>;

/// A hook out of an async closure.
pub(crate) fn hook<F>(before: impl Fn(Thing) -> F + Send + Sync + 'static) -> Hook
where
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    Arc::new(move |thing| Box::pin(before(thing)))
}

/// A hook that fails for this event.
pub(crate) fn failing(id: &'static str) -> Hook {
    hook(move |thing| async move {
        if thing.id == id { Err(Failure::Failed(anyhow::anyhow!("no luck").context("cannot apply"))) } else { Ok(()) }
    })
}

/// How a service is started.
pub(crate) struct Setup {
    pub(crate) binder: Option<Arc<dyn Binder>>,
    pub(crate) database: Option<Database>,
    pub(crate) partitions: u32,
    pub(crate) instance: Option<Instance>,
    pub(crate) takeover: bool,
    pub(crate) batch: u32,
    pub(crate) max_attempts: u32,
    pub(crate) hook: Hook,
    /// While this is set, the disk has no room for more pages than there are.
    pub(crate) disk_full: Option<Arc<AtomicBool>>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            binder: None,
            database: None,
            partitions: 1,
            instance: None,
            takeover: true,
            batch: 100,
            max_attempts: 3,
            hook: hook(|_| async { Ok(()) }),
            disk_full: None,
        }
    }
}

/// The pauses of all services here: 40, 80, 100, 100, … milliseconds.
pub(crate) fn retry(max_attempts: u32) -> RetryPolicy {
    RetryPolicy {
        max_attempts,
        initial_interval: Duration::from_millis(40),
        max_interval: Duration::from_millis(100),
        multiplier: 2.0,
    }
}

/// A service that runs.
pub(crate) struct Service {
    stop: CancellationToken,
    task: JoinHandle<()>,
    tries: Arc<Mutex<Vec<(String, Instant)>>>,
}

impl World {
    /// Starts the service, with a binder and a database of its own unless it is given others.
    pub(crate) async fn start(&self, setup: Setup) -> Service {
        let binder = match setup.binder {
            Some(binder) => binder,
            None => self.binder().await,
        };
        let database = match setup.database {
            Some(database) => database,
            None => self.database(Duration::from_secs(5)).await,
        };
        let binding = ConsumerBinding {
            batch: setup.batch,
            instance: setup.instance,
            takeover: setup.takeover,
            ..consuming(GROUP, setup.partitions)
        };
        let tries = Arc::default();
        let disk_full = setup.disk_full.map(|full| (full, database.product()));
        let handler = Things { hook: setup.hook, disk_full, tries: Arc::clone(&tries) };
        let retry = retry(setup.max_attempts);
        let remember = Duration::from_secs(3600);
        let subscription = Subscription { binder, binding, database, handler, retry, remember };
        Service { tries, ..self.serve(subscription).await }
    }

    /// Starts any service.
    pub(crate) async fn serve<H: Handler>(&self, subscription: Subscription<H>) -> Service {
        let binder = subscription.binder.clone();
        let join = async || binder.consumer(&subscription.binding, &subscription.database).await;
        let consumer = eventually(SOON, "a place in the group", join).await;
        let stop = CancellationToken::new();
        let task = tokio::spawn(process(subscription, consumer, stop.clone()));
        Service { stop, task, tries: Arc::default() }
    }
}

impl Service {
    /// Asks the service to stop; [`Service::stopped`] waits for it.
    pub(crate) fn ask_to_stop(&self) {
        self.stop.cancel();
    }

    pub(crate) fn is_running(&self) -> bool {
        !self.task.is_finished()
    }

    pub(crate) async fn stopped(self) {
        self.task.await.expect("the processor ends without a panic");
    }

    pub(crate) async fn stop(self) {
        self.ask_to_stop();
        self.stopped().await;
    }

    /// Ends the service wherever it is, as a crash does.
    pub(crate) async fn crash(self) {
        self.task.abort();
        let ended = self.task.await;
        assert!(ended.is_err_and(|end| end.is_cancelled()), "the service ran until it crashed");
    }

    /// When the handler met this event.
    pub(crate) fn tries(&self, id: &str) -> Vec<Instant> {
        self.tries.lock().unwrap().iter().filter(|(tried, _)| tried == id).map(|(_, at)| *at).collect()
    }
}

struct Things {
    hook: Hook,
    disk_full: Option<(Arc<AtomicBool>, &'static str)>,
    tries: Arc<Mutex<Vec<(String, Instant)>>>,
}

impl Handler for Things {
    type Payload = Thing;

    async fn apply(&self, connection: &mut AnyConnection, events: &[Event<Thing>]) -> Result<(), Failure> {
        // The row is ours until the commit, so these numbers tell in which order transactions were committed.
        let numbers = sqlx::query_scalar::<_, i64>("UPDATE numbers SET last = last + $1 RETURNING last - $1");
        let last = numbers.bind(i64::try_from(events.len()).unwrap()).fetch_one(&mut *connection).await?;
        for (number, event) in (last + 1..).zip(events) {
            match event {
                Event::Create { key, data } => {
                    self.tries.lock().unwrap().push((data.id.clone(), Instant::now()));
                    (self.hook)(data.clone()).await?;
                    if let Some((full, product)) = &self.disk_full {
                        limit_disk(connection, full.load(Ordering::SeqCst), product).await?;
                    }
                    create(connection, number, *key, data).await?;
                }
                Event::Delete { key } => return Err(Failure::Invalid(format!("nobody deletes the thing {key}"))),
            }
        }
        Ok(())
    }
}

async fn limit_disk(connection: &mut AnyConnection, full: bool, product: &str) -> Result<(), sqlx::Error> {
    let limit = match (product, full) {
        ("SQLite", true) => "PRAGMA max_page_count = 1",
        ("SQLite", false) => "PRAGMA max_page_count = 2147483647",
        // The disk of a server is not ours to fill: it says the same.
        (_, true) => "DO $$ BEGIN RAISE EXCEPTION 'the disk is full' USING ERRCODE = '53100'; END $$",
        (_, false) => return Ok(()),
    };
    sqlx::raw_sql(limit).execute(connection).await.map(drop)
}

async fn create(connection: &mut AnyConnection, number: i64, key: i32, thing: &Thing) -> Result<(), sqlx::Error> {
    let effect = sqlx::query("INSERT INTO effects (number, key, seq, id, value) VALUES ($1, $2, $3, $4, $5)");
    let effect = effect.bind(number).bind(key).bind(thing.seq).bind(thing.id.as_str()).bind(thing.value.as_str());
    effect.execute(connection).await.map(drop)
}
