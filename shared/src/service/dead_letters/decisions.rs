//! What is to become of dead letters. It is noted here and carried out by whoever works on the partition of each key.
//!
//! What must never happen: a decision by somebody who brings no token.

use super::{DeadLetters, possible};
use crate::database::letters::wanted::{self, Marked, Unwanted, Wanted};
use crate::error::{ApiError, Details};
use crate::messaging::BinderError;
use crate::messaging::processor::{self, ImportError, Imported};
use crate::service::database_error;
use crate::service::extract::JsonBody;
use axum::Json;
use axum::extract::{FromRequestParts, State};
use http::request::Parts;
use http::{StatusCode, header};
use serde::Deserialize;

/// Which letters are meant: exactly one of `id`, `key` and `all` says so.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// One letter, by its message id.
    id: Option<String>,
    /// All that park this key.
    key: Option<i32>,
    /// All that park a key.
    all: Option<bool>,
    /// The last one that is dropped, by its sequence: who asks has seen none behind it.
    upto: Option<i64>,
}

/// Somebody who brought the token.
pub(super) struct Operator;

impl FromRequestParts<DeadLetters> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, letters: &DeadLetters) -> Result<Self, ApiError> {
        let Some(token) = &letters.token else {
            let off = "Decisions on dead letters are off here: DEAD_LETTERS_TOKEN turns them on";
            return Err(ApiError::Forbidden(off.to_owned()));
        };
        let given = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        match given.and_then(|given| given.strip_prefix("Bearer ")) {
            Some(given) if token.is(given.trim()) => Ok(Self),
            Some(_) => Err(ApiError::Unauthorized("The token is not the one of DEAD_LETTERS_TOKEN".to_owned())),
            None => Err(ApiError::Unauthorized("Decisions on dead letters need a bearer token".to_owned())),
        }
    }
}

pub(super) async fn replay(
    _: Operator,
    State(letters): State<DeadLetters>,
    JsonBody { value, .. }: JsonBody<Which>,
) -> Result<(StatusCode, Json<Marked>), ApiError> {
    if value.upto.is_some() {
        return Err(endless());
    }
    mark(&letters, value, Wanted::Replay, Wanted::ReplayKey).await
}

pub(super) async fn drop(
    _: Operator,
    State(letters): State<DeadLetters>,
    JsonBody { value, .. }: JsonBody<Which>,
) -> Result<(StatusCode, Json<Marked>), ApiError> {
    mark(&letters, value, Wanted::Drop, Wanted::Drop).await
}

async fn mark(
    DeadLetters { database, .. }: &DeadLetters,
    which: Which,
    one: Wanted,
    many: Wanted,
) -> Result<(StatusCode, Json<Marked>), ApiError> {
    let marked = match which {
        Which { id: Some(id), key: None, all: None, upto: None } if !possible(&id) => Err(Unwanted::Unknown(id)),
        Which { id: Some(id), key: None, all: None, upto: None } => wanted::one(database, &id, one).await,
        Which { id: None, key: Some(key), all: None, upto } => {
            wanted::parking(database, Some(key), upto, many).await.map_err(Unwanted::from)
        }
        Which { id: None, key: None, all: Some(true), upto } => {
            wanted::parking(database, None, upto, many).await.map_err(Unwanted::from)
        }
        _ => return Err(ambiguous()),
    };
    Ok((StatusCode::ACCEPTED, Json(marked?)))
}

fn ambiguous() -> ApiError {
    let message = "Exactly one of id, key and all must say which dead letters are meant";
    refused(message, ".", "allowed are {\"id\": TEXT}, {\"key\": NUMBER} and {\"all\": true}")
}

fn endless() -> ApiError {
    refused("Only a drop ends somewhere", "upto", "a replay takes what comes to stand behind, too")
}

fn refused(message: &str, field: &str, problem: &str) -> ApiError {
    let details = Details { field: field.to_owned(), value: None, problem: Some(problem.to_owned()) };
    ApiError::BadRequest { message: message.to_owned(), details: Some(Box::new(details)) }
}

pub(super) async fn import(
    _: Operator,
    State(DeadLetters { database, binder, binding, .. }): State<DeadLetters>,
) -> Result<Json<Imported>, ApiError> {
    match processor::import(&*binder, &binding, &database).await {
        Ok(imported) => Ok(Json(imported)),
        Err(ImportError::Database(error)) => Err(database_error(error)),
        Err(ImportError::Broker(error @ BinderError::Unavailable { .. })) => {
            Err(ApiError::unavailable("The dead letters of the broker cannot be read now", error))
        }
        Err(ImportError::Broker(error)) => {
            Err(ApiError::internal("The broker does not let its dead letters be read", error))
        }
    }
}

impl From<Unwanted> for ApiError {
    fn from(unwanted: Unwanted) -> Self {
        match unwanted {
            Unwanted::Unknown(_) => Self::NotFound(unwanted.to_string()),
            Unwanted::Closed(_) | Unwanted::Behind { .. } => Self::Conflict(unwanted.to_string()),
            Unwanted::Database(error) => database_error(error),
        }
    }
}
