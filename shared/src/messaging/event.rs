//! What a message says: a thing with this key was created or deleted.

use super::failure::Failure;
use super::{Headers, Outgoing, Received};
use crate::jackson::{self, Object};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::HashMap;

/// An event of one destination. A creation without data cannot exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<T> {
    /// The thing was created.
    Create {
        /// The id of the product it belongs to.
        key: i32,
        /// The thing.
        data: T,
    },
    /// Everything with this key was deleted.
    Delete {
        /// The id of the product.
        key: i32,
    },
}

impl<T> Event<T> {
    /// The id of the product it speaks of: what order is kept by.
    pub fn key(&self) -> i32 {
        match self {
            Self::Create { key, .. } | Self::Delete { key } => *key,
        }
    }
}

impl<T: Serialize> Event<T> {
    /// The message that carries this event, in the form that both editions of the Java landscape read: nulls are
    /// written, and the time ends in a literal `Z`.
    pub fn to_message(&self, destination: &str, id: String, headers: Headers) -> Result<Outgoing, serde_json::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Written<'a, T> {
            event_type: &'static str,
            key: i32,
            data: Option<&'a T>,
            event_created_at: jiff::Timestamp,
        }
        let (event_type, data) = match self {
            Self::Create { data, .. } => ("CREATE", Some(data)),
            Self::Delete { .. } => ("DELETE", None),
        };
        let event_created_at = jiff::Timestamp::now();
        let body = serde_json::to_vec(&Written { event_type, key: self.key(), data, event_created_at })?;
        Ok(Outgoing { destination: destination.to_owned(), id, key: self.key(), headers, body: body.into() })
    }
}

impl<T: DeserializeOwned> Event<T> {
    /// Reads a message that says nothing of its content or that it is JSON, which is what Java's converters take.
    pub fn from_message(message: &Received) -> Result<Self, Failure> {
        if let Some(content_type) = message.content_type.as_deref().filter(|content_type| !is_json(content_type)) {
            return Err(Failure::Invalid(format!("the content type {content_type:?} is not application/json")));
        }
        Self::from_body(&message.body)
    }

    /// Reads what our services and both editions of the Java landscape write. Text after the object is ignored and
    /// the time of creation is not looked at, so that no spelling of it can fail.
    pub fn from_body(body: &Bytes) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", bound = "T: DeserializeOwned")]
        struct Read<T> {
            event_type: Option<EventType>,
            #[serde(default, deserialize_with = "key")]
            key: Option<i32>,
            data: Option<Object<T>>,
        }
        fn key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
            jackson::int(deserializer).map(Some)
        }

        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(Failure::Invalid("the message is empty".to_owned()));
        }
        let unreadable = |error: serde_json::Error| Failure::Invalid(format!("the message is no event: {error}"));
        let mut json = serde_json::Deserializer::from_slice(body);
        let Object(read) = Object::<Read<T>>::deserialize(&mut json).map_err(unreadable)?;
        let missing = |field: &str| Failure::Invalid(format!("the event has no {field}"));
        let key = read.key.ok_or_else(|| missing("key"))?;
        match read.event_type.ok_or_else(|| missing("eventType"))? {
            EventType::Create => {
                let Object(data) = read.data.ok_or_else(|| missing("data, which CREATE needs"))?;
                Ok(Self::Create { key, data })
            }
            EventType::Delete => Ok(Self::Delete { key }),
        }
    }
}

/// Whether a media type, with or without parameters, is `application/json` or one that is written in it.
fn is_json(content_type: &str) -> bool {
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    // Kafka's binder of the first edition writes it as a JSON text.
    let media = media.trim_matches('"');
    media == "application/json" || (media.starts_with("application/") && media.ends_with("+json")) || media.is_empty()
}

/// The key of a message that may be no event: what a dead letter is shown with.
pub(crate) fn readable_key(body: &[u8]) -> Option<i32> {
    #[derive(Deserialize)]
    struct Keyed {
        #[serde(deserialize_with = "jackson::int")]
        key: i32,
    }
    // As events are read, or one that fails would park no key: text behind the object is ignored.
    let mut json = serde_json::Deserializer::from_slice(body);
    Object::<Keyed>::deserialize(&mut json).ok().map(|Object(keyed)| keyed.key)
}

/// The kind of event: its name, or Java's ordinal of it.
enum EventType {
    Create,
    Delete,
}

impl<'de> Deserialize<'de> for EventType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match (value.as_str(), value.as_u64()) {
            (Some("CREATE"), _) | (_, Some(0)) => Ok(Self::Create),
            (Some("DELETE"), _) | (_, Some(1)) => Ok(Self::Delete),
            _ => Err(serde::de::Error::custom(format_args!("unknown eventType {value}, expected CREATE or DELETE"))),
        }
    }
}

/// Events that can be applied in any order among themselves, since no key is both created and deleted here.
#[derive(Debug)]
pub struct Round<'a, T> {
    /// What was created, in order.
    pub creates: Vec<&'a T>,
    /// The keys of what was deleted.
    pub deletes: Vec<i32>,
}

/// Sorts events into as few rounds as order per key allows, so that each round takes few statements.
pub fn rounds<T>(events: &[Event<T>]) -> Vec<Round<'_, T>> {
    let mut rounds: Vec<Round<'_, T>> = Vec::new();
    // For each key the round of its latest event, and whether that was a creation.
    let mut latest: HashMap<i32, (usize, bool)> = HashMap::with_capacity(events.len());
    for event in events {
        let creates = matches!(event, Event::Create { .. });
        let (number, created) = latest.entry(event.key()).or_insert((0, creates));
        if *created != creates {
            *number += 1;
            *created = creates;
        }
        if *number == rounds.len() {
            rounds.push(Round { creates: Vec::new(), deletes: Vec::new() });
        }
        match event {
            Event::Create { data, .. } => rounds[*number].creates.push(data),
            Event::Delete { key } => rounds[*number].deletes.push(*key),
        }
    }
    rounds
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(body: &str) -> Result<Event<Value>, String> {
        Event::from_body(&Bytes::copy_from_slice(body.as_bytes())).map_err(|failure| failure.to_string())
    }

    #[test]
    fn an_event_is_written_as_spring_writes_it() {
        let event = Event::Create { key: 1, data: json!({"productId": 1, "serviceAddress": null}) };
        let message = event.to_message("products", "id".to_owned(), Headers::new()).unwrap();
        let body = String::from_utf8(message.body.to_vec()).unwrap();
        let start = r#"{"eventType":"CREATE","key":1,"data":{"productId":1,"serviceAddress":null},"eventCreatedAt":""#;
        assert!(body.starts_with(start) && body.ends_with("Z\"}"), "{body}");
        let deletion = Event::<Value>::Delete { key: 2 }.to_message("products", "id".to_owned(), Headers::new());
        let body = String::from_utf8(deletion.unwrap().body.to_vec()).unwrap();
        assert!(body.starts_with(r#"{"eventType":"DELETE","key":2,"data":null,"#), "{body}");
    }

    #[test]
    fn both_editions_of_java_are_read() {
        let created = Event::Create { key: 1, data: json!({"productId": 1}) };
        for body in [
            r#"{"eventType":"CREATE","key":1,"data":{"productId":1},"eventCreatedAt":"2020-08-11T14:23:45.123456"}"#,
            r#"{"eventType":"CREATE","key":1,"data":{"productId":1},"eventCreatedAt":"2023-03-05T10:15:30.1+01:00"}"#,
            r#"{"eventType":"CREATE","key":1,"data":{"productId":1},"eventCreatedAt":"2023-03-05T10:15:30Z"}"#,
            r#"{"eventType":"CREATE","key":1,"data":{"productId":1},"eventCreatedAt":null}"#,
            r#"{"eventType":"CREATE","key":"1","data":{"productId":1},"eventCreatedAt":[2023,3,5,10,15]}"#,
            r#"{"eventType":0,"key":1.7,"data":{"productId":1},"more":[]} and more"#,
        ] {
            assert_eq!(read(body).as_ref(), Ok(&created), "{body}");
        }
        assert_eq!(read(r#"{"eventType":"DELETE","key":1,"data":null}"#), Ok(Event::Delete { key: 1 }));
        assert_eq!(read(r#"{"eventType":1,"key":1}"#), Ok(Event::Delete { key: 1 }));
    }

    #[test]
    fn what_is_no_event_is_invalid_and_the_cause_says_why() {
        for (body, cause) in [
            ("", "the message is empty"),
            ("  \n", "the message is empty"),
            ("{bad", "the message is no event: "),
            (r#"["CREATE",1,{}]"#, "the message is no event: "),
            (r#"{"eventType":"CREATE","key":1,"data":[1]}"#, "the message is no event: "),
            (r#"{"eventType":"UPDATE","key":1}"#, "unknown eventType \"UPDATE\""),
            (r#"{"eventType":"create","key":1,"data":{}}"#, "unknown eventType \"create\""),
            (r#"{"key":1,"data":{}}"#, "the event has no eventType"),
            (r#"{"eventType":"DELETE"}"#, "the event has no key"),
            (r#"{"eventType":"CREATE","key":1,"data":null}"#, "the event has no data"),
            (r#"{"eventType":"CREATE","key":3000000000,"data":{}}"#, "3000000000"),
        ] {
            let failure = read(body).unwrap_err();
            assert!(failure.contains(cause), "{body} gave {failure}");
        }
        let failure = Event::<Value>::from_body(&Bytes::from_static(b"{\"key\":\xff}")).unwrap_err();
        assert!(matches!(failure, Failure::Invalid(_)));
    }

    #[test]
    fn the_key_of_what_is_no_event_is_shown_where_there_is_one() {
        for (body, key) in [
            (r#"{"eventType":"UPDATE","key":7}"#, Some(7)),
            (r#"{"key":"7","data":[1]} and more"#, Some(7)),
            (r#"{"key":7,"data":"#, None),
            (r#"{"key":null}"#, Some(0)),
            (r#"{"eventType":"DELETE"}"#, None),
            (r#"[7,"DELETE"]"#, None),
            ("", None),
        ] {
            assert_eq!(readable_key(body.as_bytes()), key, "{body}");
        }
    }

    #[test]
    fn json_has_several_names() {
        for name in
            ["application/json", "Application/JSON; charset=UTF-8", "application/x+json", "\"application/json\"", ""]
        {
            assert!(is_json(name), "{name}");
        }
        for name in ["text/plain", "application/octet-stream", "application/x-java-serialized-object", "json"] {
            assert!(!is_json(name), "{name}");
        }
    }

    proptest! {
        // An event that fails parks its key, however it is written.
        #[test]
        fn the_key_of_an_event_is_always_readable(
            key in any::<i32>(),
            spelling in 0..4,
            order in Just(vec![0, 1, 2, 3]).prop_shuffle(),
            data in "[ -~é]{0,20}",
            behind in "\\PC{0,20}",
        ) {
            let spelled = match spelling {
                0 => key.to_string(),
                1 => format!("\"{key}\""),
                2 => format!("{key}.0"),
                _ => format!(" \n{key}\t"),
            };
            let fields = [
                r#""eventType":"CREATE""#.to_owned(),
                format!(r#""key":{spelled}"#),
                format!(r#""data":{{"key":-1,"text":{}}}"#, json!(data)),
                r#""more":[{"key":-2}]"#.to_owned(),
            ];
            let fields: Vec<&str> = order.iter().map(|&at: &usize| fields[at].as_str()).collect();
            let body = Bytes::from(format!("{{{}}}{behind}", fields.join(",")));
            prop_assert_eq!(Event::<Value>::from_body(&body).unwrap().key(), key);
            prop_assert_eq!(readable_key(&body), Some(key));
        }

        #[test]
        fn rounds_keep_the_order_of_each_key(steps in proptest::collection::vec((0i32..5, any::<bool>()), 0..60)) {
            let events: Vec<Event<(i32, usize)>> = steps
                .iter()
                .enumerate()
                .map(|(at, &(key, create))| if create {
                    Event::Create { key, data: (key, at) }
                } else {
                    Event::Delete { key }
                })
                .collect();
            // What stands after each way of applying them: for each key, the creations since its last deletion.
            let mut one_by_one: HashMap<i32, Vec<usize>> = HashMap::new();
            for event in &events {
                match event {
                    Event::Create { key, data } => one_by_one.entry(*key).or_default().push(data.1),
                    Event::Delete { key } => one_by_one.entry(*key).or_default().clear(),
                }
            }
            let mut in_rounds: HashMap<i32, Vec<usize>> = HashMap::new();
            for round in rounds(&events) {
                for (key, at) in &round.creates {
                    prop_assert!(!round.deletes.contains(key));
                    in_rounds.entry(*key).or_default().push(*at);
                }
                for key in round.deletes {
                    in_rounds.entry(key).or_default().clear();
                }
            }
            prop_assert_eq!(one_by_one, in_rounds);
        }
    }
}
