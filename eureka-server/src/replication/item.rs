//! Changes on the wire, as registries send them to each other.

use super::Task;
use serde::{Deserialize, Deserializer, Serialize};
use shared::discovery::wire::Instance;

/// What a registry sends.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// In the order in which they happened.
    pub replication_list: Vec<Item>,
}

/// One change.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// The application.
    pub app_name: String,
    /// The instance.
    pub id: String,
    /// When the instance changed itself.
    #[serde(default, deserialize_with = "number")]
    pub last_dirty_timestamp: Option<i64>,
    /// What an operator said.
    pub overridden_status: Option<String>,
    /// How it is.
    pub status: Option<String>,
    /// All of it, where it registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_info: Option<Instance>,
    /// What happened.
    pub action: Task,
}

/// What a registry answers: as many as were sent, in their order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchAnswer {
    /// The answers.
    pub response_list: Vec<Answer>,
}

/// How one change was taken.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// What a request of its own would have been answered.
    pub status_code: u16,
    /// The newer form that the peer knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_entity: Option<Instance>,
}

/// A number, or a text that says one.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Said {
        Number(i64),
        Text(String),
    }
    match Option::<Said>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Said::Number(number)) => Ok(Some(number)),
        Some(Said::Text(text)) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}
