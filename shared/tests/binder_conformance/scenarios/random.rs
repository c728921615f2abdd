//! Failures, replays, drops and crashes, as they come.

use super::repairing::{alone, replay_key};
use crate::lab::{SOON, World, thing};
use crate::service::hook;
use shared::database::letters::wanted::{Unwanted, Wanted, one, parking};
use shared::messaging::failure::Failure;
use sqlx::Row;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::eventually;
use testkit::workload::Random;

/// How many random steps there are.
const STEPS: usize = 60;
/// How many keys they are about.
const KEYS: usize = 3;

pub(crate) async fn failures_replays_drops_and_crashes_lose_double_and_invert_nothing(world: &World) {
    let seed = std::env::var("REPAIR_SEED")
        .map_or_else(|_| uuid::Uuid::new_v4().as_u64_pair().0, |seed| seed.parse().unwrap());
    println!("REPAIR_SEED={seed}");
    let mut random = Random(seed);
    // A key that is broken fails whatever comes.
    let broken: Arc<Mutex<BTreeSet<i32>>> = Arc::default();
    let of = broken.clone();
    let failing = hook(move |thing| {
        let key: i32 = thing.id.split('-').next().unwrap().parse().unwrap();
        let fails = of.lock().unwrap().contains(&key);
        async move { if fails { Err(Failure::Failed(anyhow::anyhow!("no luck"))) } else { Ok(()) } }
    });
    let producer = world.producer(1).await;
    let mut service = Some(world.start(alone(failing.clone())).await);
    let mut sent = BTreeMap::<i32, i64>::new();
    for _ in 0..STEPS {
        let key = i32::try_from(random.below(KEYS)).unwrap();
        match random.below(10) {
            0..4 => {
                let last = sent.entry(key).or_default();
                let count = 1 + i64::try_from(random.below(4)).unwrap();
                producer.send((1..=count).map(|n| thing(key, *last + n)).collect()).await.unwrap();
                *last += count;
            }
            4 => drop(broken.lock().unwrap().insert(key)),
            5 => drop(broken.lock().unwrap().remove(&key)),
            6 => drop(replay_key(world, key).await),
            7 => drop(parking(&world.database, None, None, Wanted::ReplayKey).await.unwrap()),
            8 => {
                // The first of some key, or one behind it: then it is refused.
                let letters = world.letters().await;
                if !letters.is_empty() {
                    let id = &letters[random.below(letters.len())].id;
                    let dropped = one(&world.database, id, Wanted::Drop).await;
                    let refused = matches!(dropped, Err(Unwanted::Closed(_) | Unwanted::Behind { .. }));
                    assert!(dropped.is_ok() || refused, "{dropped:?}");
                }
            }
            _ => {
                service.take().unwrap().crash().await;
                service = Some(world.start(alone(failing.clone())).await);
            }
        }
        tokio::time::sleep(Duration::from_millis(random.below(20) as u64)).await;
    }
    broken.lock().unwrap().clear();
    world.until_settled().await;
    eventually(SOON, "no letters", async || {
        parking(&world.database, None, None, Wanted::ReplayKey).await.unwrap();
        let letters = world.letters().await;
        if letters.is_empty() { Ok(()) } else { Err(format!("{letters:?}")) }
    })
    .await;
    world.until_no_letters().await;
    service.take().unwrap().stop().await;

    let dropped = sqlx::query("SELECT id FROM dead_letters WHERE state = 'closed' AND wanted = 'drop'");
    let dropped = dropped.fetch_all(world.database.readers()).await.unwrap();
    let dropped: BTreeSet<String> = dropped.iter().map(|row| row.get(0)).collect();
    let kept =
        |(key, last): (i32, i64)| (key, (1..=last).filter(|n| !dropped.contains(&format!("{key}-{n}"))).collect());
    let mut expected: BTreeMap<i32, Vec<i64>> = sent.into_iter().map(kept).collect();
    expected.retain(|_, events| !events.is_empty());
    assert_eq!(world.effects_by_key().await, expected, "REPAIR_SEED={seed}, dropped: {dropped:?}");
}
