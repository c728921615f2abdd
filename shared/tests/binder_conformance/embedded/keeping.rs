//! How long the log keeps what was sent.

use crate::lab::{GROUP, SOON, THINGS, World, producing, thing};
use crate::reader::{ids, only_partition};
use crate::service::TABLES;
use futures_util::future::join_all;
use shared::database::{Database, PoolConfig};
use shared::messaging::embedded::EmbeddedBinder;
use shared::messaging::{AUDIT_GROUP, Binder};
use std::path::Path;
use std::time::Duration;
use testkit::eventually;

/// Opens the log so that it forgets at once what it may, and waits until it has nothing or `kept` messages more.
pub(super) async fn until_kept(world: &World, kept: i64) {
    let binder = EmbeddedBinder::open(Path::new(world.address()), Duration::ZERO).await.unwrap();
    eventually(SOON, &format!("{kept} messages kept"), async || {
        let topics = binder.topics().await.unwrap();
        match topics.iter().flat_map(|topic| &topic.partitions).map(|at| at.end - at.first).sum::<i64>() {
            now if now == kept => Ok(()),
            now => Err(format!("{now}")),
        }
    })
    .await;
}

pub(crate) async fn what_all_groups_have_settled_is_forgotten_when_it_is_old(world: &World) {
    let binder = world.binder().await;
    let producer = binder.producer(&[producing(THINGS, 1, &[GROUP, "slow"])]).await.unwrap();
    producer.send((1..=10).map(|seq| thing(1, seq)).collect()).await.unwrap();
    let settle = async |group: &str, count: usize| {
        let (_consumer, mut partition) = only_partition(world, &*binder, group, 100).await;
        let batch = partition.receive().await.unwrap().unwrap();
        partition.settle(batch.messages[count - 1].position).await.unwrap();
    };
    settle(GROUP, 10).await;
    settle("slow", 4).await;
    until_kept(world, 6).await;
    // What is settled and young stays: another binder on the same log keeps everything for an hour.
    settle("slow", 6).await;
    drop(producer);
    let young = world.binder().await;
    for _ in 0..10 {
        young.producer(&[producing(THINGS, 1, &[])]).await.unwrap();
    }
    let topics = young.topics().await.unwrap();
    assert_eq!(topics[0].partitions[0].end - topics[0].partitions[0].first, 6);
    until_kept(world, 0).await;
    // A group that comes new starts with what is kept, and offsets go on where they were.
    young.producer(&[producing(THINGS, 1, &[])]).await.unwrap().send(vec![thing(1, 11)]).await.unwrap();
    let (_consumer, mut partition) = only_partition(world, &*young, "new", 100).await;
    let batch = partition.receive().await.unwrap().unwrap();
    assert_eq!((ids(&batch.messages), batch.messages[0].position.0), (vec!["1-11"], 10));
}

pub(crate) async fn the_audit_group_holds_only_from_its_first_reader_on(world: &World) {
    let producer = world.producer(1).await;
    producer.send((1..=3).map(|seq| thing(1, seq)).collect()).await.unwrap();
    world.drain(THINGS, GROUP, 1).await;
    until_kept(world, 0).await;

    let binder = world.binder().await;
    let reader = only_partition(world, &*binder, AUDIT_GROUP, 100).await;
    producer.send((4..=6).map(|seq| thing(1, seq)).collect()).await.unwrap();
    drop(reader);
    world.drain(THINGS, GROUP, 1).await;
    // Three, and the mark at the end of what the other group has drained.
    until_kept(world, 4).await;
    let (_consumer, mut partition) = only_partition(world, &*binder, AUDIT_GROUP, 100).await;
    let batch = partition.receive().await.unwrap().unwrap();
    assert_eq!(ids(&batch.messages)[..3], ["1-4", "1-5", "1-6"]);
    partition.settle(batch.messages[3].position).await.unwrap();
    until_kept(world, 0).await;
}

pub(crate) async fn several_processes_may_start_on_nothing_at_once(world: &World) {
    for attempt in 0..5 {
        let folder = Path::new(world.address()).join(format!("start {attempt}"));
        let url = format!("sqlite:{}", folder.join("service.db").display());
        let start = async || {
            Database::open(&url, &PoolConfig::default(), &TABLES).await?;
            let binder = EmbeddedBinder::open(&folder, Duration::from_secs(3600)).await?;
            let producer = binder.producer(&[producing(THINGS, 1, &[GROUP])]).await?;
            anyhow::Ok(producer.send(vec![thing(1, 1)]).await?)
        };
        for started in join_all((0..6).map(|_| start())).await {
            started.unwrap();
        }
    }
}
