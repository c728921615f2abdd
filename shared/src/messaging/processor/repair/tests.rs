use super::*;
use crate::database::letters::NewLetter;
use crate::database::letters::wanted::{Wanted, parking};
use crate::database::{Database, PoolConfig};
use crate::messaging::embedded::EmbeddedBinder;
use crate::messaging::retry::RetryPolicy;
use crate::messaging::{Binder, ConsumerBinding};
use sqlx::AnyConnection;
use sqlx::migrate::Migrator;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;

/// How many letters are due at once.
const BATCH: u32 = 100;

/// What becomes of events.
enum Fate {
    /// Each takes its time.
    Slow(Duration),
    /// What they need is away; the second time somebody asks for the stop.
    Away(CancellationToken),
}

/// Notes how many events come together.
struct Counting {
    fate: Fate,
    counts: Arc<Mutex<Vec<usize>>>,
}

impl Handler for Counting {
    type Payload = Value;

    async fn apply(&self, _: &mut AnyConnection, events: &[Event<Value>]) -> Result<(), Failure> {
        let tries = {
            let mut counts = self.counts.lock().unwrap();
            counts.push(events.len());
            counts.len()
        };
        match &self.fate {
            Fate::Slow(time) => {
                tokio::time::sleep(*time * u32::try_from(events.len()).unwrap()).await;
                Ok(())
            }
            Fate::Away(stop) => {
                if tries == 2 {
                    stop.cancel();
                }
                Err(Failure::Unavailable(anyhow::anyhow!("away")))
            }
        }
    }
}

/// A worker, with so many letters of one key that are to be replayed.
async fn worker(folder: &Path, letters: usize, fate: Fate, stop: CancellationToken) -> Worker<Counting> {
    static NONE: Migrator = Migrator::DEFAULT;
    let url = format!("sqlite:{}", folder.join("service.db").display());
    let database = Database::open(&url, &PoolConfig::default(), &NONE).await.unwrap();
    let event = Event::Create { key: 7, data: serde_json::json!({}) };
    let body = event.to_message("things", "id".to_owned(), Headers::new()).unwrap().body;
    let ids: Vec<String> = (0..letters).map(|number| number.to_string()).collect();
    let empty = || "{}".to_owned();
    let letter = |id| NewLetter {
        id,
        key: Some(7),
        headers: empty(),
        origin: empty(),
        body: &body,
        kind: Kind::Failed,
        cause: String::new(),
        attempts: 1,
    };
    let written: Vec<NewLetter<'_>> = ids.iter().map(|id| letter(id.as_str())).collect();
    let mut transaction = database.begin().await.unwrap();
    letters::write(&mut transaction, "things", 0, &written).await.unwrap();
    sqlx::query("UPDATE dead_letters SET state = 'waiting'").execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    parking(&database, Some(7), None, Wanted::ReplayKey).await.unwrap();

    let binder = EmbeddedBinder::open(folder, Duration::MAX).await.unwrap();
    let (destination, group) = ("things".to_owned(), "thingsGroup".to_owned());
    let binding = ConsumerBinding { destination, group, partitions: 1, instance: None, takeover: true, batch: BATCH };
    let mut consumer = binder.consumer(&binding, &database).await.unwrap();
    let pause = Duration::from_millis(1);
    let retry = RetryPolicy { max_attempts: 3, initial_interval: pause, max_interval: pause, multiplier: 1.0 };
    let handler = Counting { fate, counts: Arc::default() };
    let (binder, remember) = (Arc::new(binder), Duration::MAX);
    let subscription = Arc::new(Subscription { binder, binding, database, handler, retry, remember });
    Worker { subscription, partition: consumer.assigned().await.unwrap(), remember, stop }
}

fn counts(worker: &Worker<Counting>) -> Vec<usize> {
    worker.subscription.handler.counts.lock().unwrap().clone()
}

#[tokio::test]
async fn as_many_letters_are_tried_at_once_as_take_no_longer_than_a_turn() {
    let folder = tempfile::tempdir().unwrap();
    let time = Duration::from_millis(5);
    let worker = worker(folder.path(), 400, Fate::Slow(time), CancellationToken::new()).await;
    let mut together = usize::MAX;
    while worker.repair(&mut together).await.unwrap() {}
    let counts = counts(&worker);
    assert_eq!(counts.iter().sum::<usize>(), 400);
    assert_eq!(counts[..3], [100, 50, 25]);
    // What took less than a turn may be doubled once.
    let most = usize::try_from(2 * TURN.as_millis() / time.as_millis()).unwrap();
    assert!(counts[3..].iter().all(|count| *count <= most), "{counts:?}");
}

#[tokio::test]
async fn what_is_away_is_waited_for_with_one_letter_and_the_wait_hears_the_stop() {
    let folder = tempfile::tempdir().unwrap();
    let stop = CancellationToken::new();
    let worker = worker(folder.path(), 64, Fate::Away(stop.clone()), stop).await;
    let repaired = worker.repair(&mut { usize::MAX }).await;
    assert!(matches!(repaired, Err(Left::Stop)), "{repaired:?}");
    assert_eq!(counts(&worker), [64, 1]);
}
