//! Topics, tails and health.

use crate::lab::{GROUP, SOON, THINGS, World, consuming, lags, producing, thing};
use crate::reader::{ids, only_partition, take};
use shared::messaging::{BinderError, Received, Tail};
use std::collections::BTreeMap;
use testkit::eventually;

/// Reads until `count` messages came.
async fn read(tail: &mut dyn Tail, count: usize) -> Vec<(u32, Received)> {
    let mut read = Vec::new();
    eventually(SOON, &format!("{count} messages in the tail"), async || {
        while let Some(next) = tail.next().await.unwrap() {
            read.push(next);
        }
        if read.len() >= count { Ok(()) } else { Err(format!("{}", read.len())) }
    })
    .await;
    read
}

pub(crate) async fn topics_and_tails_look_without_consuming(world: &World) {
    let producer = world.producer(2).await;
    for key in 0..10 {
        producer.send(vec![thing(key, 1)]).await.unwrap();
    }
    let binder = world.binder().await;
    binder.producer(&[producing("others", 3, &[GROUP])]).await.unwrap();
    for _ in 0..2 {
        let topics = binder.topics().await.unwrap();
        let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
        assert_eq!(names, ["others", THINGS]);
        assert_eq!(topics[0].partitions.len(), 3);
        let counts: BTreeMap<_, _> = topics[1].partitions.iter().map(|at| (at.partition, at.end - at.first)).collect();
        assert!(counts.keys().eq(&[0, 1]), "{counts:?}");
        assert!(counts.values().all(|count| world.offsets(5, 1).contains(count)), "{counts:?}");
        assert_eq!(lags(&topics[1], GROUP), counts, "nobody has read anything");
        assert!(
            topics[1].groups.iter().all(|at| at.lag == topics[1].partitions[at.partition as usize].end - at.settled)
        );

        let mut tail = binder.tail(THINGS, None, true).await.unwrap();
        let read = read(&mut *tail, 10).await;
        for partition in 0..2 {
            let own: Vec<Received> = read.iter().filter(|(of, _)| *of == partition).map(|(_, at)| at.clone()).collect();
            let sent: Vec<String> = (0..10).filter(|key| key % 2 == partition).map(|key| format!("{key}-1")).collect();
            assert_eq!(ids(&own), sent, "partition {partition} in its order");
        }
    }
    // A look while somebody reads changes nothing for him, and shows how far he is.
    let mut consumer = world.join(&*binder, &consuming(GROUP, 2)).await;
    let mut partition = consumer.assigned().await.unwrap();
    take(&mut *partition, 3).await;
    world.until_lag(GROUP, 7).await;
    partition.release().await;
    consumer.leave().await;
    let rest: Vec<Received> = world.drain(THINGS, GROUP, 2).await.into_values().flatten().collect();
    assert_eq!(rest.len(), 7, "what was looked at is still there for the group");
}

pub(crate) async fn a_tail_follows_one_partition_or_starts_now(world: &World) {
    let producer = world.producer(2).await;
    producer.send((0..4).map(|key| thing(key, 1)).collect()).await.unwrap();
    let binder = world.binder().await;
    let mut odd = binder.tail(THINGS, Some(1), true).await.unwrap();
    let mut new = binder.tail(THINGS, None, false).await.unwrap();
    assert!(new.next().await.unwrap().is_none(), "what stood there before is not shown");
    producer.send((0..4).map(|key| thing(key, 2)).collect()).await.unwrap();

    let read_odd: Vec<String> = read(&mut *odd, 4).await.into_iter().map(|(_, message)| message.id).collect();
    assert_eq!(read_odd, ["1-1", "3-1", "1-2", "3-2"]);
    let mut read_new: Vec<String> = read(&mut *new, 4).await.into_iter().map(|(_, message)| message.id).collect();
    read_new.sort();
    assert_eq!(read_new, ["0-2", "1-2", "2-2", "3-2"]);

    for (destination, partition) in [("nothing", None), (THINGS, Some(2))] {
        let refused = binder.tail(destination, partition, true).await.map(drop);
        assert!(matches!(refused, Err(BinderError::Refused { .. })), "{destination} {partition:?}");
    }
    let (_consumer, mut partition) = only_partition(world, &*binder, GROUP, 100).await;
    assert!(!partition.receive().await.unwrap().unwrap().messages.is_empty());
}

pub(crate) async fn health_is_up(world: &World) {
    let binder = world.binder().await;
    let _producer = world.producer(1).await;
    let health = binder.health().await;
    assert!(health.up, "{:?}", health.details);
    assert!(!health.details.is_empty());
}
