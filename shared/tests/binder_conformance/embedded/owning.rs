//! Who owns a partition, by the locks of the kernel.

use crate::lab::World;
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
