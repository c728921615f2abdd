//! A new count of partitions.

use super::keeping::until_kept;
use crate::lab::{GROUP, SOON, THINGS, World, consuming, producing, thing};
use crate::service::Setup;
use testkit::eventually;

/// How many messages each partition has got.
async fn ends(world: &World) -> Vec<i64> {
    let topics = world.binder().await.topics().await.unwrap();
    topics[0].partitions.iter().map(|at| at.end).collect()
}

pub(crate) async fn a_new_count_of_partitions_holds_once_everything_is_settled(world: &World) {
    let old = world.producer(2).await;
    old.send((0..6).map(|key| thing(key, 1)).collect()).await.unwrap();
    assert_eq!(ends(world).await, [3, 3]);
    let new = world.producer(3).await;
    new.send((0..6).map(|key| thing(key, 2)).collect()).await.unwrap();
    assert_eq!(ends(world).await, [6, 6], "the old count holds while something is not settled");
    let service = world.start(Setup { partitions: 2, ..Setup::default() }).await;
    world.until_settled().await;
    service.stop().await;
    // Whoever sends, sends by the new count: also who knew only the old one.
    old.send((0..6).map(|key| thing(key, 3)).collect()).await.unwrap();
    assert_eq!(ends(world).await.len(), 3, "the new count holds once everything is settled");
    let read = world.drain(THINGS, GROUP, 3).await;
    assert_eq!(read.values().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2]);
}

pub(crate) async fn order_per_key_survives_every_new_count_of_partitions(world: &World) {
    const KEYS: i32 = 12;
    const EACH: i64 = 60;
    world.producer(2).await;
    let instance = async || world.start(Setup { partitions: 2, batch: 5, ..Setup::default() }).await;
    let (first, second) = (instance().await, instance().await);
    let binder = world.binder().await;
    let mut counts = std::collections::BTreeSet::new();
    for seq in 1..=EACH {
        let count = [2, 3, 1, 4][usize::try_from(seq).unwrap() / 8 % 4];
        let producer = binder.producer(&[producing(THINGS, count, &[GROUP])]).await.unwrap();
        producer.send((0..KEYS).map(|key| thing(key, seq)).collect()).await.unwrap();
        // Now and then the services catch up, so that the new count comes into force.
        if seq % 4 == 0 {
            world.until_settled().await;
        }
        counts.insert(ends(world).await.len());
    }
    eventually(SOON, "all effects", async || match world.effects().await.len() {
        720 => Ok(()),
        now => Err(format!("{now}")),
    })
    .await;
    world.until_settled().await;
    first.stop().await;
    second.stop().await;
    assert!(counts.len() > 1, "the count never changed: {counts:?}");
    let expected: Vec<i64> = (1..=EACH).collect();
    for (key, seqs) in world.effects_by_key().await {
        assert_eq!(seqs, expected, "the effects of key {key}");
    }
}

pub(crate) async fn a_late_group_without_messages_does_not_hold_the_old_count(world: &World) {
    let producer = world.producer(1).await;
    producer.send((0..6).map(|key| thing(key, 1)).collect()).await.unwrap();
    world.drain(THINGS, GROUP, 1).await;
    until_kept(world, 0).await;
    // Whatever it could have read is forgotten, so nothing of it can be unsettled.
    let late = world.join(&*world.binder().await, &consuming("late", 1)).await;
    let producer = world.producer(2).await;
    producer.send((0..6).map(|key| thing(key, 2)).collect()).await.unwrap();
    assert_eq!(ends(world).await.len(), 2);
    drop(late);
}
