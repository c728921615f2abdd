//! Headers in the encodings of Spring's `BinderHeaderMapper`: texts as they are, everything else as JSON, and one header
//! more that tells which is which. What came is kept to the last byte, so that a dead letter has the headers that its
//! record had.

use crate::messaging::Headers;
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use rdkafka::message::{BorrowedHeaders, Header, Headers as _, OwnedHeaders};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The header that names the Java type of each other one.
const TYPES: &str = "spring_json_header_types";
const STRING: &str = "java.lang.String";

/// Headers on their way out.
pub(super) struct Writer {
    headers: OwnedHeaders,
    types: Map<String, Value>,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self { headers: OwnedHeaders::new_with_capacity(8), types: Map::new() }
    }

    #[must_use]
    pub(super) fn int(self, name: &str, value: i32) -> Self {
        self.typed(name, "java.lang.Integer", value.to_string().as_bytes())
    }

    #[must_use]
    pub(super) fn text(self, name: &str, text: &str) -> Self {
        // What begins with a quotation mark is read as JSON.
        let quoted = text.starts_with('"').then(|| Value::from(text).to_string());
        self.typed(name, STRING, quoted.as_deref().unwrap_or(text).as_bytes())
    }

    #[must_use]
    pub(super) fn value(self, name: &str, value: &Value) -> Self {
        let java = match value {
            Value::String(text) => return self.text(name, text),
            // It has no type, and no value either.
            Value::Null => return Self { headers: insert(self.headers, name, None), ..self },
            Value::Bool(_) => "java.lang.Boolean",
            Value::Number(number) => match number.as_i64().map(i32::try_from) {
                Some(Ok(_)) => "java.lang.Integer",
                Some(Err(_)) => "java.lang.Long",
                None => "java.lang.Double",
            },
            Value::Array(_) => "java.util.ArrayList",
            Value::Object(_) => "java.util.LinkedHashMap",
        };
        self.typed(name, java, value.to_string().as_bytes())
    }

    fn typed(mut self, name: &str, java: &str, value: &[u8]) -> Self {
        self.types.insert(name.to_owned(), java.into());
        Self { headers: insert(self.headers, name, Some(value)), ..self }
    }

    /// All headers, and the one that tells their types.
    pub(super) fn finish(self) -> OwnedHeaders {
        insert(self.headers, TYPES, Some(Value::Object(self.types).to_string().as_bytes()))
    }
}

/// Appends a header as it is. A name with a NUL, which the client cannot carry, goes without it.
pub(super) fn insert(headers: OwnedHeaders, name: &str, value: Option<&[u8]>) -> OwnedHeaders {
    let name = name.replace('\0', "\u{fffd}");
    headers.insert(Header { key: &name, value })
}

/// The headers of a record as JSON, for people and for policy; of several with one name the last, as Spring reads them.
/// And all of them as they were, in their order.
pub(super) fn read(raw: &BorrowedHeaders) -> (Headers, Value) {
    // The client panics over a name that is no UTF-8, as the protocol wants it to be: such a header is passed over.
    let header = |at| catch_unwind(AssertUnwindSafe(|| raw.try_get(at))).ok().flatten();
    let raw: Vec<Header<'_, &[u8]>> = (0..raw.count()).filter_map(header).collect();
    let types = raw.iter().rfind(|header| header.key == TYPES);
    let types = types.and_then(|header| serde_json::from_slice(header.value?).ok());
    let types: HashMap<String, Value> = types.unwrap_or_default();
    let (mut headers, mut exact) = (Headers::new(), Vec::with_capacity(raw.len()));
    for Header { key, value } in raw {
        if key != TYPES {
            headers.insert(key.to_owned(), to_json(value, types.get(key).and_then(Value::as_str)));
        }
        exact.push(json!([key, value.map(bytes_to_json)]));
    }
    (headers, exact.into())
}

/// About how many bytes the headers take that [`read`] kept.
pub(super) fn size(exact: &Value) -> usize {
    let text = |value: &Value| value.as_str().or_else(|| value[0].as_str()).map_or(0, str::len);
    exact.as_array().into_iter().flatten().map(|header| 16 + text(&header[0]) + text(&header[1])).sum()
}

/// The headers that [`read`] kept, appended to `headers`.
pub(super) fn append_exact(mut headers: OwnedHeaders, exact: &Value) -> OwnedHeaders {
    for header in exact.as_array().into_iter().flatten() {
        let value = bytes_from_json(&header[1]);
        headers = insert(headers, header[0].as_str().unwrap_or_default(), value.as_deref());
    }
    headers
}

fn to_json(value: Option<&[u8]>, java: Option<&str>) -> Value {
    let Some(bytes) = value else { return Value::Null };
    let text = || std::str::from_utf8(bytes).map_or_else(|_| BASE64.encode(bytes).into(), Value::from);
    match java {
        // What Spring itself keeps as bytes is mostly a text that somebody else wrote.
        None => text(),
        Some(STRING) if bytes.first() != Some(&b'"') => text(),
        Some(_) => serde_json::from_slice(bytes).unwrap_or_else(|_| text()),
    }
}

/// Text as it is, other bytes in an array of one.
fn bytes_to_json(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes).map_or_else(|_| json!([BASE64.encode(bytes)]), Value::from)
}

fn bytes_from_json(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Array(encoded) => BASE64.decode(encoded.first()?.as_str()?).ok(),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read_back(headers: &OwnedHeaders) -> (Headers, Value) {
        read(headers.as_borrowed())
    }

    fn bytes(headers: &OwnedHeaders) -> Vec<(String, Option<Vec<u8>>)> {
        headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
    }

    #[test]
    fn values_are_written_and_read_as_spring_does() {
        let given = json!({"count": 7, "far": 5_000_000_000_i64, "half": 0.5, "truth": true, "no": null,
                           "text": "plain", "quoted": "\"so\"", "list": [1], "table": {"a": "b"}});
        let writer = given.as_object().unwrap().iter();
        let written = writer.fold(Writer::new(), |writer, (name, value)| writer.value(name, value)).finish();
        let raw: HashMap<_, _> = bytes(&written).into_iter().collect();
        assert_eq!(raw["count"].as_deref(), Some(&b"7"[..]));
        assert_eq!(raw["text"].as_deref(), Some(&b"plain"[..]));
        assert_eq!(raw["quoted"].as_deref(), Some(&br#""\"so\"""#[..]));
        assert_eq!(raw["no"], None);
        let types: Value = serde_json::from_slice(raw[TYPES].as_deref().unwrap()).unwrap();
        assert_eq!((&types["count"], &types["far"]), (&json!("java.lang.Integer"), &json!("java.lang.Long")));
        assert_eq!(Value::Object(read_back(&written).0), given);
    }

    #[test]
    fn both_editions_of_java_are_read_and_so_is_who_names_no_types() {
        for (value, types, read) in [
            (&b"application/json"[..], Some(r#"{"contentType":"java.lang.String"}"#), json!("application/json")),
            (b"\"application/json\"", Some(r#"{"contentType":"java.lang.String"}"#), json!("application/json")),
            (b"\"application/json\"", None, json!("\"application/json\"")),
            (b"application/json", Some("no JSON"), json!("application/json")),
            (b"{bad", Some(r#"{"contentType":"java.lang.Integer"}"#), json!("{bad")),
            (b"\xff\x00", None, json!("/wA=")),
        ] {
            let mut headers = insert(OwnedHeaders::new(), "contentType", Some(value));
            if let Some(types) = types {
                headers = insert(headers, TYPES, Some(types.as_bytes()));
            }
            assert_eq!(read_back(&headers).0["contentType"], read);
        }
    }

    #[test]
    fn what_came_is_kept_to_the_last_byte() {
        let mut headers = OwnedHeaders::new();
        for (name, value) in [("a", Some(&b"1"[..])), ("a", Some(b"\xff\x00")), ("", None), ("b", Some(b""))] {
            headers = insert(headers, name, value);
        }
        // Through a column of text, as a dead letter is kept.
        let kept = serde_json::from_str(&read_back(&headers).1.to_string()).unwrap();
        assert_eq!(bytes(&append_exact(OwnedHeaders::new(), &kept)), bytes(&headers));
    }
}
