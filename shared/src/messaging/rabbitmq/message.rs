//! Messages as they go and come.

use super::headers;
use super::names::{Count, DEAD_LETTERS, Names, short};
use crate::messaging::{BinderError, DeadLetter, Headers, Outgoing, Position, Received, StandingLetter, ids};
use bytes::Bytes;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde_json::Value;
use uuid::Uuid;

/// A message with its way.
#[derive(Debug)]
pub(super) struct Publishing {
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Bytes,
}

/// What a stack trace may take, as Spring cuts it: the frame of 131,072 bytes less 20,000.
const MOST_TRACE: usize = 111_072;
/// What a cause may take beside it.
const MOST_CAUSE: usize = 10_000;
/// What all headers may take: they must fit one frame, or the broker closes the connection.
const MOST_HEADERS: usize = 128_000;
const PERSISTENT: u8 = 2;
/// The header that only our dead letters have.
const GROUP: &str = "x-original-group";
/// The namespace of the ids of messages that have none.
const FOREIGN: Uuid = Uuid::from_u128(0x3f0d_9a64_6a0e_5c55_8c1b_7d52_90b1_44ce);

impl Publishing {
    /// An event, as Spring's `StreamBridge` sends it.
    pub(super) fn event(message: Outgoing, names: &Names, count: Count) -> Result<Self, BinderError> {
        let routing_key = names.routing_key(message.partition(count), count);
        let mut table = headers::to_table(&message.headers);
        table.insert("partitionKey".into(), AMQPValue::LongInt(message.key));
        table.insert("target-protocol".into(), AMQPValue::LongString("amqp".into()));
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_headers(fitting(table)?)
            .with_delivery_mode(PERSISTENT)
            .with_priority(0)
            .with_message_id(short(&message.id)?)
            .with_timestamp(jiff::Timestamp::now().as_second().unsigned_abs());
        let (exchange, routing_key) = (short(names.destination())?, short(&routing_key)?);
        Ok(Self { exchange, routing_key, properties, body: message.body })
    }

    /// A dead letter, as Spring republishes it to `DLX`; the cause is the real one, and the group and the number of
    /// attempts are told too.
    pub(super) fn dead_letter(letter: &DeadLetter) -> Result<Self, BinderError> {
        let origin = |name: &str| letter.origin.get(name);
        let text = |name: &str| origin(name).and_then(Value::as_str);
        let kept = origin("headers").filter(|_| !letter.headers.is_empty()).and_then(headers::exact);
        let mut table = kept.unwrap_or_else(|| headers::to_table(&letter.headers));
        let queue = text("queue").map_or_else(|| format!("{}.{}", letter.destination, letter.group), str::to_owned);
        for (name, value) in [
            ("x-original-exchange", text("exchange").unwrap_or(&letter.destination)),
            ("x-original-routingKey", text("routingKey").unwrap_or(&letter.destination)),
            ("x-exception-message", cut(&letter.cause, MOST_CAUSE)),
            ("x-exception-stacktrace", cut(&letter.cause, MOST_TRACE)),
            (GROUP, &letter.group),
        ] {
            table.insert(name.into(), AMQPValue::LongString(value.into()));
        }
        let attempts = i32::try_from(letter.attempts).unwrap_or(i32::MAX);
        table.insert("x-attempts".into(), AMQPValue::LongInt(attempts));
        let mut properties = BasicProperties::default()
            .with_headers(fitting(table)?)
            .with_delivery_mode(PERSISTENT)
            .with_message_id(short(&letter.id)?);
        // Not the time after which it would vanish unseen, nor a user whom the broker would compare with ours.
        let property = |name: &str| text(name).map(short).transpose();
        let number = |name: &str| origin(name).and_then(Value::as_u64);
        if let Some(value) = property("contentType")? {
            properties = properties.with_content_type(value);
        }
        if let Some(value) = property("contentEncoding")? {
            properties = properties.with_content_encoding(value);
        }
        if let Some(value) = property("correlationId")? {
            properties = properties.with_correlation_id(value);
        }
        if let Some(value) = property("replyTo")? {
            properties = properties.with_reply_to(value);
        }
        if let Some(value) = property("type")? {
            properties = properties.with_type(value);
        }
        if let Some(value) = property("appId")? {
            properties = properties.with_app_id(value);
        }
        if let Some(value) = number("timestamp") {
            properties = properties.with_timestamp(value);
        }
        if let Some(value) = number("priority").and_then(|value| u8::try_from(value).ok()) {
            properties = properties.with_priority(value);
        }
        Ok(Self { exchange: DEAD_LETTERS.into(), routing_key: short(&queue)?, properties, body: letter.body.clone() })
    }
}

/// A message as it came from `queue`.
pub(super) fn received(delivery: Delivery, queue: &str) -> Received {
    let Delivery { delivery_tag, exchange, routing_key, properties, data, .. } = delivery;
    let timestamp = *properties.timestamp();
    let (headers, kept) = properties.headers().as_ref().map_or_else(Default::default, headers::from_table);
    let mut origin = Headers::new();
    let mut note = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            origin.insert(name.to_owned(), value);
        }
    };
    let text = |value: &Option<ShortString>| value.as_ref().map(|value| Value::from(value.as_str()));
    note("exchange", Some(exchange.as_str().into()));
    note("routingKey", Some(routing_key.as_str().into()));
    note("queue", Some(queue.into()));
    note("headers", kept);
    note("contentType", text(properties.content_type()));
    note("contentEncoding", text(properties.content_encoding()));
    note("correlationId", text(properties.correlation_id()));
    note("replyTo", text(properties.reply_to()));
    note("type", text(properties.kind()));
    note("appId", text(properties.app_id()));
    note("timestamp", timestamp.map(Value::from));
    note("priority", (*properties.priority()).map(Value::from));
    let content_type = properties.content_type().as_ref().map(|value| value.as_str().to_owned());
    let id = match properties.message_id().as_ref().filter(|id| !id.as_str().is_empty()) {
        Some(id) => ids::known(id.as_str()),
        None => id_of_content(exchange.as_str(), routing_key.as_str(), timestamp, &data),
    };
    Received {
        id,
        position: Position(delivery_tag.cast_signed()),
        timestamp: timestamp.and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(0).saturating_mul(1000),
        content_type,
        headers,
        body: data.into(),
        origin,
    }
}

/// A message as it stands in the queue of dead letters; its way says the partition, such as `products-1`.
pub(super) fn standing(delivery: Delivery, queue: &str) -> StandingLetter {
    let message = received(delivery, queue);
    let text = |name: &str| message.headers.get(name).and_then(Value::as_str);
    let partition = text("x-original-routingKey").and_then(|way| way.rsplit_once('-')?.1.parse().ok());
    StandingLetter {
        partition: partition.unwrap_or(0),
        cause: text("x-exception-message").map(str::to_owned),
        copy: text(GROUP).is_some(),
        message,
    }
}

/// What a message without an id is known by: what it says, where it was sent to, and when.
fn id_of_content(exchange: &str, routing_key: &str, timestamp: Option<u64>, body: &[u8]) -> String {
    let mut name = Vec::with_capacity(exchange.len() + routing_key.len() + body.len() + 32);
    let timestamp = timestamp.unwrap_or_default().to_be_bytes();
    for part in [exchange.as_bytes(), routing_key.as_bytes(), &timestamp, body] {
        // The length goes first, so that no two messages run together into the same bytes.
        name.extend_from_slice(&part.len().to_be_bytes());
        name.extend_from_slice(part);
    }
    Uuid::new_v5(&FOREIGN, &name).to_string()
}

fn fitting(table: FieldTable) -> Result<FieldTable, BinderError> {
    let size = headers::size(&table);
    if size <= MOST_HEADERS {
        return Ok(table);
    }
    let source = anyhow::anyhow!("its headers of about {size} bytes do not fit one frame of {MOST_HEADERS}");
    Err(BinderError::refused("send a message", source))
}

/// The first `most` bytes of `text`, less where that would cut a character.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}
