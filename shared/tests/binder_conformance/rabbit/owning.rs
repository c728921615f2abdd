//! Who owns a partition: members that find each other in the database of their service, and the exclusive consumer of a
//! queue as the lock.

use super::Rabbit;
use super::broker::Broker;
use crate::lab::{GROUP, SOON, THINGS, World, thing};
use crate::load::{both_work, met};
use crate::reader::Member;
use crate::service::{Service, Setup};
use lapin::options::{BasicAckOptions, BasicConsumeOptions};
use lapin::types::FieldTable;
use shared::database::members;
use shared::messaging::Instance;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::eventually;

/// How soon the partition of a member that died has another owner.
const TAKEOVER: Duration = Duration::from_secs(10);

/// One of two instances.
async fn instance(world: &World, index: u32) -> Service {
    let instance = Some(Instance { index, count: 2 });
    world.start(Setup { partitions: 2, instance, ..Setup::default() }).await
}

/// Stops an instance, which tells the others: nobody has to take it for dead first.
async fn leave(world: &World, instance: Service) {
    let members = async || members::list(&world.database, THINGS, GROUP).await.unwrap().len();
    let before = members().await;
    instance.stop().await;
    assert!(members().await < before, "it is still a member");
}

pub(crate) async fn a_crashed_instance_is_stood_in_for_until_it_returns(world: &World) {
    let producer = world.producer(2).await;
    let (first, second) = (instance(world, 0).await, instance(world, 1).await);
    let mut seq = 0;
    // Each gets what it has the index of, also if the other came so late that the first stood in for it.
    while !(met(&first, 0, seq) && met(&second, 1, seq)) {
        seq += 1;
        both_work(world, &*producer, seq).await;
    }
    first.crash().await;
    let crashed = Instant::now();
    seq += 1;
    both_work(world, &*producer, seq).await;
    assert!(crashed.elapsed() < TAKEOVER, "the takeover took {:?}", crashed.elapsed());
    assert!(met(&second, 0, seq) && met(&second, 1, seq));

    let first = instance(world, 0).await;
    while !met(&first, 0, seq) {
        seq += 1;
        both_work(world, &*producer, seq).await;
    }
    assert!(met(&second, 1, seq) && !met(&first, 1, seq), "the other keeps its own");
    leave(world, first).await;
    both_work(world, &*producer, seq + 1).await;
    second.stop().await;
    assert!(world.letters().await.is_empty());
}

pub(crate) async fn instances_of_a_service_with_a_file_find_each_other_too(world: &World) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("service.db").display());
    let world = World::at(Arc::new(Rabbit), world.address(), &url).await;
    a_crashed_instance_is_stood_in_for_until_it_returns(&world).await;
}

pub(crate) async fn a_killed_and_a_frozen_process_are_stood_in_for(world: &World) {
    let producer = world.producer(2).await;
    let second = instance(world, 1).await;
    let mut seq = 0;
    for frozen in [true, false] {
        let child = world.child("serve");
        eventually(SOON, "a child that serves", async || if child.lines().is_empty() { Err("none") } else { Ok(()) })
            .await;
        // Until the partition of its index is its own.
        loop {
            seq += 1;
            both_work(world, &*producer, seq).await;
            if !met(&second, 0, seq) {
                break;
            }
        }
        let gone = Instant::now();
        let child = if frozen {
            child.freeze(true);
            Some(child)
        } else {
            child.kill();
            None
        };
        seq += 1;
        both_work(world, &*producer, seq).await;
        assert!(met(&second, 0, seq));
        assert!(gone.elapsed() < TAKEOVER, "the takeover took {:?}, frozen: {frozen}", gone.elapsed());
        if let Some(child) = child {
            // It goes on with connections that are none any more, and comes back.
            child.freeze(false);
            loop {
                seq += 1;
                both_work(world, &*producer, seq).await;
                if !met(&second, 0, seq) {
                    break;
                }
            }
        }
    }
    second.stop().await;
    assert!(world.letters().await.is_empty());
}

pub(crate) async fn without_takeover_an_instance_keeps_to_its_index(world: &World) {
    let producer = world.producer(2).await;
    let setup = || Setup {
        partitions: 2,
        instance: Some(Instance { index: 0, count: 2 }),
        takeover: false,
        ..Setup::default()
    };
    let service = world.start(setup()).await;
    producer.send(vec![thing(0, 1), thing(1, 1)]).await.unwrap();
    world.until_applied(&["0-1"]).await;
    // For longer than it takes to stand in for somebody.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(4) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(world.applied().await, ["0-1"]);
    }
    assert_eq!(Broker::of(world).count("things.thingsGroup-1").await, 1);
    let sibling = Some(Instance { index: 1, count: 2 });
    let other = world.start(Setup { instance: sibling, ..setup() }).await;
    world.until_applied(&["0-1", "1-1"]).await;
    service.stop().await;
    other.stop().await;
}

pub(crate) async fn members_without_an_index_share_evenly(world: &World) {
    world.producer(6).await;
    let binder = world.binder().await;
    let mut members = Vec::new();
    for share in [6, 3, 2] {
        members.push(Member::join(world, &*binder, GROUP, 6).await);
        eventually(SOON, &format!("{share} partitions each"), async || {
            let held: Vec<_> = members.iter().map(Member::held).collect();
            if held.iter().all(|held| held.len() == share) { Ok(()) } else { Err(format!("{held:?}")) }
        })
        .await;
    }
    // One that vanishes leaves its share to the others.
    members.pop();
    eventually(SOON, "3 partitions each again", async || {
        let held: Vec<_> = members.iter().map(Member::held).collect();
        if held.iter().all(|held| held.len() == 3) { Ok(()) } else { Err(format!("{held:?}")) }
    })
    .await;
}

pub(crate) async fn one_stands_by_and_takes_over_when_the_other_leaves(world: &World) {
    let producer = world.producer(1).await;
    let first = world.start(Setup::default()).await;
    producer.send(vec![thing(1, 1)]).await.unwrap();
    world.until_applied(&["1-1"]).await;
    let second = world.start(Setup::default()).await;
    for seq in 2..=20 {
        producer.send(vec![thing(1, seq)]).await.unwrap();
    }
    world.until_settled().await;
    assert!((1..=20).all(|seq| met(&first, 1, seq) && !met(&second, 1, seq)));
    leave(world, first).await;
    producer.send(vec![thing(1, 21)]).await.unwrap();
    world.until_settled().await;
    assert!(met(&second, 1, 21));
    second.stop().await;
    assert_eq!(world.effects_by_key().await[&1], (1..=21).collect::<Vec<_>>());
}

pub(crate) async fn beside_a_java_consumer_ours_stands_by_and_takes_over(world: &World) {
    let producer = world.producer(1).await;
    let java = Broker::of(world).raw().await;
    let options = BasicConsumeOptions::default();
    let queue = format!("{THINGS}.{GROUP}");
    let consumed = java.channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default());
    let mut deliveries = consumed.await.unwrap();
    let service = world.start(Setup::default()).await;
    producer.send((1..=4).map(|seq| thing(1, seq)).collect()).await.unwrap();
    for seq in 1..=4 {
        let delivery = futures_util::StreamExt::next(&mut deliveries).await.unwrap().unwrap();
        assert_eq!(delivery.properties.message_id().as_ref().unwrap().as_str(), format!("1-{seq}"));
        if seq <= 2 {
            delivery.ack(BasicAckOptions::default()).await.unwrap();
        }
    }
    // As long as several looks at the queue take.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(world.effects().await.is_empty(), "what Java consumes is Java's");
    }
    java.connection.close(200, "done".into()).await.unwrap();
    world.until_applied(&["1-3", "1-4"]).await;
    service.stop().await;
}
