//! A new count of partitions: queues of the other form that still hold events.

use super::broker::Broker;
use crate::lab::{THINGS, World, thing};
use crate::service::Setup;
use shared::messaging::AUDIT_GROUP;

pub(crate) async fn what_another_count_left_is_applied_before_what_this_one_brings(world: &World) {
    let broker = Broker::of(world);
    let mut seq = 0;
    for (before, after) in [(1, 2), (2, 1), (1, 3)] {
        let start = world.effects().await.len();
        for partitions in [before, after] {
            seq += 1;
            let producer = world.producer(partitions).await;
            // More than one batch.
            producer.send((0..150).map(|key| thing(key, seq)).collect()).await.unwrap();
        }
        let service = world.start(Setup { partitions: after, ..Setup::default() }).await;
        world.until_settled().await;
        service.stop().await;
        let applied = world.effects().await.split_off(start);
        let seqs: Vec<i64> = applied.iter().map(|effect| effect.seq).collect();
        let expected: Vec<i64> = [seq - 1, seq].into_iter().flat_map(|seq| [seq; 150]).collect();
        assert_eq!(seqs, expected, "from {before} to {after}: first what was there, then the others");
    }
    for (key, seqs) in world.effects_by_key().await {
        assert_eq!(seqs, (1..=seq).collect::<Vec<_>>(), "key {key}");
    }
    assert!(broker.list("queues").await.len() > 5, "the queues of each count stand");
}

pub(crate) async fn the_queues_of_one_partition_get_no_copies_of_what_goes_to_two(world: &World) {
    let broker = Broker::of(world);
    world.producer(1).await.send((0..10).map(|key| thing(key, 1)).collect()).await.unwrap();
    world.producer(2).await.send((0..10).map(|key| thing(key, 2)).collect()).await.unwrap();
    for group in [crate::lab::GROUP, AUDIT_GROUP] {
        let plain = format!("{THINGS}.{group}");
        assert_eq!(broker.count(&plain).await, 10, "{plain} holds what it held");
        for partition in 0..2 {
            let queue = format!("{plain}-{partition}");
            assert_eq!(broker.count(&queue).await, 5, "{queue}");
        }
    }
    // Who still sends as before is still heard: by the queues without partitions.
    let raw = broker.raw().await;
    raw.publish(THINGS, THINGS, lapin::BasicProperties::default(), &thing(1, 3).body).await;
    assert_eq!(broker.count("things.thingsGroup").await, 11);
}
