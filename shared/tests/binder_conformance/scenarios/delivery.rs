//! Who gets what, in which order.

use crate::lab::{GROUP, SOON, THINGS, World, consuming, producing, saying, thing};
use crate::reader::{Member, ids, only_partition, take};
use crate::service::Setup;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::json;
use shared::messaging::{Consumer, Partition};
use std::collections::BTreeMap;
use testkit::eventually;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(crate) async fn each_group_gets_each_event_once(world: &World) {
    let binder = world.binder().await;
    let producer = binder.producer(&[producing(THINGS, 2, &["first", "second"])]).await.unwrap();
    producer.send((0..10).map(|key| thing(key, 1)).collect()).await.unwrap();
    for group in ["first", "second"] {
        let read = world.drain(THINGS, group, 2).await;
        assert_eq!(ids(&read[&0]), ["0-1", "2-1", "4-1", "6-1", "8-1"], "{group} reads the even keys");
        assert_eq!(ids(&read[&1]), ["1-1", "3-1", "5-1", "7-1", "9-1"], "{group} reads the odd keys");
    }
    assert!(world.drain(THINGS, "first", 2).await.values().all(Vec::is_empty), "nothing is read again");
}

pub(crate) async fn two_consumers_of_a_group_share_its_events(world: &World) {
    let producer = world.producer(2).await;
    let first = Member::join(world, &*world.binder().await, GROUP, 2).await;
    let second = Member::join(world, &*world.binder().await, GROUP, 2).await;
    eventually(SOON, "a partition for each", async || {
        let held = [first.held(), second.held()];
        if held.iter().all(|held| held.len() == 1) && held[0] != held[1] { Ok(()) } else { Err(format!("{held:?}")) }
    })
    .await;
    for key in 0..20 {
        producer.send(vec![thing(key, 1)]).await.unwrap();
    }
    let read = eventually(SOON, "20 events between both", async || {
        let read = [first.read(), second.read()];
        if read.iter().map(Vec::len).sum::<usize>() >= 20 { Ok(read) } else { Err(format!("{read:?}")) }
    })
    .await;
    for (read, held) in read.iter().zip([first.held(), second.held()]) {
        let own = *held.first().unwrap();
        let expected: Vec<(u32, String)> =
            (0..20).filter(|key| key % 2 == own).map(|key| (own, format!("{key}-1"))).collect();
        assert_eq!(*read, expected, "each member reads all of its own partition and nothing else");
    }
}

pub(crate) async fn a_partition_that_is_handed_over_goes_on_behind_what_was_settled(world: &World) {
    handed_over(world, async |_| {}).await;
}

/// One member has everything, with batches half settled; another joins and gets its share when the first lets go.
/// `meanwhile` sees the other after the first was asked and before it lets go.
pub(crate) async fn handed_over(world: &World, meanwhile: impl AsyncFnOnce(&mut dyn Consumer)) {
    world.producer(2).await.send((0..6).map(|seq| thing(seq % 2, seq.into())).collect()).await.unwrap();
    let binder = world.binder().await;
    let mut first = world.join(&*binder, &consuming(GROUP, 2)).await;
    let mut held = BTreeMap::new();
    while held.len() < 2 {
        let mut partition = first.assigned().await.unwrap();
        take(&mut *partition, 1).await;
        held.insert(partition.number(), partition);
    }
    let other = world.binder().await;
    let mut second = world.join(&*other, &consuming(GROUP, 2)).await;
    // Polled all the time, as the contract wants it.
    let polling = tokio::spawn(async move { while first.assigned().await.is_ok() {} });
    let wanted = lost(&held).await.unwrap();
    meanwhile(&mut *second).await;
    held.remove(&wanted).unwrap().release().await;
    let mut released = vec![wanted];
    // Some brokers want everything back and share it out anew.
    let shared_out = async {
        loop {
            tokio::select! {
                partition = second.assigned() => return partition.unwrap(),
                Some(wanted) = lost(&held) => {
                    held.remove(&wanted).unwrap().release().await;
                    released.push(wanted);
                }
            }
        }
    };
    let mut partition = timeout(SOON, shared_out).await.expect("the other gets it");
    let number = partition.number();
    assert!(released.contains(&number), "{number} is not among {released:?}");
    let rest = take(&mut *partition, 2).await;
    assert_eq!(ids(&rest), [2, 4].map(|seq| format!("{number}-{}", seq + number)));
    polling.abort();
}

/// Waits until one of these is lost, if there are any; which one.
async fn lost(held: &BTreeMap<u32, Box<dyn Partition>>) -> Option<u32> {
    let lost = held.iter().map(|(number, partition)| async move {
        partition.lost().await;
        *number
    });
    lost.collect::<FuturesUnordered<_>>().next().await
}

pub(crate) async fn what_was_sent_before_a_named_group_first_ran_is_there(world: &World) {
    let producer = world.producer(1).await;
    producer.send(vec![thing(1, 1), thing(1, 2)]).await.unwrap();
    producer.send(vec![thing(1, 3)]).await.unwrap();
    drop(producer);
    let read = world.drain(THINGS, GROUP, 1).await;
    assert_eq!(ids(&read[&0]), ["1-1", "1-2", "1-3"]);
}

pub(crate) async fn order_per_key_holds_while_instances_join_and_leave(world: &World) {
    const KEYS: i32 = 50;
    const EACH: i64 = 200;
    let producer = world.producer(2).await;
    let sending = tokio::spawn(async move {
        for seq in 1..=EACH {
            // Requests of 25 events, as concurrent clients would send them.
            for keys in [0..KEYS / 2, KEYS / 2..KEYS] {
                producer.send(keys.map(|key| thing(key, seq)).collect()).await.unwrap();
            }
        }
    });
    let instance = async || world.start(Setup { partitions: 2, ..Setup::default() }).await;
    let past = async |count: usize| {
        eventually(SOON * 6, &format!("{count} effects"), async || match world.effects().await.len() {
            now if now >= count => Ok(()),
            now => Err(format!("{now}")),
        })
        .await;
    };
    let (first, second) = (instance().await, instance().await);
    past(2_000).await;
    let third = instance().await;
    past(4_000).await;
    first.stop().await;
    past(6_000).await;
    second.crash().await;
    past(10_000).await;
    sending.await.unwrap();
    third.stop().await;

    let by_key = world.effects_by_key().await;
    assert_eq!(by_key.len(), KEYS as usize);
    let expected: Vec<i64> = (1..=EACH).collect();
    for (key, seqs) in by_key {
        assert_eq!(seqs, expected, "the effects of key {key}, in the order in which they were sent");
    }
    assert!(world.letters().await.is_empty());
}

pub(crate) async fn what_was_not_settled_comes_again_and_what_was_settled_never_does(world: &World) {
    world.producer(1).await.send((1..=6).map(|seq| thing(1, seq)).collect()).await.unwrap();
    {
        let binder = world.binder().await;
        // One at a time: of a batch that is larger than what is taken, the rest is not handed out again.
        let (consumer, mut partition) = only_partition(world, &*binder, GROUP, 1).await;
        assert_eq!(ids(&take(&mut *partition, 3).await), ["1-1", "1-2", "1-3"]);
        assert_eq!(ids(&take(&mut *partition, 1).await), ["1-4"]);
        partition.release().await;
        consumer.leave().await;
    }
    let read = world.drain(THINGS, GROUP, 1).await;
    assert_eq!(ids(&read[&0]), ["1-5", "1-6"], "what was settled is read by nobody, the rest by the next owner");
    assert!(world.drain(THINGS, GROUP, 1).await[&0].is_empty());
}

pub(crate) async fn a_dropped_receive_loses_nothing(world: &World) {
    let producer = world.producer(1).await;
    let binder = world.binder().await;
    let (_consumer, mut partition) = only_partition(world, &*binder, GROUP, 10).await;
    let done = CancellationToken::new();
    let until = done.clone();
    let sending = tokio::spawn(async move {
        let mut sent = Vec::new();
        while !until.is_cancelled() {
            let event = thing(1, sent.len().try_into().unwrap());
            sent.push(event.id.clone());
            producer.send(vec![event]).await.unwrap();
        }
        sent
    });
    let (mut read, mut dropped) = (Vec::new(), 0);
    for attempt in 0..400 {
        // Dropped at its first pause, in the middle of a look, and not at all: counted in turns, not in time.
        let turns = async {
            for _ in 0..attempt % 20 {
                tokio::task::yield_now().await;
            }
        };
        let received = tokio::select! {
            biased;
            received = partition.receive() => received,
            () = turns => {
                dropped += 1;
                continue;
            }
        };
        let batch = received.unwrap().unwrap();
        partition.settle(batch.messages.last().unwrap().position).await.unwrap();
        read.extend(batch.messages);
    }
    done.cancel();
    let sent = sending.await.unwrap();
    while read.len() < sent.len() {
        let batch = partition.receive().await.unwrap().unwrap();
        partition.settle(batch.messages.last().unwrap().position).await.unwrap();
        read.extend(batch.messages);
    }
    assert_eq!(ids(&read), sent);
    assert!(dropped >= 5, "only {dropped} were dropped, which proves little");
}

pub(crate) async fn bodies_travel_unchanged_with_their_headers_and_ids(world: &World) {
    let large: Vec<u8> = (0..1 << 20).map(|at: u32| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    assert!(std::str::from_utf8(&large).is_err());
    let bodies: [&[u8]; 5] = [&large, b"", b"\xff\xfe\x00\x80", "Grüße ✓".as_bytes(), b"{\"key\": 1}"];
    let headers = json!({"traceparent": "00-1-2-03", "text": "Grüße ✓", "number": 42, "below": -7, "truth": true});
    let message = |(at, body): (usize, &&[u8])| {
        let mut message = saying(&format!("id of {at}"), 1, body.to_vec());
        message.headers = headers.as_object().unwrap().clone();
        message
    };
    world.producer(1).await.send(bodies.iter().enumerate().map(message).collect()).await.unwrap();
    let read = &world.drain(THINGS, GROUP, 1).await[&0];
    assert_eq!(ids(read), ["id of 0", "id of 1", "id of 2", "id of 3", "id of 4"]);
    for (message, body) in read.iter().zip(bodies) {
        assert!(message.body == body, "the body of {} arrives unchanged", message.id);
        for (name, value) in headers.as_object().unwrap() {
            assert_eq!(message.headers.get(name), Some(value), "the header {name} of {}", message.id);
        }
    }
}
