//! Replays and drops.

use crate::lab::{SOON, World, saying, thing, valued};
use crate::service::{Hook, Service, Setup, hook};
use crate::tampered::Gate;
use shared::database::letters::wanted::{Unwanted, Wanted, one, parking};
use shared::messaging::Instance;
use shared::messaging::failure::Failure;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::eventually;

/// Events that fail, until they are taken out.
#[derive(Clone, Default)]
struct Broken(Arc<Mutex<BTreeSet<String>>>);

impl Broken {
    fn these(ids: &[&str]) -> Self {
        Self(Arc::new(Mutex::new(ids.iter().map(|&id| id.to_owned()).collect())))
    }

    fn mend(&self, id: &str) {
        self.0.lock().unwrap().remove(id);
    }

    fn hook(&self) -> Hook {
        let broken = self.clone();
        hook(move |thing| {
            let fails = broken.0.lock().unwrap().contains(&thing.id);
            async move { if fails { Err(Failure::Failed(anyhow::anyhow!("no luck"))) } else { Ok(()) } }
        })
    }
}

/// The only instance, which need not wait until its predecessor is taken for dead.
pub(super) fn alone(hook: Hook) -> Setup {
    Setup { instance: Some(Instance { index: 0, count: 1 }), max_attempts: 1, hook, ..Setup::default() }
}

/// Starts a service for which `1-1` fails, with `1-2` and `1-3` parked behind it.
async fn with_a_parked_key(world: &World, broken: &Broken) -> Service {
    let service = world.start(alone(broken.hook())).await;
    let events = [(1, 1), (2, 1), (1, 2), (1, 3)].map(|(key, seq)| thing(key, seq)).into();
    world.producer(1).await.send(events).await.unwrap();
    world.until_letters(3).await;
    world.until_applied(&["2-1"]).await;
    service
}

pub(super) async fn replay_key(world: &World, key: i32) -> u64 {
    parking(&world.database, Some(key), None, Wanted::ReplayKey).await.unwrap().wanted
}

/// Waits until nothing is wanted of any letter, and returns what is said of those that are left.
async fn left(world: &World) -> Vec<(String, String, u32, u32)> {
    eventually(SOON, "nothing wanted", async || {
        let letters = world.letters().await;
        if letters.iter().all(|letter| letter.wanted.is_none()) { Ok(letters) } else { Err(format!("{letters:?}")) }
    })
    .await
    .into_iter()
    .map(|letter| (letter.id, letter.kind, letter.attempts, letter.generation))
    .collect()
}

fn said(id: &str, kind: &str, attempts: u32, generation: u32) -> (String, String, u32, u32) {
    (id.to_owned(), kind.to_owned(), attempts, generation)
}

pub(crate) async fn a_replay_applies_a_key_in_order_and_frees_it(world: &World) {
    let broken = Broken::these(&["1-1"]);
    let service = with_a_parked_key(world, &broken).await;
    broken.mend("1-1");
    assert_eq!(replay_key(world, 7).await, 0);
    assert_eq!(replay_key(world, 1).await, 3);
    world.until_applied(&["2-1", "1-1", "1-2", "1-3"]).await;
    world.until_no_letters().await;
    world.producer(1).await.send(vec![thing(1, 4)]).await.unwrap();
    world.until_applied(&["2-1", "1-1", "1-2", "1-3", "1-4"]).await;
    assert!(world.inbox().await.values().all(|outcome| outcome == "applied"));
    let closed = one(&world.database, "1-2", Wanted::Replay).await;
    assert!(matches!(closed, Err(Unwanted::Closed(id)) if id == "1-2"));
    service.stop().await;
}

pub(crate) async fn a_replay_that_fails_again_keeps_the_rest_of_its_key(world: &World) {
    let broken = Broken::these(&["1-1", "1-2"]);
    let service = with_a_parked_key(world, &broken).await;
    broken.mend("1-1");
    replay_key(world, 1).await;
    world.until_applied(&["2-1", "1-1"]).await;
    assert_eq!(left(world).await, [said("1-2", "failed", 1, 1), said("1-3", "parked", 0, 0)]);
    // Nothing overtakes it, by no word.
    let behind = one(&world.database, "1-3", Wanted::Replay).await;
    assert!(matches!(behind, Err(Unwanted::Behind { first, .. }) if first == "1-2"));
    let behind = one(&world.database, "1-3", Wanted::Drop).await;
    assert!(matches!(behind, Err(Unwanted::Behind { first, .. }) if first == "1-2"));
    broken.mend("1-2");
    // One by one, too.
    one(&world.database, "1-2", Wanted::Replay).await.unwrap();
    world.until_applied(&["2-1", "1-1", "1-2"]).await;
    assert_eq!(left(world).await, [said("1-3", "parked", 0, 0)]);
    assert_eq!(parking(&world.database, None, None, Wanted::ReplayKey).await.unwrap().wanted, 1);
    world.until_applied(&["2-1", "1-1", "1-2", "1-3"]).await;
    world.until_no_letters().await;
    service.stop().await;
}

pub(crate) async fn events_that_come_during_a_replay_come_behind_it(world: &World) {
    let broken = Broken::these(&["1-1"]);
    let gate = Gate::new();
    let (failing, at_gate) = (broken.hook(), gate.clone());
    let held = hook(move |thing| {
        let (holds, gate, failing) = (thing.id == "1-2", at_gate.clone(), failing.clone());
        async move {
            if holds {
                gate.pass().await;
            }
            failing(thing).await
        }
    });
    let service = with_a_parked_key(world, &broken).await;
    service.stop().await;
    let service = world.start(alone(held)).await;
    broken.mend("1-1");
    replay_key(world, 1).await;
    gate.reached().await;
    world.producer(1).await.send(vec![thing(1, 4), thing(2, 2), thing(1, 5)]).await.unwrap();
    gate.open();
    // Whether they found the key parked or free.
    eventually(SOON, "all in their order", async || {
        let effects = world.effects_by_key().await;
        if effects == BTreeMap::from([(1, vec![1, 2, 3, 4, 5]), (2, vec![1, 2])]) {
            Ok(())
        } else {
            Err(format!("{effects:?}"))
        }
    })
    .await;
    world.until_no_letters().await;
    service.stop().await;
}

pub(crate) async fn a_letter_that_is_invalid_now_lets_its_key_go_on(world: &World) {
    let broken = Broken::these(&["1-1"]);
    let service = world.start(alone(broken.hook())).await;
    let events = vec![thing(1, 1), valued(1, 2, "forbidden"), thing(1, 3)];
    world.producer(1).await.send(events).await.unwrap();
    world.until_letters(3).await;
    broken.mend("1-1");
    replay_key(world, 1).await;
    world.until_applied(&["1-1", "1-3"]).await;
    assert_eq!(left(world).await, [said("1-2", "invalid", 1, 1)]);
    assert_eq!(world.inbox().await["1-2"], "dead");
    // It is left alone by who speaks of keys.
    assert_eq!(replay_key(world, 1).await, 0);
    one(&world.database, "1-2", Wanted::Drop).await.unwrap();
    world.until_no_letters().await;
    service.stop().await;
}

pub(crate) async fn a_drop_has_no_effect_and_leaves_what_stands_behind(world: &World) {
    let service = with_a_parked_key(world, &Broken::these(&["1-1"])).await;
    one(&world.database, "1-1", Wanted::Drop).await.unwrap();
    let rest = world.until_letters(2).await;
    assert_eq!(rest.iter().map(|letter| letter.id.as_str()).collect::<Vec<_>>(), ["1-2", "1-3"]);
    // Dropped is decided: the original changes nothing any more.
    let producer = world.producer(1).await;
    producer.send(vec![thing(1, 1), thing(1, 4)]).await.unwrap();
    world.until_letters(3).await;
    assert_eq!(parking(&world.database, Some(1), None, Wanted::Drop).await.unwrap().wanted, 3);
    world.until_no_letters().await;
    producer.send(vec![thing(1, 5)]).await.unwrap();
    world.until_applied(&["2-1", "1-5"]).await;
    let unknown = one(&world.database, "nobody's", Wanted::Drop).await;
    assert!(matches!(unknown, Err(Unwanted::Unknown(id)) if id == "nobody's"));
    service.stop().await;
}

pub(crate) async fn an_invalid_letter_is_replayed_by_its_id_as_a_new_event(world: &World) {
    let broken = Broken::these(&["1-2"]);
    let refusing =
        hook(
            |thing| async move { if thing.id == "1-1" { Err(Failure::Invalid("not now".to_owned())) } else { Ok(()) } },
        );
    let service = world.start(alone(refusing)).await;
    world.producer(1).await.send(vec![thing(1, 1), saying("unreadable", 3, "{")]).await.unwrap();
    world.until_letters(2).await;
    service.stop().await;
    let service = world.start(alone(broken.hook())).await;
    world.producer(1).await.send(vec![thing(1, 2)]).await.unwrap();
    world.until_letters(3).await;
    // A new event of a parked key would come behind it.
    let behind = one(&world.database, "1-1", Wanted::Replay).await;
    assert!(matches!(behind, Err(Unwanted::Behind { first, .. }) if first == "1-2"));
    broken.mend("1-2");
    replay_key(world, 1).await;
    world.until_letters(2).await;
    one(&world.database, "1-1", Wanted::Replay).await.unwrap();
    one(&world.database, "unreadable", Wanted::Replay).await.unwrap();
    world.until_applied(&["1-2", "1-1"]).await;
    assert_eq!(left(world).await, [said("unreadable", "invalid", 2, 1)]);
    one(&world.database, "unreadable", Wanted::Drop).await.unwrap();
    world.until_no_letters().await;
    service.stop().await;
}

pub(crate) async fn replays_that_fail_again_hold_up_no_new_event(world: &World) {
    let ids: Vec<String> = (1..=30).map(|key| format!("{key}-1")).collect();
    let broken = Broken::these(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    let producer = world.producer(1).await;
    let service = world.start(alone(broken.hook())).await;
    producer.send((1..=30).map(|key| thing(key, 1)).collect()).await.unwrap();
    world.until_letters(30).await;
    service.stop().await;
    // With pauses from now on, and all of them for each letter.
    let service = world.start(Setup { max_attempts: 3, ..alone(broken.hook()) }).await;
    parking(&world.database, None, None, Wanted::ReplayKey).await.unwrap();
    eventually(SOON, "a replay", async || if service.tries("1-1").is_empty() { Err("none") } else { Ok(()) }).await;
    producer.send(vec![thing(31, 1)]).await.unwrap();
    world.until_applied(&["31-1"]).await;
    assert_eq!(left(world).await.len(), 30);
    let (new, last) = (service.tries("31-1")[0], service.tries("30-1").pop());
    assert!(last.is_some_and(|last| new < last), "the new event came behind all replays");
    service.stop().await;
}

pub(crate) async fn a_long_replay_holds_up_no_new_event(world: &World) {
    // Batches of letters, and fewer of new events.
    const BATCH: u32 = 20;
    const LETTERS: i64 = 200;
    const NEW: i64 = 60;
    const ALL: usize = 260;
    let broken = Broken::these(&["1-1"]);
    let failing = broken.hook();
    let slow = hook(move |thing| {
        let (replayed, failing) = (thing.id.starts_with("1-"), failing.clone());
        async move {
            failing(thing).await?;
            if replayed {
                // A batch of them takes longer than new events take to be accepted.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        }
    });
    let service = world.start(Setup { batch: BATCH, ..alone(slow) }).await;
    let producer = world.producer(1).await;
    producer.send((1..=LETTERS).map(|seq| thing(1, seq)).collect()).await.unwrap();
    world.until_letters(usize::try_from(LETTERS).unwrap()).await;
    broken.mend("1-1");
    replay_key(world, 1).await;
    eventually(SOON, "a replay", async || if world.applied().await.is_empty() { Err("none") } else { Ok(()) }).await;
    producer.send((1..=NEW).map(|seq| thing(2, seq)).collect()).await.unwrap();
    eventually(SOON * 3, "all effects", async || match world.effects_by_key().await {
        all if all.values().map(Vec::len).sum::<usize>() == ALL => Ok(()),
        some => Err(format!("{:?}", some.values().map(Vec::len).collect::<Vec<_>>())),
    })
    .await;
    let effects = world.applied().await;
    let place = |id: String| effects.iter().position(|effect| *effect == id);
    let (first, last, replayed) = (place("2-1".to_owned()), place(format!("2-{NEW}")), place(format!("1-{LETTERS}")));
    assert!(last < replayed, "new events came behind all replays: {first:?} to {last:?}, {replayed:?}");
    service.stop().await;
    let effects = world.effects_by_key().await;
    assert!(effects.values().all(|seqs| seqs.is_sorted()), "in the order of their keys");
}

pub(crate) async fn two_replays_at_once_are_one(world: &World) {
    let broken = Broken::these(&["1-1"]);
    let service = with_a_parked_key(world, &broken).await;
    // One who stands by, and believes to own the partition, sees the same letters.
    broken.mend("1-1");
    world.steal(1).await;
    let other = world.start(Setup { max_attempts: 1, ..Setup::default() }).await;
    let (a, b) = tokio::join!(replay_key(world, 1), replay_key(world, 1));
    assert!(a <= 3 && b <= 3, "{a} and {b}");
    world.until_applied(&["2-1", "1-1", "1-2", "1-3"]).await;
    world.until_no_letters().await;
    assert_eq!(replay_key(world, 1).await, 0);
    service.stop().await;
    other.stop().await;
    assert_eq!(world.applied().await, ["2-1", "1-1", "1-2", "1-3"]);
}

pub(crate) async fn a_redelivered_original_does_nothing_after_its_replay(world: &World) {
    let broken = Broken::these(&["1-1"]);
    let service = with_a_parked_key(world, &broken).await;
    broken.mend("1-1");
    replay_key(world, 1).await;
    world.until_no_letters().await;
    let again = [(1, 1), (1, 2), (1, 3), (2, 2)].map(|(key, seq)| thing(key, seq)).into();
    world.producer(1).await.send(again).await.unwrap();
    world.until_applied(&["2-1", "1-1", "1-2", "1-3", "2-2"]).await;
    world.until_settled().await;
    world.until_no_letters().await;
    service.stop().await;
    assert_eq!(world.applied().await.len(), 5);
}

pub(crate) async fn a_crash_during_a_replay_leaves_one_effect(world: &World) {
    let broken = Broken::these(&["1-1"]);
    let service = with_a_parked_key(world, &broken).await;
    service.stop().await;
    for id in ["1-1", "1-2", "1-3"] {
        let gate = Gate::new();
        let at_gate = gate.clone();
        let hanging = hook(move |thing| {
            let (hangs, gate) = (thing.id == id, at_gate.clone());
            async move {
                if hangs {
                    gate.pass().await;
                }
                Ok(())
            }
        });
        let service = world.start(alone(hanging)).await;
        if id == "1-1" {
            // Asked once: it outlives all of them.
            replay_key(world, 1).await;
        }
        gate.reached().await;
        service.crash().await;
    }
    let service = world.start(alone(hook(|_| async { Ok(()) }))).await;
    world.until_applied(&["2-1", "1-1", "1-2", "1-3"]).await;
    world.until_no_letters().await;
    service.stop().await;
}

pub(crate) async fn what_was_asked_for_while_nobody_ran_is_done_at_the_start(world: &World) {
    let broken = Broken::these(&["1-1"]);
    with_a_parked_key(world, &broken).await.stop().await;
    replay_key(world, 1).await;
    // With another count of partitions, so that somebody else owns the key.
    let rest = Setup { partitions: 2, max_attempts: 1, ..Setup::default() };
    let service = world.start(rest).await;
    world.until_applied(&["2-1", "1-1", "1-2", "1-3"]).await;
    world.until_no_letters().await;
    service.stop().await;
}
