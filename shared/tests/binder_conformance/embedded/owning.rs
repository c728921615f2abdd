//! Who owns a partition, by the locks of the kernel, and what he gets at once.

use crate::lab::{GROUP, World, thing};
use crate::reader::{ids, only_partition};
use crate::scenarios::delivery::handed_over;
use std::time::Duration;
use tokio::time::timeout;

pub(crate) async fn a_partition_stays_with_its_owner_until_it_lets_go(world: &World) {
    handed_over(world, async |other| {
        // As long as several looks of the other take.
        let early = timeout(Duration::from_secs(1), other.assigned()).await;
        let early = early.map(|early| early.map(|partition| partition.number()));
        assert!(early.is_err(), "the other has a partition too soon: {early:?}");
    })
    .await;
}

pub(crate) async fn a_batch_is_what_is_there_up_to_its_limit(world: &World) {
    world.producer(1).await.send((1..=5).map(|seq| thing(1, seq)).collect()).await.unwrap();
    let binder = world.binder().await;
    let (_consumer, mut partition) = only_partition(world, &*binder, GROUP, 3).await;
    for expected in [&["1-1", "1-2", "1-3"][..], &["1-4", "1-5"]] {
        let batch = partition.receive().await.unwrap().unwrap();
        assert_eq!(ids(&batch.messages), expected);
        partition.settle(batch.messages.last().unwrap().position).await.unwrap();
    }
}
