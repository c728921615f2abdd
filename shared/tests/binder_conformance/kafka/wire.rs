//! What we write is what Java writes, and what Java writes is read.

use super::raw::{Raw, RawRecord, captured};
use crate::lab::{World, producing};
use crate::reader::take;
use crate::rows::{DESTINATIONS, keeping_rows, reading, until_rows};
use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::api::{Product, Recommendation, Review};
use shared::messaging::event::Event;
use shared::messaging::{DeadLetter, Outgoing};
use std::collections::BTreeMap;

const KEY: i32 = 424_243;
const TYPES: &str = "spring_json_header_types";

/// The captures of a destination: created, created again, deleted.
fn captures(destination: &str) -> [RawRecord; 3] {
    let mut all = captured();
    all.retain(|record| record.topic == destination);
    all.try_into().unwrap()
}

/// What a record says but for what differs each time.
#[derive(Debug, PartialEq)]
struct Shape {
    partition: i32,
    key: Option<Vec<u8>>,
    headers: BTreeMap<String, Vec<u8>>,
    types: Map<String, Value>,
    event: String,
}

fn shape(record: &RawRecord) -> Shape {
    let mut headers: BTreeMap<_, _> =
        record.headers.iter().map(|(name, value)| (name.clone(), value.clone().unwrap())).collect();
    assert_eq!(headers.len(), record.headers.len(), "each header stands there once");
    assert_eq!(record.headers.last().unwrap().0, TYPES, "the types come last");
    let types = serde_json::from_slice(&headers.remove(TYPES).unwrap()).unwrap();
    let value = String::from_utf8(record.value.clone().unwrap()).unwrap();
    let (event, at) = value.split_once(r#""eventCreatedAt":""#).unwrap();
    assert!(at.ends_with("Z\"}"), "{value}");
    Shape { partition: record.partition, key: record.key.clone(), headers, types, event: event.to_owned() }
}

fn event<T: Serialize>(destination: &str, event: &Event<T>) -> Outgoing {
    let headers = json!({"traceparent": "00-1-2-03"}).as_object().unwrap().clone();
    event.to_message(destination, "an id".to_owned(), headers).unwrap()
}

pub(crate) async fn what_is_sent_is_what_java_sends(world: &World) {
    let (raw, binder) = (Raw::of(world), world.binder().await);
    let [name, author, subject, content] = ["n", "a", "s", "c"].map(|text| Some(text.to_owned()));
    let product = Product { product_id: KEY, name, weight: 1, service_address: None };
    let recommendation = Recommendation {
        product_id: KEY,
        recommendation_id: 1,
        author: author.clone(),
        rate: 1,
        content: content.clone(),
        service_address: None,
    };
    let review = Review { product_id: KEY, review_id: 1, author, subject, content, service_address: None };
    let deletion = Event::<()>::Delete { key: KEY };
    let [products, recommendations, reviews] = DESTINATIONS.map(|(destination, _)| destination);
    let events = vec![
        event(products, &Event::Create { key: KEY, data: product.clone() }),
        event(recommendations, &Event::Create { key: KEY, data: recommendation }),
        event(reviews, &Event::Create { key: KEY, data: review }),
        event(products, &deletion),
        event(recommendations, &deletion),
        event(reviews, &deletion),
    ];
    let bindings = DESTINATIONS.map(|(destination, group)| producing(destination, 2, &[group]));
    binder.producer(&bindings).await.unwrap().send(events).await.unwrap();
    for (destination, _) in DESTINATIONS {
        let [created, _, deleted] = captures(destination);
        let sent = raw.records(&raw.name(destination)).await;
        assert_eq!(sent.len(), 2);
        for (sent, golden) in sent.iter().zip([created, deleted]) {
            let mut sent = shape(sent);
            for (name, value) in [("messageId", "an id"), ("traceparent", "00-1-2-03")] {
                assert_eq!(sent.headers.remove(name).as_deref(), Some(value.as_bytes()));
                assert_eq!(sent.types.remove(name), Some(json!("java.lang.String")));
            }
            assert_eq!(sent, shape(&golden));
        }
    }

    // Where there is one partition, Java names none.
    let other = world.binder().await;
    let producer = other.producer(&[producing("plain", 1, &[])]).await.unwrap();
    producer.send(vec![event("plain", &Event::Create { key: KEY, data: product })]).await.unwrap();
    let sent = raw.records(&raw.name("plain")).await;
    assert_eq!((sent[0].partition, sent[0].header("scst_partition")), (0, None));
    assert_eq!(sent[0].header("partitionKey"), Some(&b"424243"[..]));
}

pub(crate) async fn a_dead_letter_is_what_java_writes_with_more_headers(world: &World) {
    let (raw, binder) = (Raw::of(world), world.binder().await);
    for (destination, group) in &DESTINATIONS[..2] {
        let [_, mut again, _] = captures(destination);
        let mut goldens = captured();
        goldens.retain(|record| record.topic == format!("error.{destination}.{group}"));
        let [golden] = &goldens[..] else { panic!("one letter was captured") };

        let mut consumer = world.join(&*binder, &reading((destination, group), 2)).await;
        again.topic = raw.name(destination);
        // It stands where it stood: another record comes before it.
        raw.send(&[again.clone(), again.clone()]).await;
        let mut partition = consumer.assigned().await.unwrap();
        let mut other = consumer.assigned().await.unwrap();
        if partition.number() != 1 {
            std::mem::swap(&mut partition, &mut other);
        }
        let [_, message] = &take(&mut *partition, 2).await[..] else { panic!("two messages") };
        let letter = DeadLetter {
            id: message.id.clone(),
            destination: (*destination).to_owned(),
            group: (*group).to_owned(),
            partition: 1,
            headers: message.headers.clone(),
            body: message.body.clone(),
            // Through the columns of the letter.
            origin: serde_json::from_str(&Value::Object(message.origin.clone()).to_string()).unwrap(),
            cause: "Duplicate key, Product Id: 424243".to_owned(),
            attempts: 3,
        };
        binder.dead_letter(&letter).await.unwrap();

        let copies = raw.records(&raw.dead_letters(destination, group)).await;
        let [copy] = &copies[..] else { panic!("one copy: {copies:?}") };
        assert_eq!((copy.partition, &copy.key, &copy.value), (golden.partition, &golden.key, &golden.value));
        let (java, ours) = copy.headers.split_at(golden.headers.len());
        for ((name, value), (golden, expected)) in java.iter().zip(&golden.headers) {
            assert_eq!(name, golden, "the headers stand in Java's order");
            let expected = match name.as_str() {
                "x-original-topic" => Some(again.topic.clone().into_bytes()),
                "x-original-timestamp" => Some(again.timestamp.to_be_bytes().to_vec()),
                // The real one, not that of a wrapper.
                "x-exception-message" | "x-exception-stacktrace" => Some(letter.cause.clone().into_bytes()),
                _ => expected.clone(),
            };
            assert_eq!(*value, expected, "the header {name}");
        }
        let more = [
            ("x-original-group", raw.name(group).into_bytes()),
            ("x-attempts", vec![0, 0, 0, 3]),
            ("messageId", message.id.clone().into_bytes()),
        ];
        assert_eq!(ours, more.map(|(name, value)| (name.to_owned(), Some(value))));
        drop((partition, other));
        consumer.leave().await;
    }
}

pub(crate) async fn the_records_of_java_take_effect_or_become_letters(world: &World) {
    let raw = Raw::of(world);
    for (at, of) in DESTINATIONS.into_iter().enumerate() {
        let service = keeping_rows(world, of, 2).await;
        let records = captures(of.0).map(|record| RawRecord { topic: raw.name(of.0), ..record });
        let [created, again, deleted] = &records;
        let event: Value = serde_json::from_slice(created.value.as_deref().unwrap()).unwrap();
        raw.send(std::slice::from_ref(created)).await;
        until_rows(world, &[event["data"].clone()]).await;
        // Java's records have no ids: each is known by its place, so that this one cannot take effect.
        raw.send(std::slice::from_ref(again)).await;
        let letters = world.until_letters(at + 1).await;
        let letter = &letters[at];
        assert_eq!(letter.id, format!("{}-1@1-{}", again.topic, again.timestamp));
        assert_eq!((letter.kind.as_str(), letter.key, letter.partition), ("invalid", Some(KEY), 1));
        let content = world.content(letter).await;
        assert_eq!(Some(&content.body), again.value.as_ref());
        let headers: Value = serde_json::from_str(&content.headers).unwrap();
        let plain = json!({"scst_partition": 1, "partitionKey": KEY, "contentType": "application/json",
                           "target-protocol": "kafka"});
        assert_eq!(headers, plain);
        raw.send(std::slice::from_ref(deleted)).await;
        until_rows(world, &[]).await;
        service.stop().await;
        let copies = raw.records(&raw.dead_letters(of.0, of.1)).await;
        assert_eq!(copies.len(), 1);
        assert!(copies[0].headers.starts_with(&again.headers), "what the record had comes first");
    }
    let outcomes = world.inbox().await;
    assert_eq!(outcomes.len(), 9);
    assert_eq!(outcomes.values().filter(|outcome| *outcome == "dead").count(), 3);
}
