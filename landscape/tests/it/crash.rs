//! The promise of all promises: what was accepted takes effect once and in order, whenever the process is killed.

use crate::process::{Landscape, SOON, client};
use crate::verdict;
use shared::service::config::Variables;
use std::time::{Duration, Instant, SystemTime};
use testkit::eventually;
use testkit::workload::{Clients, Random};

/// How often the landscape is killed at the least while requests are under way and events wait.
const KILLS: u32 = 30;

/// Set it to what a failed run has printed to have its choices again.
const SEED: &str = "CRASH_SEED";

/// Two partitions, and batches small enough that kills fall between them.
const VARIABLES: [(&str, &str); 3] = [("PARTITIONS", "2"), ("BATCH_SIZE", "20"), ("RUST_LOG", "warn")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_landscape_that_is_killed_loses_doubles_and_reorders_nothing() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = Variables::from_env().text(SEED).map_or(now.as_secs(), |seed| seed.parse().unwrap());
    println!("{SEED}={seed}");
    let mut random = Random(seed);
    let started = Instant::now();

    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path();
    let mut landscape = Landscape::start(data_dir, &VARIABLES).await;
    verdict::keep_history(data_dir).await;
    let clients = Clients::start(client(), 12, seed, landscape.composite());

    let (mut kills, mut others, mut most_waiting) = (0, 0, 0);
    while kills < KILLS {
        assert!(others < 2 * KILLS, "of {} kills only {kills} fell among requests and events", kills + others);
        let enough = clients.answered() + 1 + random.below(200) as u64;
        eventually(SOON, "requests are answered", async || {
            let answered = clients.answered();
            if answered < enough { Err(format!("{answered} of {enough}")) } else { Ok(()) }
        })
        .await;
        // Any moment: not only right behind an answer.
        tokio::time::sleep(Duration::from_micros(random.below(20_000) as u64)).await;
        let unanswered = clients.unanswered();
        landscape.process.kill();
        let waiting = verdict::waiting(data_dir).await;
        most_waiting = most_waiting.max(waiting);

        if random.below(3) == 0 {
            // And once more, somewhere in the next start.
            let mut starting = Landscape::starting(data_dir, &VARIABLES);
            tokio::time::sleep(Duration::from_millis(random.below(200) as u64)).await;
            starting.kill();
            others += 1;
        }
        landscape = Landscape::start(data_dir, &VARIABLES).await;
        clients.go_on_at(landscape.composite());
        if waiting > 0 && clients.unanswered() > unanswered {
            kills += 1;
        } else {
            others += 1;
        }
    }

    let unanswered = clients.unanswered();
    let keys = clients.finish().await.unwrap();
    verdict::all_settled(&landscape, data_dir).await;
    assert_eq!(landscape.stop("TERM").await.code, Some(0));
    let events = verdict::check(data_dir, &keys).await;
    let requests: usize = keys.iter().map(|key| key.requests.len()).sum();
    println!(
        "{kills} kills under load and {others} others, {requests} requests over {} keys, {unanswered} of them broken off, \
         {events} events, at most {most_waiting} waiting at a kill, {:.1} s",
        keys.len(),
        started.elapsed().as_secs_f64()
    );
    assert!(events > 1000, "only {events} events: that proves little");
}
