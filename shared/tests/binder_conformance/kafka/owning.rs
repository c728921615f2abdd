//! Who owns a partition: whoever the group's protocol gives it to.

use super::raw::Raw;
use crate::lab::{GROUP, SOON, World, thing};
use crate::load::{both_work, met};
use crate::service::{Service, Setup};
use crate::tampered::{Step, Tampered};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use testkit::eventually;
use tokio_util::sync::CancellationToken;

/// How soon the partition of a member that died has another owner: its session ends after 6 seconds.
const TAKEOVER: Duration = Duration::from_secs(15);
/// How long a process stands still that comes back: several sessions.
const STILL: Duration = Duration::from_secs(30);
/// Longer than a session.
const SLOW: Duration = Duration::from_secs(9);

async fn instance(world: &World) -> Service {
    world.start(Setup { partitions: 2, ..Setup::default() }).await
}

pub(crate) async fn a_killed_process_and_one_that_comes_back_as_a_zombie_do_nothing_twice(world: &World) {
    let producer = world.producer(2).await;
    let stays = instance(world).await;
    let mut seq = 0;
    for frozen in [true, false] {
        let child = world.child("serve");
        eventually(SOON, "a child that serves", async || if child.lines().is_empty() { Err("none") } else { Ok(()) })
            .await;
        // Until one of the partitions is the child's.
        loop {
            seq += 1;
            both_work(world, &*producer, seq).await;
            if met(&stays, 0, seq) != met(&stays, 1, seq) {
                break;
            }
        }
        let gone = Instant::now();
        if frozen {
            child.freeze(true);
        } else {
            child.kill();
            seq += 1;
            both_work(world, &*producer, seq).await;
            assert!(gone.elapsed() < TAKEOVER, "the takeover took {:?}", gone.elapsed());
            break;
        }
        while gone.elapsed() < STILL {
            seq += 1;
            both_work(world, &*producer, seq).await;
            assert!(met(&stays, 0, seq) && met(&stays, 1, seq));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        // It goes on with what it had in hand, finds that it owns nothing, and comes back as a new member.
        child.freeze(false);
        loop {
            seq += 1;
            both_work(world, &*producer, seq).await;
            if met(&stays, 0, seq) != met(&stays, 1, seq) {
                break;
            }
        }
        child.kill();
    }
    stays.stop().await;
    assert!(world.letters().await.is_empty());
}

pub(crate) async fn a_slow_handler_keeps_its_membership(world: &World) {
    let producer = world.producer(1).await;
    let got = Arc::<AtomicUsize>::default();
    let count = got.clone();
    let slow = Tampered::new(world.binder().await, move |step| {
        let first = matches!(step, Step::Received) && count.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if first {
                tokio::time::sleep(SLOW).await;
            }
            Ok(())
        }
    });
    let first = world.start(Setup { binder: Some(slow), ..Setup::default() }).await;
    producer.send(vec![thing(1, 1)]).await.unwrap();
    world.until_applied(&["1-1"]).await;
    producer.send(vec![thing(1, 2)]).await.unwrap();
    world.until_applied(&["1-1", "1-2"]).await;
    assert_eq!(got.load(Ordering::SeqCst), 2, "it got each once: nobody took the partition from it meanwhile");
    world.until_settled().await;
    first.stop().await;
}

pub(crate) async fn beside_another_client_in_its_group_each_gets_a_share(world: &World) {
    let raw = Raw::of(world);
    let producer = world.producer(2).await;
    let ours = instance(world).await;
    both_work(world, &*producer, 1).await;
    // A member that shares partitions as Java's clients do, and reads what it gets.
    let (seen, stop) = (Arc::<Mutex<BTreeSet<String>>>::default(), CancellationToken::new());
    let mut config = raw.config();
    config.set("group.id", raw.name(GROUP)).set("partition.assignment.strategy", "range");
    config.set("isolation.level", "read_committed").set("auto.offset.reset", "earliest");
    let (theirs, until, topic) = (seen.clone(), stop.clone(), raw.name(crate::lab::THINGS));
    let other = std::thread::spawn(move || {
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&[&topic]).unwrap();
        while !until.is_cancelled() {
            if let Some(Ok(record)) = consumer.poll(Duration::from_millis(100)) {
                let event: serde_json::Value = serde_json::from_slice(record.payload().unwrap()).unwrap();
                theirs.lock().unwrap().insert(event["data"]["id"].as_str().unwrap().to_owned());
                consumer.commit_message(&record, CommitMode::Sync).unwrap();
            }
        }
    });
    let mut seq = 1;
    // Each event is read by one of them, in the end both have one partition.
    loop {
        seq += 1;
        let ids = [0, 1].map(|key| format!("{key}-{seq}"));
        producer.send(vec![thing(0, seq), thing(1, seq)]).await.unwrap();
        let by_ours = eventually(SOON, "both read", async || {
            let (applied, seen) = (world.applied().await, seen.lock().unwrap().clone());
            let read = ids.iter().all(|id| applied.contains(id) || seen.contains(id));
            if read { Ok(ids.iter().filter(|id| applied.contains(id)).count()) } else { Err(format!("{seen:?}")) }
        })
        .await;
        if by_ours == 1 {
            break;
        }
    }
    stop.cancel();
    other.join().unwrap();
    // It has left: all is ours again.
    seq += 1;
    producer.send(vec![thing(0, seq), thing(1, seq)]).await.unwrap();
    eventually(
        SOON,
        "both ours",
        async || {
            if met(&ours, 0, seq) && met(&ours, 1, seq) { Ok(()) } else { Err("not yet") }
        },
    )
    .await;
    world.until_settled().await;
    ours.stop().await;
    assert!(world.letters().await.is_empty());
}
