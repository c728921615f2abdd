//! Deliveries that nobody sends on purpose: each is read, and its dead letter is written with the headers that it had,
//! or refused with a sentence.

use super::message::{Publishing, received};
use crate::messaging::DeadLetter;
use crate::messaging::event::Event;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, ByteArray, DecimalValue, FieldArray, FieldTable, ShortString};
use serde_json::{Value, json};
use testkit::Fuzz;

fn short(fuzz: &mut Fuzz) -> ShortString {
    ShortString::try_new(fuzz.text()).unwrap_or_else(|_| "long".into())
}

fn value(fuzz: &mut Fuzz, depth: u32) -> AMQPValue {
    let number = fuzz.number();
    match fuzz.below(if depth > 6 { 14 } else { 17 }) {
        0 => AMQPValue::Boolean(number.is_multiple_of(2)),
        1 => AMQPValue::ShortShortInt(number as i8),
        2 => AMQPValue::ShortShortUInt(number as u8),
        3 => AMQPValue::ShortInt(number as i16),
        4 => AMQPValue::LongUInt(number as u32),
        5 => AMQPValue::LongLongInt(number as i64),
        // No JSON has a number that is none, so no dead letter keeps it.
        6 => AMQPValue::Float(Some(f32::from_bits(number as u32)).filter(|float| float.is_finite()).unwrap_or(0.5)),
        7 => AMQPValue::Double(Some(f64::from_bits(number)).filter(|double| double.is_finite()).unwrap_or(0.5)),
        8 => AMQPValue::DecimalValue(DecimalValue { scale: number as u8, value: (number >> 8) as u32 }),
        9 => AMQPValue::LongString(fuzz.bytes(100).into()),
        10 => AMQPValue::LongString(fuzz.text().into()),
        11 => AMQPValue::Timestamp(number),
        12 => AMQPValue::ByteArray(ByteArray::from(fuzz.bytes(100))),
        13 => AMQPValue::Void,
        14 => AMQPValue::FieldArray(FieldArray::from(
            (0..fuzz.below(4)).map(|_| value(fuzz, depth + 1)).collect::<Vec<_>>(),
        )),
        _ => AMQPValue::FieldTable(table(fuzz, depth + 1)),
    }
}

pub(super) fn table(fuzz: &mut Fuzz, depth: u32) -> FieldTable {
    let mut table = FieldTable::default();
    for _ in 0..fuzz.below(5) {
        table.insert(short(fuzz), value(fuzz, depth));
    }
    table
}

fn delivery(fuzz: &mut Fuzz, whole: &Value) -> Delivery {
    let mut properties = BasicProperties::default();
    if !fuzz.one_in(3) {
        properties = properties.with_headers(table(fuzz, 0));
    }
    if fuzz.one_in(2) {
        properties = properties.with_content_type(short(fuzz)).with_timestamp(fuzz.number());
    }
    if fuzz.one_in(2) {
        properties = properties.with_message_id(short(fuzz)).with_reply_to(short(fuzz)).with_priority(255);
    }
    let mut delivery = Delivery::mock(fuzz.number(), short(fuzz), short(fuzz), false, fuzz.mutated(whole));
    delivery.properties = properties;
    delivery
}

fn read_all(seed: u64, count: u32) {
    let mut fuzz = Fuzz::new(seed);
    let whole = json!({ "eventType": "CREATE", "key": 7, "data": { "productId": 7 }, "eventCreatedAt": "now" });
    let (mut events, mut copies) = (0, 0);
    for _ in 0..count {
        let given = delivery(&mut fuzz, &whole);
        let table = given.properties.headers().clone().unwrap_or_default();
        let message = received(given, "products.productsGroup");
        events += u32::from(Event::<Value>::from_message(&message).is_ok());
        // Through columns of text, as a dead letter is kept.
        let kept = |headers| serde_json::from_str(&serde_json::to_string(headers).unwrap()).unwrap();
        let letter = DeadLetter {
            id: message.id.clone(),
            destination: "products".to_owned(),
            group: "productsGroup".to_owned(),
            partition: 0,
            headers: kept(&message.headers),
            body: message.body.clone(),
            origin: kept(&message.origin),
            cause: fuzz.text(),
            attempts: 3,
        };
        let Ok(copy) = Publishing::dead_letter(&letter) else { continue };
        copies += 1;
        let headers = copy.properties.headers().clone().unwrap_or_default();
        for (name, value) in table.inner() {
            assert_eq!(headers.inner().get(name), Some(value), "{name:?} of {table:?}");
        }
    }
    assert!(events > 0 && events < count && copies > count / 2, "{events} events, {copies} copies");
}

#[test]
fn every_delivery_is_read_and_kept_with_its_headers() {
    read_all(1, 2_000);
}

#[test]
#[ignore = "takes a minute: cargo test --profile profiling -p shared fuzz -- --ignored"]
fn every_delivery_of_a_hundred_thousand_is_read_and_kept_with_its_headers() {
    read_all(2, 100_000);
}
