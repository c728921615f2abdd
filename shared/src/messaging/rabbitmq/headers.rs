//! Header tables as JSON, for people and for policy. What JSON cannot say exactly is kept beside it, so that a dead
//! letter has the headers that its message had.

use crate::messaging::Headers;
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde_json::{Number, Value};

/// The headers of a message; and its table as it was, where these headers do not lead back to it.
pub(super) fn from_table(table: &FieldTable) -> (Headers, Option<Value>) {
    let headers = in_json(table);
    // A text: as a tree, each value of a list would take hundreds of bytes.
    let exact = (to_table(&headers) != *table).then(|| serde_json::to_string(table).ok().map(Value::String));
    (headers, exact.flatten())
}

/// The table that [`from_table`] kept beside the headers, as it does now, and as it did in letters that may stand yet.
pub(super) fn exact(kept: &Value) -> Option<FieldTable> {
    match kept {
        Value::String(text) => serde_json::from_str(text).ok(),
        tree => serde_json::from_value(tree.clone()).ok(),
    }
}

/// The table of headers that are our own, or that JSON says exactly. Names that are too long are left out.
pub(super) fn to_table(headers: &Headers) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        if let Ok(name) = ShortString::try_new(name.as_str()) {
            table.insert(name, from_json(value));
        }
    }
    table
}

/// About how many bytes a table takes on the wire, at least as many as it does.
pub(super) fn size(table: &FieldTable) -> usize {
    fn value_size(value: &AMQPValue) -> usize {
        match value {
            AMQPValue::LongString(text) => 8 + text.len(),
            AMQPValue::ShortString(text) => 8 + text.as_str().len(),
            AMQPValue::ByteArray(bytes) => 8 + bytes.len(),
            AMQPValue::FieldArray(values) => 8 + values.as_slice().iter().map(value_size).sum::<usize>(),
            AMQPValue::FieldTable(table) => size(table),
            _ => 16,
        }
    }
    8 + table.inner().iter().map(|(name, value)| 8 + name.as_str().len() + value_size(value)).sum::<usize>()
}

fn in_json(table: &FieldTable) -> Headers {
    table.inner().iter().map(|(name, value)| (name.as_str().to_owned(), to_json(value))).collect()
}

fn to_json(value: &AMQPValue) -> Value {
    let double = |number: f64| Number::from_f64(number).map_or(Value::Null, Value::Number);
    match value {
        AMQPValue::Boolean(value) => (*value).into(),
        AMQPValue::ShortShortInt(value) => (*value).into(),
        AMQPValue::ShortShortUInt(value) => (*value).into(),
        AMQPValue::ShortInt(value) => (*value).into(),
        AMQPValue::ShortUInt(value) => (*value).into(),
        AMQPValue::LongInt(value) => (*value).into(),
        AMQPValue::LongUInt(value) => (*value).into(),
        AMQPValue::LongLongInt(value) => (*value).into(),
        AMQPValue::Float(value) => double((*value).into()),
        AMQPValue::Double(value) => double(*value),
        AMQPValue::DecimalValue(value) => double(f64::from(value.value) / 10f64.powi(value.scale.into())),
        AMQPValue::ShortString(text) => text.as_str().into(),
        AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into(),
        AMQPValue::FieldArray(values) => values.as_slice().iter().map(to_json).collect(),
        AMQPValue::Timestamp(seconds) => (*seconds).into(),
        AMQPValue::FieldTable(table) => Value::Object(in_json(table)),
        AMQPValue::ByteArray(bytes) => BASE64.encode(bytes.as_slice()).into(),
        AMQPValue::Void => Value::Null,
    }
}

fn from_json(value: &Value) -> AMQPValue {
    match value {
        Value::Null => AMQPValue::Void,
        Value::Bool(value) => AMQPValue::Boolean(*value),
        Value::Number(number) => match number.as_i64() {
            // Java's Integer, where it fits.
            Some(long) => i32::try_from(long).map_or(AMQPValue::LongLongInt(long), AMQPValue::LongInt),
            None => AMQPValue::Double(number.as_f64().unwrap_or(f64::MAX)),
        },
        Value::String(text) => AMQPValue::LongString(text.as_str().into()),
        Value::Array(values) => AMQPValue::FieldArray(values.iter().map(from_json).collect::<Vec<_>>().into()),
        Value::Object(headers) => AMQPValue::FieldTable(to_table(headers)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use lapin::types::DecimalValue;
    use serde_json::json;

    #[test]
    fn what_java_and_we_send_is_said_exactly_by_json() {
        let headers = json!({"partitionKey": 7, "target-protocol": "amqp", "far": 5_000_000_000_i64, "no": null,
                             "list": [true, {"half": 0.5}]});
        let table = to_table(headers.as_object().unwrap());
        assert_eq!(table.inner()["partitionKey"], AMQPValue::LongInt(7));
        assert_eq!(table.inner()["target-protocol"], AMQPValue::LongString("amqp".into()));
        assert_eq!(from_table(&table), (headers.as_object().unwrap().clone(), None));
        assert!(size(&table) >= 90);
    }

    #[test]
    fn odd_types_are_shown_as_json_and_kept_as_they_were() {
        let mut table = FieldTable::default();
        table.insert("byte".into(), AMQPValue::ShortShortUInt(200));
        table.insert("bytes".into(), AMQPValue::ByteArray(vec![0, 255].into()));
        table.insert("decimal".into(), AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 325 }));
        table.insert("time".into(), AMQPValue::Timestamp(1_700_000_000));
        table.insert("text".into(), AMQPValue::LongString(vec![0xc3, 0x28].into()));
        let (headers, kept) = from_table(&table);
        assert_eq!(
            Value::Object(headers),
            json!({"byte": 200, "bytes": "AP8=", "decimal": 3.25, "time": 1_700_000_000, "text": "\u{fffd}("})
        );
        // Through a column of text, as a dead letter is kept.
        let kept = serde_json::from_str(&kept.unwrap().to_string()).unwrap();
        assert_eq!(exact(&kept).as_ref(), Some(&table));
        // As it was kept once.
        assert_eq!(exact(&serde_json::to_value(&table).unwrap()), Some(table));
    }
}
