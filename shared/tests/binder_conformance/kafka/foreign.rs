//! What others put on the broker or made there, however odd.

use super::raw::{Raw, RawRecord};
use crate::lab::{GROUP, SOON, THINGS, World, consuming, dead_letter, producing, thing};
use crate::reader::only_partition;
use crate::scenarios::importing;
use crate::service::{Setup, failing};
use rdkafka::admin::{AdminOptions, NewPartitions, ResourceSpecifier};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;
use shared::messaging::Outgoing;
use std::time::Duration;
use testkit::eventually;

pub(crate) async fn no_record_is_too_odd_for_the_database_or_the_broker(world: &World) {
    let raw = Raw::of(world);
    let service = world.start(Setup::default()).await;
    let topic = raw.name(THINGS);
    let record = |value: Option<&[u8]>| RawRecord::new(&topic, 0, value);
    let large: Vec<u8> = (0..10 << 20).map(|at: u32| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let (first, second, third) = (thing(1, 1).body, thing(2, 1).body, thing(3, 1).body);
    let mut odd = record(Some(b"{")).with("messageId", "odd").with("twice", b"1").with("twice", [0xff, 0]);
    odd.headers.extend([("none".to_owned(), None), (String::new(), Some(Vec::new()))]);
    odd = odd.with("spring_json_header_types", "[1]").with("wide", "w".repeat(200_000));
    odd.key = Some(vec![0, 255]);
    raw.send(&[
        record(None).with("messageId", "no value"),
        record(Some(b"")).with("messageId", "empty"),
        record(Some(b"no json")).with("messageId", "no json"),
        record(Some(&large)).with("messageId", "large"),
        odd.clone(),
        record(Some(&first)).with("messageId", "text").with("contentType", "text/plain"),
        record(Some(&first)).with("messageId", "bytes").with("contentType", [0xff, 0xfe]),
        record(Some(b"\0")).with("messageId", "nul\0"),
        // What anybody's JSON may come with.
        record(Some(&first)),
        record(Some(&second)).with("contentType", "\"application/json\""),
        record(Some(&third)).with("contentType", "application/json; charset=UTF-8").with("messageId", ""),
    ])
    .await;
    world.until_applied(&["1-1", "2-1", "3-1"]).await;
    let letters = world.until_letters(8).await;
    let ids: Vec<&str> = letters.iter().map(|letter| letter.id.as_str()).collect();
    assert_eq!(ids, ["no value", "empty", "no json", "large", "odd", "text", "bytes", "nul\u{fffd}"]);
    assert!(letters.iter().all(|letter| letter.kind == "invalid"));
    for (at, cause) in [(0, "the message is empty"), (1, "the message is empty"), (2, "no event"), (5, "text/plain")] {
        assert!(letters[at].cause.contains(cause), "{}", letters[at].cause);
    }
    assert!(world.content(&letters[3]).await.body == large, "the letter has the whole body");
    world.until_settled().await;
    assert!(service.is_running());
    service.stop().await;

    let copies = raw.records(&raw.dead_letters(THINGS, GROUP)).await;
    assert_eq!(copies.len(), letters.len());
    assert_eq!((copies[0].value.as_deref(), copies[1].value.as_deref()), (None, Some(&b""[..])));
    assert!(copies[3].value.as_deref() == Some(&large), "the copy has the whole body");
    assert!(copies[4].headers.starts_with(&odd.headers), "the copy has the headers to the last byte");
    for (copy, letter) in copies.iter().zip(&letters) {
        assert_eq!(copy.header("x-exception-message"), Some(letter.cause.as_bytes()));
    }
}

pub(crate) async fn records_are_read_whatever_they_were_compressed_with(world: &World) {
    let raw = Raw::of(world);
    let service = world.start(Setup::default()).await;
    let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
    for (seq, codec) in (1..).zip(codecs) {
        let producer: FutureProducer = raw.config().set("compression.codec", codec).create().unwrap();
        // Long enough to be worth it.
        let body = crate::lab::valued(1, seq, &"again and ".repeat(100)).body;
        let topic = raw.name(THINGS);
        let record = FutureRecord::<(), _>::to(&topic).partition(0).payload(&body[..]);
        producer.send(record, SOON).await.map_err(|(error, _)| error).unwrap();
    }
    world.until_applied(&["1-1", "1-2", "1-3", "1-4", "1-5"]).await;
    service.stop().await;
}

pub(crate) async fn a_topic_with_another_count_of_partitions_is_used_as_it_stands(world: &World) {
    let raw = Raw::of(world);
    raw.make(&raw.name(THINGS), 3, &[]).await;
    raw.make(&raw.dead_letters(THINGS, GROUP), 1, &[]).await;
    let producer = world.producer(2).await;
    producer.send((0..6).map(|key| thing(key, 1)).collect()).await.unwrap();
    for record in raw.records(&raw.name(THINGS)).await {
        let key: i32 = std::str::from_utf8(record.header("partitionKey").unwrap()).unwrap().parse().unwrap();
        assert_eq!(record.partition, key % 3);
    }
    // And a letter goes where there is room for it.
    let service = world.start(Setup { partitions: 2, hook: failing("5-1"), max_attempts: 1, ..Setup::default() }).await;
    world.until_letters(1).await;
    world.until_settled().await;
    service.stop().await;
    assert_eq!(world.effects().await.len(), 5);
    let copies = raw.records(&raw.dead_letters(THINGS, GROUP)).await;
    assert_eq!(copies.len(), 1);
    let header = |name| copies[0].header(name).unwrap();
    assert_eq!((copies[0].partition, header("x-original-partition")), (0, &[0, 0, 0, 2][..]));
}

pub(crate) async fn what_is_made_keeps_dead_letters_forever(world: &World) {
    let raw = Raw::of(world);
    let binder = world.binder().await;
    world.join(&*binder, &consuming(GROUP, 2)).await.leave().await;
    let letters = raw.dead_letters(THINGS, GROUP);
    let resource = ResourceSpecifier::Topic(&letters);
    let described = raw.admin().describe_configs([&resource], &AdminOptions::new()).await.unwrap();
    let config = described[0].as_ref().unwrap();
    assert_eq!(config.get("retention.ms").unwrap().value.as_deref(), Some("-1"));
    let topics = raw.admin().inner().fetch_metadata(Some(&letters), SOON).unwrap();
    assert_eq!(topics.topics()[0].partitions().len(), 2, "as many as the events have");
}

pub(crate) async fn a_topic_that_is_deleted_under_a_running_service_is_made_again(world: &World) {
    let raw = Raw::of(world);
    let producer = world.producer(2).await;
    let service = world.start(Setup { partitions: 2, ..Setup::default() }).await;
    producer.send(vec![thing(0, 1), thing(1, 1)]).await.unwrap();
    world.until_settled().await;
    raw.delete(&raw.name(THINGS)).await;
    eventually(SOON * 2, "a send that is promised", async || producer.send(vec![thing(0, 2), thing(1, 2)]).await).await;
    eventually(SOON * 2, "the effects of both topics", async || {
        let by_key = world.effects_by_key().await;
        if [0, 1].iter().all(|key| by_key[key] == [1, 2]) { Ok(()) } else { Err(format!("{by_key:?}")) }
    })
    .await;
    assert!(service.is_running());
    service.stop().await;
    let described = world.binder().await.topics().await.unwrap();
    assert_eq!(described[0].partitions.len(), 2);
    assert!(world.letters().await.is_empty());
}

pub(crate) async fn partitions_that_somebody_adds_are_not_used_before_the_next_start(world: &World) {
    let raw = Raw::of(world);
    let binder = world.binder().await;
    let producer = binder.producer(&[producing(THINGS, 2, &[GROUP]), producing("others", 1, &[])]).await.unwrap();
    producer.send((0..6).map(|key| thing(key, 1)).collect()).await.unwrap();
    let topic = raw.name(THINGS);
    let added = raw.admin().create_partitions(&[NewPartitions::new(&topic, 3)], &AdminOptions::new()).await.unwrap();
    assert!(added.iter().all(Result::is_ok), "{added:?}");
    raw.delete(&raw.name("others")).await;
    // A send that fails lets the producer look at its topics anew.
    let other = || Outgoing { destination: "others".to_owned(), ..thing(7, 1) };
    assert!(producer.send(vec![other()]).await.is_err(), "the topic is gone");
    eventually(SOON * 2, "a send that is promised", async || producer.send(vec![other()]).await).await;
    producer.send((0..6).map(|key| thing(key, 2)).collect()).await.unwrap();
    let records = raw.records(&raw.name(THINGS)).await;
    assert_eq!(records.len(), 12);
    for record in records {
        let key: i32 = std::str::from_utf8(record.header("partitionKey").unwrap()).unwrap().parse().unwrap();
        assert_eq!(record.partition, key % 2, "key {key} stays where it was");
    }
}

pub(crate) async fn partitions_that_somebody_adds_are_counted_by_whom_they_are_assigned_to(world: &World) {
    let raw = Raw::of(world);
    let binder = world.binder().await;
    let mut consumer = world.join(&*binder, &consuming(GROUP, 1)).await;
    let before = consumer.assigned().await.unwrap();
    assert_eq!(before.count().await.unwrap(), 1);
    let topic = raw.name(THINGS);
    let added = raw.admin().create_partitions(&[NewPartitions::new(&topic, 2)], &AdminOptions::new()).await.unwrap();
    assert!(added.iter().all(Result::is_ok), "{added:?}");
    eventually(SOON, "two partitions", async || match binder.topics().await.unwrap()[0].partitions.len() {
        2 => Ok(()),
        count => Err(count),
    })
    .await;
    // Who comes lets the group share them out anew.
    let other = world.join(&*world.binder().await, &consuming(GROUP, 2)).await;
    before.lost().await;
    drop(before);
    let after = consumer.assigned().await.unwrap();
    assert_eq!(after.count().await.unwrap(), 2);
    drop(after);
    consumer.leave().await;
    other.leave().await;
}

pub(crate) async fn the_neighbours_of_a_refused_record_are_sent_once(world: &World) {
    let raw = Raw::of(world);
    raw.make(&raw.name(THINGS), 2, &[("max.message.bytes", "20000")]).await;
    let binder = world.binder().await;
    let producer = binder.producer(&[producing(THINGS, 2, &[GROUP])]).await.unwrap();
    // Together they wait for the first transaction, and three of them hold what the broker does not take.
    let send = |request: i64| {
        let too_large = [7, 21, 22].contains(&request);
        let value = if too_large { "x".repeat(30_000) } else { "fine".to_owned() };
        let events = (0..4).map(|key| crate::lab::valued(key, request, if key == 2 { &value } else { "fine" }));
        let sent = producer.send(events.collect());
        async move { (too_large, sent.await) }
    };
    for (request, (too_large, sent)) in (0..).zip(futures_util::future::join_all((0..40).map(send)).await) {
        match sent {
            Err(shared::messaging::BinderError::Refused { .. }) => assert!(too_large, "request {request}"),
            Ok(()) => assert!(!too_large, "request {request}"),
            Err(error) => panic!("request {request}: {error:?}"),
        }
    }
    let records = raw.records(&raw.name(THINGS)).await;
    let mut ids: Vec<_> = records.iter().map(|record| record.header("messageId").unwrap().to_vec()).collect();
    assert_eq!(ids.len(), 37 * 4, "all of each request, or nothing");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 37 * 4, "and nothing twice");
    let events: Vec<Value> =
        records.iter().map(|record| serde_json::from_slice(record.value.as_deref().unwrap()).unwrap()).collect();
    assert!(events.iter().all(|event| event["data"]["value"] == "fine"));
}

pub(crate) async fn what_a_topic_keeps_is_remembered_as_long(world: &World) {
    let raw = Raw::of(world);
    raw.make(&raw.name("some"), 1, &[("retention.ms", "3600000"), ("segment.ms", "1800000")]).await;
    raw.make(&raw.name("all"), 1, &[("retention.ms", "-1")]).await;
    raw.make(&raw.name("newest"), 1, &[("cleanup.policy", "compact")]).await;
    let binder = world.binder().await;
    let hour = Duration::from_secs(3600);
    for (destination, keeps) in [("some", hour * 5 / 2), ("all", Duration::MAX), ("newest", Duration::MAX)] {
        let mut binding = consuming(GROUP, 1);
        binding.destination = destination.to_owned();
        let consumer = world.join(&*binder, &binding).await;
        assert_eq!(consumer.keeps(), keeps, "{destination}");
        consumer.leave().await;
    }
}

pub(crate) async fn what_is_removed_before_it_is_read_holds_up_nothing_behind_it(world: &World) {
    let (raw, producer) = (Raw::of(world), world.producer(1).await);
    let service = world.start(Setup::default()).await;
    producer.send(vec![thing(1, 1)]).await.unwrap();
    world.until_applied(&["1-1"]).await;
    world.until_settled().await;
    service.stop().await;
    producer.send((2..10).map(|seq| thing(1, seq)).collect()).await.unwrap();
    let mut all = TopicPartitionList::new();
    all.add_partition_offset(&raw.name(THINGS), 0, Offset::End).unwrap();
    raw.admin().delete_records(&all, &AdminOptions::new()).await.unwrap();
    let service = world.start(Setup::default()).await;
    producer.send(vec![thing(2, 1)]).await.unwrap();
    world.until_applied(&["1-1", "2-1"]).await;
    service.stop().await;
}

pub(crate) async fn a_batch_weighs_its_headers_too(world: &World) {
    let raw = Raw::of(world);
    let (_consumer, mut partition) = only_partition(world, &*world.binder().await, GROUP, 500).await;
    let (wide, topic) = ("w".repeat(200_000), raw.name(THINGS));
    let record = RawRecord::new(&topic, 0, Some(b"{}")).with("wide", &wide);
    let records: Vec<RawRecord> = (0..60).map(|_| record.clone()).collect();
    raw.send(&records).await;
    let (mut read, mut largest) = (0, 0);
    while read < records.len() {
        let batch = partition.receive().await.unwrap().expect("the partition stays ours");
        (read, largest) = (read + batch.messages.len(), largest.max(batch.messages.len()));
        partition.settle(batch.messages.last().unwrap().position).await.unwrap();
    }
    assert!(largest <= 22, "{largest} records of 200 KB in one batch");
}

pub(crate) async fn copies_are_weighed_one_by_one(world: &World) {
    let raw = Raw::of(world);
    let topic = raw.dead_letters(THINGS, GROUP);
    raw.make(&topic, 1, &[("max.message.bytes", "20000")]).await;
    let binder = world.binder().await;
    let copy = async |number: usize| {
        let letter = dead_letter(&format!("copy {number}"), 5_000);
        binder.dead_letter(&letter).await
    };
    // The first one makes the client.
    copy(0).await.unwrap();
    let copies = futures_util::future::join_all((1..16).map(copy)).await;
    assert!(copies.iter().all(Result::is_ok), "{copies:?}");
    assert_eq!(raw.records(&topic).await.len(), 16);
}

pub(crate) async fn what_java_left_is_imported_once(world: &World) {
    let raw = Raw::of(world);
    let topic = raw.dead_letters(THINGS, GROUP);
    let leave = async |id: Option<&str>, body: &[u8]| {
        let record = RawRecord::new(&topic, 0, Some(body)).with("contentType", "application/json");
        let record = record.with("x-exception-message", "Java had no luck");
        let record = if let Some(id) = id { record.with("messageId", id) } else { record };
        raw.send(&[record]).await;
    };
    // What was read once is not read again.
    importing::what_others_left_is_imported_once(world, leave, 0).await;
}
