//! What we write is what Java writes, and what Java writes is read.

use super::broker::Broker;
use crate::lab::{World, producing};
use crate::reader::take;
use crate::rows::{DESTINATIONS, keeping_rows, reading, until_rows};
use serde::Serialize;
use serde_json::{Value, json};
use shared::api::{Product, Recommendation, Review};
use shared::messaging::event::Event;
use shared::messaging::{DeadLetter, Headers, Outgoing};

const CREATED: [&str; 3] = [
    include_str!("golden/products-create.json"),
    include_str!("golden/recommendations-create.json"),
    include_str!("golden/reviews-create.json"),
];
const DELETED: [&str; 3] = [
    include_str!("golden/products-delete.json"),
    include_str!("golden/recommendations-delete.json"),
    include_str!("golden/reviews-delete.json"),
];
const DEAD: [&str; 3] = [
    include_str!("golden/products-dead-letter.json"),
    include_str!("golden/recommendations-dead-letter.json"),
    include_str!("golden/reviews-dead-letter.json"),
];
const PARTITIONED: &str = include_str!("golden/partitioned-products.auditGroup.json");
const PARTITIONED_DEAD: &str = include_str!("golden/partitioned-products.productsGroup.dlq.json");

fn capture(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// A message as the captures have it, with what differs each time said by its kind.
fn shape(mut message: Value) -> Value {
    let fields = ["exchange", "routing_key", "properties", "payload"];
    message.as_object_mut().unwrap().retain(|field, _| fields.contains(&field.as_str()));
    let properties = &mut message["properties"];
    assert!(properties["timestamp"].is_u64() && properties["message_id"].as_str().unwrap().len() == 36, "{properties}");
    (properties["timestamp"], properties["message_id"]) = (json!("seconds"), json!("an id"));
    let payload = message["payload"].as_str().unwrap().to_owned();
    let (event, at) = payload.split_once(r#""eventCreatedAt":""#).unwrap();
    assert!(at.ends_with("Z\"}"), "{payload}");
    message["payload"] = event.into();
    message
}

fn event<T: Serialize>(at: usize, event: &Event<T>) -> Outgoing {
    let headers = json!({"traceparent": "00-1-2-03"}).as_object().unwrap().clone();
    event.to_message(DESTINATIONS[at].0, uuid::Uuid::now_v7().to_string(), headers).unwrap()
}

pub(crate) async fn what_is_sent_is_what_java_sends(world: &World) {
    let (broker, binder) = (Broker::of(world), world.binder().await);
    let name = || Some("n".to_owned());
    let product = |product_id| Product { product_id, name: name(), weight: 1, service_address: None };
    let [author, subject, content] = ["a", "s", "c"].map(|text| Some(text.to_owned()));
    let key = 424_242;
    let recommendation = Recommendation {
        product_id: key,
        recommendation_id: 1,
        author: author.clone(),
        rate: 1,
        content: content.clone(),
        service_address: None,
    };
    let review = Review { product_id: key, review_id: 1, author, subject, content, service_address: None };
    let deletion = |at| event(at, &Event::<()>::Delete { key });

    let bindings = DESTINATIONS.map(|(name, group)| producing(name, 1, &[group]));
    let events = vec![
        event(0, &Event::Create { key, data: product(key) }),
        event(1, &Event::Create { key, data: recommendation }),
        event(2, &Event::Create { key, data: review }),
        deletion(0),
        deletion(1),
        deletion(2),
    ];
    binder.producer(&bindings).await.unwrap().send(events).await.unwrap();
    for (at, (destination, group)) in DESTINATIONS.iter().enumerate() {
        for queue in [format!("{destination}.{group}"), format!("{destination}.auditGroup")] {
            assert_sent(&broker.look(&queue).await, &[CREATED[at], DELETED[at]]);
        }
    }

    let other = world.binder().await;
    let producer = other.producer(&[producing("products", 2, &["productsGroup"])]).await.unwrap();
    producer.send(vec![event(0, &Event::Create { key: 424_243, data: product(424_243) })]).await.unwrap();
    for queue in ["products.productsGroup-1", "products.auditGroup-1"] {
        assert_sent(&broker.look(queue).await, &[PARTITIONED]);
    }
}

fn assert_sent(sent: &[Value], captures: &[&str]) {
    let sent = sent.iter().cloned().map(|mut message| {
        let trace = message["properties"]["headers"].as_object_mut().unwrap().remove("traceparent");
        assert_eq!(trace, Some(json!("00-1-2-03")));
        shape(message)
    });
    let captures: Vec<Value> = captures.iter().map(|text| shape(capture(text))).collect();
    assert_eq!(sent.collect::<Vec<_>>(), captures);
}

pub(crate) async fn a_dead_letter_is_what_java_writes_with_more_headers(world: &World) {
    let (broker, binder) = (Broker::of(world), world.binder().await);
    let raw = broker.raw().await;
    let plain = CREATED.iter().zip(DEAD).zip(DESTINATIONS).map(|((created, dead), names)| (*created, dead, names, 1));
    let partitioned = (PARTITIONED, PARTITIONED_DEAD, DESTINATIONS[0], 2);
    for (created, dead, (destination, group), partitions) in plain.chain([partitioned]) {
        let mut consumer = world.join(&*binder, &reading((destination, group), partitions)).await;
        raw.publish_capture(&capture(created)).await;
        let mut partition = consumer.assigned().await.unwrap();
        while partition.number() + 1 < partitions {
            partition = consumer.assigned().await.unwrap();
        }
        let [message] = &take(&mut *partition, 1).await[..] else { panic!("one message") };
        let mut golden = capture(dead);
        let headers = golden["properties"]["headers"].as_object_mut().unwrap();
        let cause = headers["x-exception-message"].as_str().unwrap().to_owned();
        let letter = DeadLetter {
            id: message.id.clone(),
            destination: destination.to_owned(),
            group: group.to_owned(),
            partition: partition.number(),
            headers: message.headers.clone(),
            body: message.body.clone(),
            // Through the columns of the letter.
            origin: serde_json::from_str(&Value::Object(message.origin.clone()).to_string()).unwrap(),
            cause: cause.clone(),
            attempts: 3,
        };
        binder.dead_letter(&letter).await.unwrap();

        let mut copies = broker.look(&format!("{destination}.{group}.dlq")).await;
        let mut copy = copies.pop().unwrap();
        let written = copy["properties"]["headers"].as_object_mut().unwrap();
        assert_eq!(written.remove("x-original-group"), Some(json!(group)));
        assert_eq!(written.remove("x-attempts"), Some(json!(3)));
        let trace = written.remove("x-exception-stacktrace").unwrap();
        assert!(trace.as_str().unwrap().contains(&cause), "{trace}");
        headers.remove("x-exception-stacktrace");
        // Java keeps the id and the time of the message too, so here they are compared as they are.
        copy.as_object_mut().unwrap().retain(|field, _| golden.get(field).is_some());
        assert_eq!(copy, golden);
        partition.release().await;
        consumer.leave().await;
    }
}

pub(crate) async fn the_messages_of_java_take_effect_or_become_letters(world: &World) {
    let raw = Broker::of(world).raw().await;
    let mut decided = Vec::new();
    for (at, of) in DESTINATIONS.into_iter().enumerate() {
        let service = keeping_rows(world, of, 1).await;
        let (created, deleted) = (capture(CREATED[at]), capture(DELETED[at]));
        let payload: Value = serde_json::from_str(created["payload"].as_str().unwrap()).unwrap();
        let id = |message: &Value| message["properties"]["message_id"].as_str().unwrap().to_owned();
        raw.publish_capture(&created).await;
        until_rows(world, &[payload["data"].clone()]).await;
        // Delivered twice, it takes effect once; sent as another event, it cannot take effect.
        raw.publish_capture(&created).await;
        let mut again = created.clone();
        // Java does not set the digit of the version: any can stand there.
        let odd = format!("ffffffff-ffff-{at}fff-0000-00000000000{at}");
        again["properties"]["message_id"] = odd.as_str().into();
        raw.publish_capture(&again).await;
        let letters = world.until_letters(at + 1).await;
        let letter = &letters[at];
        assert_eq!((letter.id.as_str(), letter.kind.as_str(), letter.key), (odd.as_str(), "invalid", Some(424_242)));
        let content = world.content(letter).await;
        assert_eq!(
            (letter.destination.as_str(), &content.body[..]),
            (of.0, again["payload"].as_str().unwrap().as_bytes())
        );
        let headers: Headers = serde_json::from_str(&content.headers).unwrap();
        assert_eq!(Value::Object(headers), created["properties"]["headers"]);
        raw.publish_capture(&deleted).await;
        until_rows(world, &[]).await;
        service.stop().await;
        decided.extend([(id(&created), "applied"), (odd, "dead"), (id(&deleted), "applied")]);
    }
    let inbox = world.inbox().await;
    assert_eq!(inbox, decided.into_iter().map(|(id, outcome)| (id, outcome.to_owned())).collect());

    // And from one of two partitions.
    let service = keeping_rows(world, DESTINATIONS[0], 2).await;
    let created = capture(PARTITIONED);
    raw.publish_capture(&created).await;
    let payload: Value = serde_json::from_str(created["payload"].as_str().unwrap()).unwrap();
    until_rows(world, &[payload["data"].clone()]).await;
    service.stop().await;
}
