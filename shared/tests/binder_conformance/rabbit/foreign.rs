//! What others put on the broker, however odd.

use super::broker::Broker;
use crate::lab::{GROUP, SOON, THINGS, World, consuming, producing, thing};
use crate::scenarios::importing;
use crate::service::Setup;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, DecimalValue, FieldTable};
use reqwest::Method;
use shared::messaging::processor::{ImportError, Imported, import};
use shared::messaging::{AUDIT_GROUP, BinderError, Tail};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use testkit::eventually;

const QUEUE: &str = "things.thingsGroup";
const DEAD: &str = "things.thingsGroup.dlq";

/// The headers that a copy has beside those of its message.
const ADDED: [&str; 6] = [
    "x-exception-message",
    "x-exception-stacktrace",
    "x-original-exchange",
    "x-original-routingKey",
    "x-original-group",
    "x-attempts",
];

fn json() -> BasicProperties {
    BasicProperties::default().with_content_type("application/json".into())
}

/// A header of every type that the broker knows, and text that is none.
fn odd_headers() -> FieldTable {
    let mut inner = FieldTable::default();
    inner.insert("deep".into(), AMQPValue::ShortShortUInt(255));
    let decimal = DecimalValue { scale: 2, value: 325 };
    let values = [
        ("t", AMQPValue::Boolean(true)),
        ("b", AMQPValue::ShortShortInt(-7)),
        ("B", AMQPValue::ShortShortUInt(200)),
        ("s", AMQPValue::ShortInt(-300)),
        ("u", AMQPValue::ShortUInt(60_000)),
        ("I", AMQPValue::LongInt(-70_000)),
        ("i", AMQPValue::LongUInt(4_000_000_000)),
        ("l", AMQPValue::LongLongInt(i64::MIN)),
        ("f", AMQPValue::Float(1.5)),
        ("d", AMQPValue::Double(-0.1)),
        ("D", AMQPValue::DecimalValue(decimal)),
        ("S", AMQPValue::LongString("Grüße ✓\0".into())),
        ("no text", AMQPValue::LongString(vec![0xc3, 0x28, 0].into())),
        ("A", AMQPValue::FieldArray(vec![AMQPValue::ShortInt(1), AMQPValue::FieldTable(inner.clone())].into())),
        ("T", AMQPValue::Timestamp(1_700_000_000)),
        ("F", AMQPValue::FieldTable(inner)),
        ("x", AMQPValue::ByteArray(vec![0, 255].into())),
        ("V", AMQPValue::Void),
    ];
    let mut table = FieldTable::default();
    for (name, value) in values {
        table.insert(name.into(), value);
    }
    table
}

pub(crate) async fn a_foreign_message_is_kept_to_the_last_bit_of_its_headers(world: &World) {
    let broker = Broker::of(world);
    let service = world.start(Setup::default()).await;
    let raw = broker.raw().await;
    let properties = BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_content_encoding("identity".into())
        .with_headers(odd_headers())
        .with_delivery_mode(1)
        .with_priority(9)
        .with_correlation_id("correlation".into())
        .with_reply_to("nobody".into())
        .with_expiration("3600000".into())
        .with_message_id("foreign".into())
        .with_timestamp(1_700_000_000)
        .with_type("a type".into())
        .with_user_id(broker.admin().into())
        .with_app_id("an app".into());
    // What it says is not read: of an event that says it is text, too.
    let body = thing(1, 1).body;
    raw.publish(THINGS, "things", properties.clone(), &body).await;
    let letters = world.until_letters(1).await;
    assert_eq!((letters[0].id.as_str(), letters[0].kind.as_str()), ("foreign", "invalid"));
    assert!(letters[0].cause.contains("text/plain"), "{}", letters[0].cause);
    assert_eq!((letters[0].key, &world.content(&letters[0]).await.body[..]), (Some(1), &body[..]));

    let copy = raw.take(DEAD).await.expect("the copy");
    let mut headers = copy.properties.headers().as_ref().unwrap().inner().clone();
    headers.retain(|name, _| !ADDED.contains(&name.as_str()));
    assert_eq!(FieldTable::from(headers), odd_headers());
    // Among the dead letters nothing expires, and nobody else may send as that user.
    assert!(copy.properties.expiration().is_none() && copy.properties.user_id().is_none());
    let comparable = |properties: BasicProperties| {
        let properties = properties.with_headers(FieldTable::default()).with_delivery_mode(2);
        properties.with_expiration("".into()).with_user_id("".into())
    };
    assert_eq!(comparable(copy.properties.clone()), comparable(properties));
    assert_eq!(copy.data, body);
    service.stop().await;
}

pub(crate) async fn a_message_without_an_id_is_known_by_what_it_says(world: &World) {
    let service = world.start(Setup::default()).await;
    let raw = Broker::of(world).raw().await;
    let sent = async |event: shared::messaging::Outgoing, second: u64| {
        raw.publish(THINGS, "things", json().with_timestamp(second), &event.body).await;
    };
    let (first, second) = (thing(1, 1), thing(1, 2));
    // The same twice, as after a lost acknowledgement; another at the same time; and an empty id, which is none.
    for event in [&first, &first, &second, &first, &second] {
        sent(event.clone(), 7).await;
    }
    raw.publish(THINGS, "things", json().with_timestamp(7).with_message_id("".into()), &first.body).await;
    world.until_settled().await;
    world.until_applied(&["1-1", "1-2"]).await;
    // The same words at another time are another event.
    sent(first.clone(), 8).await;
    world.until_applied(&["1-1", "1-2", "1-1"]).await;
    for _ in 0..2 {
        raw.publish(THINGS, "things", BasicProperties::default(), b"no event").await;
    }
    raw.publish(THINGS, "things", BasicProperties::default(), b"nor this").await;
    let letters = world.until_letters(2).await;
    for (letter, body) in letters.iter().zip([&b"no event"[..], b"nor this"]) {
        assert_eq!(world.content(letter).await.body, body);
    }
    world.until_settled().await;
    service.stop().await;
}

pub(crate) async fn no_message_is_too_odd_for_the_database_or_the_broker(world: &World) {
    let broker = Broker::of(world);
    let service = world.start(Setup::default()).await;
    let raw = broker.raw().await;
    let large: Vec<u8> = (0..10 << 20).map(|at: u32| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    raw.publish(THINGS, "things", json().with_message_id("large".into()), &large).await;
    world.until_letters(1).await;
    raw.publish(THINGS, "things", json().with_message_id("nul\0 one".into()), &thing(1, 1).body).await;
    raw.publish(THINGS, "things", json().with_message_id("nul\0 two".into()), b"\0").await;
    // With what a dead letter adds, these headers fit no frame.
    let mut headers = FieldTable::default();
    headers.insert("wide".into(), AMQPValue::LongString("w".repeat(127_000).into()));
    raw.publish(THINGS, "things", json().with_headers(headers).with_message_id("wide".into()), b"{").await;
    // And an id as long as there can be.
    let long = "i".repeat(255);
    raw.publish(THINGS, "things", json().with_message_id(long.as_str().into()), b"{").await;
    raw.publish(THINGS, "things", json().with_message_id("last".into()), &thing(2, 1).body).await;
    world.until_applied(&["1-1", "2-1"]).await;
    let letters = world.until_letters(4).await;
    let ids: Vec<&str> = letters.iter().map(|letter| letter.id.as_str()).collect();
    assert_eq!(ids, ["large", "nul\u{fffd} two", "wide", &long]);
    assert!(world.content(&letters[0]).await.body == large, "the letter has the whole body");
    assert!(world.content(&letters[2]).await.headers.len() > 127_000, "the letter has all headers");
    world.until_settled().await;
    assert!(service.is_running());
    for letter in &letters {
        let copy = raw.take(DEAD).await.expect("a copy of each");
        assert_eq!(copy.properties.message_id().as_ref().map(|id| id.as_str()), Some(letter.id.as_str()));
        assert!(copy.data == world.content(letter).await.body, "the copy of {} has the whole body", letter.id);
    }
    service.stop().await;
}

pub(crate) async fn headers_that_stand_in_each_other_ten_thousand_times_end_nobody(world: &World) {
    let broker = Broker::of(world);
    let service = world.start(Setup::default()).await;
    let nested = r#"{"n":"#.repeat(10_000) + "{}" + &"}".repeat(10_000);
    let event = String::from_utf8(thing(1, 1).body.to_vec()).unwrap();
    for (id, body) in [("deep", event.as_str()), ("deep and bad", "{")] {
        let body = serde_json::to_string(body).unwrap();
        let message = format!(
            r#"{{"properties": {{"content_type": "application/json", "message_id": "{id}", "headers": {nested}}},
                "routing_key": "things", "payload": {body}, "payload_encoding": "string"}}"#
        );
        // A value of that depth could not even be dropped here.
        let message = serde_json::value::RawValue::from_string(message).unwrap();
        let path = ["exchanges", broker.vhost(), THINGS, "publish"];
        assert_eq!(broker.manage(Method::POST, &path, message).await.unwrap()["routed"], true);
    }
    broker.raw().await.publish(THINGS, "things", json().with_message_id("last".into()), &thing(2, 1).body).await;
    world.until_applied(&["1-1", "2-1"]).await;
    let letters = world.until_letters(1).await;
    assert_eq!((letters[0].id.as_str(), letters[0].kind.as_str()), ("deep and bad", "invalid"));
    world.until_settled().await;
    service.stop().await;
}

pub(crate) async fn a_producer_alone_on_an_empty_broker_loses_nothing(world: &World) {
    let producer = world.producer(2).await;
    for seq in 1..=20 {
        producer.send((0..4).map(|key| thing(key, seq)).collect()).await.unwrap();
    }
    drop(producer);
    let broker = Broker::of(world);
    assert_eq!([broker.count(&format!("{QUEUE}-0")).await, broker.count(&format!("{QUEUE}-1")).await], [40, 40]);
    let service = world.start(Setup { partitions: 2, ..Setup::default() }).await;
    world.until_settled().await;
    service.stop().await;
    let effects = world.effects().await;
    for key in 0..4 {
        let seqs: Vec<i64> = effects.iter().filter(|effect| effect.key == key).map(|effect| effect.seq).collect();
        assert_eq!(seqs, (1..=20).collect::<Vec<_>>(), "key {key}");
    }
}

pub(crate) async fn a_tail_leaves_the_audit_queues_as_they_were(world: &World) {
    let (broker, binder) = (Broker::of(world), world.binder().await);
    let producer = binder.producer(&[producing(THINGS, 2, &[GROUP])]).await.unwrap();
    producer.send((0..30).map(|key| thing(key, 1)).collect()).await.unwrap();
    let queues = [0, 1].map(|partition| format!("{THINGS}.{AUDIT_GROUP}-{partition}"));
    let stands = async || {
        let mut stands = Vec::new();
        for queue in &queues {
            let look = broker.look(queue).await;
            stands.push(look.iter().map(|message| message["properties"]["message_id"].clone()).collect::<Vec<_>>());
        }
        stands
    };
    let before = stands().await;
    assert_eq!(before.iter().map(Vec::len).collect::<Vec<_>>(), [15, 15]);

    let mut new = binder.tail(THINGS, None, false).await.unwrap();
    // To its end, and not so far.
    for most in [usize::MAX, 7] {
        let mut tail = binder.tail(THINGS, None, true).await.unwrap();
        let mut seen = BTreeSet::new();
        while seen.len() < most.min(30) {
            seen.extend(tail.next().await.unwrap().map(|(_, message)| message.id));
        }
        drop(tail);
        eventually(SOON, "all messages back in their places", async || {
            let now = stands().await;
            if now == before { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await;
    }
    assert!(new.next().await.unwrap().is_none(), "what stood there before is not new");
    producer.send(vec![thing(1, 2), thing(2, 2)]).await.unwrap();
    assert_eq!(ids_of(&mut *new, 2).await, ["1-2", "2-2"].map(str::to_owned).into());
    drop(new);
    eventually(SOON, "no queue but those of the groups", async || match broker.list("queues").await.len() {
        // Those of two groups with two partitions each, and the one of dead letters.
        5 => Ok(()),
        count => Err(count),
    })
    .await;
}

pub(crate) async fn what_java_left_is_imported_once(world: &World) {
    let raw = Broker::of(world).raw().await;
    let count = AtomicU64::new(0);
    let leave = async |id: Option<&str>, body: &[u8]| {
        let mut headers = FieldTable::default();
        headers.insert("x-exception-message".into(), AMQPValue::LongString("Java had no luck".into()));
        let second = count.fetch_add(1, Ordering::Relaxed);
        let properties = BasicProperties::default()
            .with_headers(headers)
            .with_timestamp(second)
            .with_content_type("application/json".into());
        let properties = match id {
            Some(id) => properties.with_message_id(id.into()),
            None => properties,
        };
        raw.publish("DLX", "things.thingsGroup", properties, body).await;
    };
    // What was taken is gone; the copy of an open letter stays.
    importing::what_others_left_is_imported_once(world, leave, 1).await;
}

pub(crate) async fn letters_that_somebody_else_has_in_hand_are_not_taken_for_none(world: &World) {
    let (binder, binding) = (world.binder().await, consuming(GROUP, 1));
    world.join(&*binder, &binding).await.leave().await;
    let broker = Broker::of(world);
    broker.raw().await.publish("DLX", QUEUE, json().with_message_id("java".into()), &thing(1, 1).body).await;
    let mut reader = binder.dead_letters(&binding).await.unwrap().expect("a letter");
    assert_eq!(reader.next(10).await.unwrap().len(), 1);
    let other = world.binder().await;
    let imported = import(&*other, &binding, &world.database).await;
    assert!(matches!(imported, Err(ImportError::Broker(BinderError::Unavailable { .. }))), "{imported:?}");
    // Who reads puts it back.
    reader.close().await.unwrap();
    let imported = import(&*other, &binding, &world.database).await.unwrap();
    assert_eq!(imported, Imported { imported: 1, known: 0, more: false });
    let imported = import(&*other, &binding, &world.database).await.unwrap();
    assert_eq!(imported, Imported::default(), "there is none, and nobody has any in hand");
}

async fn ids_of(tail: &mut dyn Tail, count: usize) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    eventually(SOON, &format!("{count} messages in the tail"), async || {
        ids.extend(tail.next().await.unwrap().map(|(_, message)| message.id));
        if ids.len() == count { Ok(()) } else { Err(ids.len()) }
    })
    .await;
    ids
}
