//! Records as they go and come.

use super::headers::{self, Writer};
use super::topics::dead_letters;
use crate::messaging::{DeadLetter, Headers, Outgoing, Position, Received, StandingLetter, ids};
use bytes::Bytes;
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, OwnedHeaders, Timestamp};
use serde_json::Value;

/// The header that a message is known by; records of Java have none.
const ID: &str = "messageId";
/// The header that only our dead letters have.
const GROUP: &str = "x-original-group";
const CONTENT_TYPE: &str = "contentType";
/// The class that Spring's wrapper around every failure has.
const WRAPPER: &str = "org.springframework.messaging.MessageHandlingException";

/// A record with its way.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) headers: OwnedHeaders,
    /// A dead letter may have none.
    pub(super) body: Option<Bytes>,
}

impl Record {
    /// An event, as Spring's `StreamBridge` sends it, to one of `count` partitions.
    pub(super) fn event(message: Outgoing, count: u32) -> Self {
        let partition = number(message.partition(count));
        let mut headers = Writer::new();
        if count > 1 {
            headers = headers.int("scst_partition", partition);
        }
        headers = headers.int("partitionKey", message.key).text(CONTENT_TYPE, "application/json");
        headers = headers.text("target-protocol", "kafka").text(ID, &message.id);
        headers = message.headers.iter().fold(headers, |headers, (name, value)| headers.value(name, value));
        Self { topic: message.destination, partition, headers: headers.finish(), body: Some(message.body) }
    }

    /// A dead letter, as Spring's `DlqSender` writes it to `error.D.G`: its numbers are binary and stand behind the
    /// headers that the record had. The cause is the real one, and the group and the number of attempts are told too.
    pub(super) fn dead_letter(letter: &DeadLetter) -> Self {
        let origin = |name: &str| letter.origin.get(name).unwrap_or(&Value::Null);
        let number_of = |name: &str| origin(name).as_i64().unwrap_or_default().to_be_bytes();
        let mut headers = OwnedHeaders::new_with_capacity(16);
        if !letter.headers.is_empty() {
            headers = headers::append_exact(headers, origin("headers"));
        }
        let partition = number(letter.partition);
        let timestamp_type = origin("timestampType").as_str().unwrap_or("CreateTime");
        let attempts = i32::try_from(letter.attempts).unwrap_or(i32::MAX);
        for (name, value) in [
            ("x-original-topic", letter.destination.as_bytes()),
            ("x-original-partition", &partition.to_be_bytes()),
            ("x-original-offset", &number_of("offset")),
            ("x-original-timestamp", &number_of("timestamp")),
            ("x-original-timestamp-type", timestamp_type.as_bytes()),
            ("x-exception-fqcn", WRAPPER.as_bytes()),
            ("x-exception-message", letter.cause.as_bytes()),
            ("x-exception-stacktrace", letter.cause.as_bytes()),
            (GROUP, letter.group.as_bytes()),
            ("x-attempts", &attempts.to_be_bytes()),
        ] {
            headers = headers::insert(headers, name, Some(value));
        }
        if !letter.headers.contains_key(ID) {
            headers = headers::insert(headers, ID, Some(letter.id.as_bytes()));
        }
        let topic = dead_letters(&letter.destination, &letter.group);
        let body = origin("value").is_null().then(|| letter.body.clone());
        Self { topic, partition, headers, body }
    }
}

/// A record as it came.
pub(super) fn received(record: &BorrowedMessage<'_>) -> Received {
    let (headers, exact) = record.headers().map_or_else(Default::default, headers::read);
    let (timestamp, timestamp_type) = match record.timestamp() {
        Timestamp::LogAppendTime(millis) => (millis, "LogAppendTime"),
        Timestamp::CreateTime(millis) => (millis, "CreateTime"),
        Timestamp::NotAvailable => (0, "CreateTime"),
    };
    let mut origin = Headers::new();
    origin.insert("offset".to_owned(), record.offset().into());
    origin.insert("timestamp".to_owned(), timestamp.into());
    origin.insert("timestampType".to_owned(), timestamp_type.into());
    if !exact.is_null() {
        origin.insert("headers".to_owned(), exact);
    }
    if record.payload().is_none() {
        // A record without a value is not one with an empty one.
        origin.insert("value".to_owned(), false.into());
    }
    let text = |name: &str| headers.get(name).and_then(Value::as_str);
    let id = match text(ID).filter(|id| !id.is_empty()) {
        Some(id) => ids::known(id),
        // What nobody named is known by its place; the time tells a topic from one of the same name made later.
        None => format!("{}-{}@{}-{timestamp}", record.topic(), record.partition(), record.offset()),
    };
    let content_type = match headers.get(CONTENT_TYPE) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        // Who says something that is no text says that it is no JSON.
        Some(other) => Some(other.to_string()),
    };
    Received {
        id,
        position: Position(record.offset()),
        timestamp,
        content_type,
        headers,
        body: Bytes::copy_from_slice(record.payload().unwrap_or_default()),
        origin,
    }
}

/// A record as it stands in the topic of dead letters, in the partition of the event that it was.
pub(super) fn standing(record: &BorrowedMessage<'_>) -> StandingLetter {
    let message = received(record);
    let text = |name: &str| message.headers.get(name).and_then(Value::as_str);
    StandingLetter {
        partition: record.partition().unsigned_abs(),
        cause: text("x-exception-message").map(str::to_owned),
        copy: text(GROUP).is_some(),
        message,
    }
}

/// The number of a partition as the client has it.
pub(super) fn number(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}
