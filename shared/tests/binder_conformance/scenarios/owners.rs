//! More than one owner, and none.

use crate::lab::{GROUP, SOON, World, thing};
use crate::service::{Setup, failing, hook};
use crate::tampered::{Gate, Step, Tampered};
use std::time::{Duration, Instant};
use testkit::eventually;

/// How soon the partition of a process that died has another owner.
const TAKEOVER: Duration = Duration::from_secs(15);

pub(crate) async fn an_owner_that_was_frozen_before_applying_does_nothing_twice(world: &World) {
    let producer = world.producer(1).await;
    let (frozen, settled) = (Gate::new(), Gate::new());
    let gates = (frozen.clone(), settled.clone());
    let binder = Tampered::new(world.binder().await, move |step| {
        let (frozen, settled) = gates.clone();
        async move {
            match step {
                Step::Received => frozen.pass().await,
                Step::Settled => settled.pass().await,
                _ => {}
            }
            Ok(())
        }
    });
    producer.send((1..=5).map(|seq| thing(1, seq)).collect()).await.unwrap();
    let former = world.start(Setup { binder: Some(binder), ..Setup::default() }).await;
    frozen.reached().await;
    world.steal(1).await;
    let owner = world.start(Setup { batch: 2, ..Setup::default() }).await;
    producer.send((6..=8).map(|seq| thing(1, seq)).collect()).await.unwrap();
    let all: Vec<String> = (1..=8).map(|seq| format!("1-{seq}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    world.until_applied(&all).await;
    world.until_settled().await;

    // Thawed, it goes on with what it had in hand.
    frozen.open();
    settled.reached().await;
    // What was settled since stays settled.
    world.until_lag(GROUP, 0).await;
    settled.open();
    assert!(former.tries("1-1").is_empty(), "what another owner applied does not reach the handler");
    world.until_applied(&all).await;
    // Both believe that they own the partition, and nothing comes of it.
    producer.send((9..=12).map(|seq| thing(1, seq)).collect()).await.unwrap();
    world.until_settled().await;
    former.stop().await;
    owner.stop().await;
    let all: Vec<String> = (1..=12).map(|seq| format!("1-{seq}")).collect();
    assert_eq!(world.applied().await, all);
    assert!(world.letters().await.is_empty());
}

pub(crate) async fn an_owner_that_was_frozen_while_applying_does_nothing_twice(world: &World) {
    let producer = world.producer(1).await;
    let frozen = Gate::new();
    let gate = frozen.clone();
    let freezing = hook(move |thing| {
        let gate = gate.clone();
        async move {
            if thing.seq == 3 {
                gate.pass().await;
            }
            Ok(())
        }
    });
    producer.send((1..=5).map(|seq| thing(1, seq)).collect()).await.unwrap();
    let former = world.start(Setup { hook: freezing, ..Setup::default() }).await;
    frozen.reached().await;
    world.steal(1).await;
    let got = Gate::opened();
    let at_got = got.clone();
    let binder = Tampered::new(world.binder().await, move |step| {
        let got = at_got.clone();
        async move {
            if matches!(step, Step::Received) {
                got.pass().await;
            }
            Ok(())
        }
    });
    let owner = world.start(Setup { binder: Some(binder), batch: 2, ..Setup::default() }).await;
    got.reached().await;
    // PostgreSQL ends the transaction of who is frozen in it, some time from now.
    if world.database.product() == "SQLite" {
        assert!(world.effects().await.is_empty());
    }
    frozen.open();
    world.until_settled().await;
    producer.send(vec![thing(1, 6)]).await.unwrap();
    world.until_settled().await;
    former.stop().await;
    owner.stop().await;
    assert_eq!(world.applied().await, ["1-1", "1-2", "1-3", "1-4", "1-5", "1-6"]);
    assert!(world.letters().await.is_empty());
}

pub(crate) async fn two_owners_of_one_partition_double_and_invert_nothing(world: &World) {
    let producer = world.producer(1).await;
    let first = world.start(Setup { batch: 7, ..Setup::default() }).await;
    producer.send(vec![thing(1, 1)]).await.unwrap();
    world.until_applied(&["1-1"]).await;
    world.steal(1).await;
    let second = world.start(Setup { batch: 10, ..Setup::default() }).await;
    for seq in 2..=200 {
        producer.send(vec![thing(1, seq)]).await.unwrap();
        if seq % 20 == 0 {
            producer.send((1..=3).map(|more| thing(2, seq + more)).collect()).await.unwrap();
        }
    }
    world.until_settled().await;
    first.stop().await;
    second.stop().await;
    let effects = world.effects().await;
    let of = |key: i32| effects.iter().filter(|effect| effect.key == key).map(|effect| effect.seq).collect::<Vec<_>>();
    assert_eq!(of(1), (1..=200).collect::<Vec<_>>());
    let expected: Vec<i64> = (20..=200).step_by(20).flat_map(|seq| seq + 1..=seq + 3).collect();
    assert_eq!(of(2), expected);
}

pub(crate) async fn two_owners_of_one_partition_write_one_letter_each_event(world: &World) {
    let producer = world.producer(1).await;
    let binder = async || Tampered::new(world.binder().await, |_| async { Ok(()) });
    let (left, right) = (binder().await, binder().await);
    let setup = |binder: &std::sync::Arc<Tampered>, batch| Setup {
        binder: Some(binder.clone()),
        batch,
        hook: failing("1-2"),
        ..Setup::default()
    };
    let first = world.start(setup(&left, 3)).await;
    producer.send(vec![thing(1, 1)]).await.unwrap();
    world.until_applied(&["1-1"]).await;
    world.steal(1).await;
    let second = world.start(setup(&right, 4)).await;
    producer.send((2..=10).flat_map(|seq| [thing(1, seq), thing(2, seq)]).collect()).await.unwrap();
    let letters = world.until_letters(9).await;
    world.until_settled().await;
    first.stop().await;
    second.stop().await;
    let ids: Vec<String> = letters.iter().map(|letter| letter.id.clone()).collect();
    assert_eq!(ids, (2..=10).map(|seq| format!("1-{seq}")).collect::<Vec<_>>());
    assert!(letters[1..].iter().all(|letter| letter.kind == "parked"));
    let applied: Vec<String> = (2..=10).map(|seq| format!("2-{seq}")).collect();
    assert_eq!(world.applied().await, [vec!["1-1".to_owned()], applied].concat());
    let copies = [left.copies(), right.copies()].concat();
    assert!(ids.iter().all(|id| copies.iter().any(|copy| copy.id == *id)), "each letter has a copy");
}

pub(crate) async fn the_partition_of_a_killed_process_is_taken_over(world: &World) {
    let producer = world.producer(1).await;
    producer.send((1..=3).map(|seq| thing(1, seq)).collect()).await.unwrap();
    let child = world.child("hold");
    eventually(SOON, "a child that holds the partition", async || {
        let lines = child.lines();
        if lines.iter().any(|line| line == "holds") { Ok(()) } else { Err(format!("{lines:?}")) }
    })
    .await;
    let service = world.start(Setup::default()).await;
    // The living leave it alone while its owner lives.
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(700) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(world.effects().await.is_empty(), "a partition has one owner");
    }
    let killed = Instant::now();
    child.kill();
    world.until_applied(&["1-1", "1-2", "1-3"]).await;
    assert!(killed.elapsed() < TAKEOVER, "the takeover took {:?}", killed.elapsed());
    service.stop().await;
}
