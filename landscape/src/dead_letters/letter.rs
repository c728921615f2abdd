//! A dead letter as its service gives it, and as it is shown.

use crate::output::plain;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt::Write;

/// Some letters of a service, in their order.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    pub(super) dead_letters: Vec<Letter>,
    /// What to ask for next; nothing after the last page.
    pub(super) next: Option<i64>,
    /// The newest letter that is open.
    #[serde(default)]
    pub(super) last: Option<i64>,
    #[serde(default)]
    pub(super) summary: Summary,
}

/// How many letters of a service are open.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    pub(super) failed: u64,
    pub(super) parked: u64,
    pub(super) found_invalid: u64,
    pub(super) wanted_replay: u64,
    pub(super) wanted_drop: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Letter {
    pub(super) sequence: i64,
    pub(super) id: String,
    destination: String,
    partition: u32,
    pub(super) key: Option<i32>,
    pub(super) kind: String,
    cause: String,
    pub(super) attempts: u32,
    pub(super) generation: u32,
    state: String,
    pub(super) wanted: Option<String>,
    created_at: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FullLetter {
    #[serde(flatten)]
    pub(super) letter: Letter,
    headers: Value,
    origin: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

pub(super) const COLUMNS: [&str; 10] =
    ["SERVICE", "SEQUENCE", "ID", "PARTITION", "KEY", "KIND", "ATTEMPTS", "STATE", "CREATED", "CAUSE"];

/// How much of a cause stands in a table; `show` has all of it.
const CAUSE_LENGTH: usize = 100;

impl Letter {
    /// Whether nobody has decided on it.
    pub(super) fn is_open(&self) -> bool {
        self.state != "closed"
    }

    /// Whether the events of its key wait for it.
    pub(super) fn parks(&self) -> bool {
        matches!(self.kind.as_str(), "failed" | "parked")
    }

    /// As much of the cause as stands in a table.
    pub(super) fn short_cause(&self) -> String {
        let mut cause = plain(&self.cause);
        if let Some((end, _)) = cause.char_indices().nth(CAUSE_LENGTH) {
            cause.truncate(end);
            cause.push('…');
        }
        cause
    }

    pub(super) fn row(&self, service: &str) -> [String; COLUMNS.len()] {
        [
            service.to_owned(),
            self.sequence.to_string(),
            plain(&self.id),
            format!("{}/{}", plain(&self.destination), self.partition),
            self.key.map_or_else(|| "-".to_owned(), |key| key.to_string()),
            self.kind.clone(),
            self.attempts.to_string(),
            self.wanted.as_ref().map_or_else(|| self.state.clone(), |wanted| format!("{}, {wanted}", self.state)),
            self.created_at.clone(),
            self.short_cause(),
        ]
    }

    pub(super) fn json(&self, service: &str) -> serde_json::Result<String> {
        json(service, self)
    }
}

impl FullLetter {
    pub(super) fn json(&self, service: &str) -> serde_json::Result<String> {
        json(service, self)
    }

    /// One field a line, then headers, origin and body.
    pub(super) fn text(&self, service: &str) -> anyhow::Result<String> {
        let Letter {
            sequence,
            id,
            destination,
            partition,
            key,
            kind,
            cause,
            attempts,
            generation,
            state,
            wanted,
            created_at,
        } = &self.letter;
        let none = || "-".to_owned();
        let mut text = String::new();
        for (name, value) in [
            ("service", service.to_owned()),
            ("sequence", sequence.to_string()),
            ("id", plain(id)),
            ("destination", plain(destination)),
            ("partition", partition.to_string()),
            ("key", key.map_or_else(none, |key| key.to_string())),
            ("kind", kind.clone()),
            ("cause", plain(cause)),
            ("attempts", attempts.to_string()),
            ("generation", generation.to_string()),
            ("state", state.clone()),
            ("wanted", wanted.clone().unwrap_or_else(none)),
            ("created", created_at.clone()),
        ] {
            writeln!(text, "{name:11}  {value}")?;
        }
        writeln!(text, "\nheaders {:#}\n\norigin {:#}\n", self.headers, self.origin)?;
        match (&self.body, &self.body_base64) {
            (Some(Value::String(body)), _) => write!(text, "body\n{}", plain(body))?,
            (Some(body), _) => write!(text, "body {body:#}")?,
            (None, Some(body)) => write!(text, "body (base64)\n{body}")?,
            (None, None) => write!(text, "no body")?,
        }
        Ok(text)
    }
}

/// The object with the name of its service in front.
fn json<T: Serialize>(service: &str, letter: &T) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Line<'a, T> {
        service: &'a str,
        #[serde(flatten)]
        letter: &'a T,
    }
    serde_json::to_string(&Line { service, letter })
}
