//! The dead letters of a service over HTTP.
//!
//! - this file: looking at them, `GET /actuator/deadletters` and `/actuator/deadletters/{id}`
//! - [`decisions`]: what is to become of them, `POST /actuator/deadletters/{replay,drop,import}`

mod decisions;

use super::config::Token;
use super::database_error;
use crate::database::Database;
use crate::database::letters::summary::{Summary, summary};
use crate::database::letters::{self, Content, Kind, Letter};
use crate::error::{ApiError, just_error_bodies};
use crate::messaging::{Binder, ConsumerBinding};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// How these routes are listed in `/actuator`.
pub const LINKS: &[(&str, &str)] = &[
    ("deadletters", "deadletters"),
    ("deadletters-id", "deadletters/{id}"),
    ("deadletters-replay", "deadletters/replay"),
    ("deadletters-drop", "deadletters/drop"),
    ("deadletters-import", "deadletters/import"),
];

/// The most letters in one answer, and how many without a wish.
const MOST: u32 = 1000;
const USUAL: u32 = 100;

/// The letters of a service, and where they come from.
#[derive(Clone)]
pub struct DeadLetters {
    /// Where the letters are.
    pub database: Database,
    /// Where others may have left some.
    pub binder: Arc<dyn Binder>,
    /// Of which group.
    pub binding: ConsumerBinding,
    /// What who decides on them must bring along; without it nobody may.
    pub token: Option<Token>,
}

impl std::fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadLetters").field("binding", &self.binding).finish_non_exhaustive()
    }
}

impl DeadLetters {
    /// The routes over these letters.
    pub fn routes(self) -> Router {
        let routes = Router::new()
            .route("/actuator/deadletters", get(list))
            .route("/actuator/deadletters/{id}", get(show))
            .route("/actuator/deadletters/replay", post(decisions::replay))
            .route("/actuator/deadletters/drop", post(decisions::drop))
            .route("/actuator/deadletters/import", post(decisions::import))
            .with_state(self);
        just_error_bodies(routes)
    }
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    after: i64,
    limit: Option<u32>,
    key: Option<i32>,
    kind: Option<Kind>,
}

/// A page of letters.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    dead_letters: Vec<Shown>,
    total: i64,
    /// What `after` is for the next page, where there may be one.
    next: Option<i64>,
    /// The newest letter that is open; what `upto` is for who drops what is there now.
    last: Option<i64>,
    summary: Summary,
}

/// One letter with everything that is known of it; a body that is no text is given in Base64.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Whole {
    #[serde(flatten)]
    letter: Shown,
    headers: Value,
    origin: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

/// What is shown of every letter.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    sequence: i64,
    id: String,
    destination: String,
    partition: u32,
    key: Option<i32>,
    kind: String,
    cause: String,
    attempts: u32,
    generation: u32,
    state: String,
    wanted: Option<String>,
    created_at: Option<jiff::Timestamp>,
}

async fn list(
    State(DeadLetters { database, .. }): State<DeadLetters>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Listed>, ApiError> {
    let invalid = |_| {
        let allowed = "after, limit and key are whole numbers; kind is failed, parked, invalid or foreign";
        ApiError::bad_request(format!("Invalid query: {allowed}"))
    };
    let Query(Page { after, limit, key, kind }) = page.map_err(invalid)?;
    let limit = limit.unwrap_or(USUAL).clamp(1, MOST);
    // Before the others: what comes meanwhile is listed and counted, and not taken for known.
    let last = letters::last(&database).await.map_err(database_error)?;
    let letters = letters::page(&database, after, limit, key, kind).await.map_err(database_error)?;
    let summary = summary(&database).await.map_err(database_error)?;
    let total = match (key, kind) {
        (None, None) => summary.open,
        _ => letters::count(&database, key, kind).await.map_err(database_error)?,
    };
    let full = letters.len() == limit as usize;
    let next = letters.last().filter(|_| full).map(|letter| letter.sequence);
    Ok(Json(Listed { dead_letters: letters.into_iter().map(shown).collect(), total, next, last, summary }))
}

async fn show(
    State(DeadLetters { database, .. }): State<DeadLetters>,
    Path(id): Path<String>,
) -> Result<Json<Whole>, ApiError> {
    let unknown = || ApiError::NotFound(format!("No dead letter found for id: {id}"));
    if !possible(&id) {
        return Err(unknown());
    }
    let letter = letters::find(&database, &id).await.map_err(database_error)?.ok_or_else(unknown)?;
    let Content { headers, origin, body } = letters::content(&database, &letter).await.map_err(database_error)?;
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let (headers, origin) = (json(&headers), json(&origin));
    let text = || std::str::from_utf8(&body).ok().map(Value::from);
    let shown_body = serde_json::from_slice(&body).ok().or_else(text);
    let body_base64 = shown_body.is_none().then(|| BASE64.encode(&body));
    Ok(Json(Whole { letter: shown(letter), headers, origin, body: shown_body, body_base64 }))
}

/// Whether a letter can have this id. PostgreSQL has no NUL in a text, and would take the question for an error.
fn possible(id: &str) -> bool {
    !id.contains('\0')
}

fn shown(letter: Letter) -> Shown {
    Shown {
        sequence: letter.sequence,
        id: letter.id,
        destination: letter.destination,
        partition: letter.partition,
        key: letter.key,
        kind: letter.kind,
        cause: letter.cause,
        attempts: letter.attempts,
        generation: letter.generation,
        state: letter.state,
        wanted: letter.wanted,
        created_at: jiff::Timestamp::from_millisecond(letter.created_at).ok(),
    }
}
