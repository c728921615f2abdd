//! One error for handlers, and one body for every failed response.
//!
//! A handler returns [`ApiError`]. It becomes a response like any rejection of axum: a status and a sentence. The
//! body clients see is made in one place, [`error_bodies`], for our failures and the framework's alike.

mod body;
mod seldom;

pub use body::{error_bodies, just_error_bodies};
pub use seldom::Seldom;

use crate::api::Invalid;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

/// Why a request failed.
///
/// Its `Display` is the sentence that clients read as `message`. A `cause` is logged by [`error_bodies`], once, and
/// never sent: a route that stands outside that layer gives the bare sentence and logs nothing.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// What was asked for is not there: 404.
    #[error("{0}")]
    NotFound(String),
    /// The request was understood and is refused: 422.
    #[error(transparent)]
    InvalidInput(#[from] Invalid),
    /// The request could not be read: 400.
    #[error("{message}")]
    BadRequest {
        /// The sentence for the client.
        message: String,
        /// Which field could not be read, where that is known.
        details: Option<Box<Details>>,
    },
    /// The client has not said who it is: 401, which asks for a token.
    #[error("{0}")]
    Unauthorized(String),
    /// Nobody may do that here: 403.
    #[error("{0}")]
    Forbidden(String),
    /// The state of things does not allow it now: 409.
    #[error("{0}")]
    Conflict(String),
    /// The body is larger than is allowed: 413.
    #[error("{0}")]
    PayloadTooLarge(String),
    /// The body's content type cannot be read here: 415.
    #[error("{0}")]
    UnsupportedMediaType(String),
    /// Something that is needed is away, and the same request may be sent again: 503 with `Retry-After`.
    #[error("{message}")]
    Unavailable {
        /// The sentence for the client.
        message: String,
        /// What happened, for the log.
        cause: anyhow::Error,
    },
    /// There is too much of it just now: 503 with `Retry-After`, and nothing in the log for each one.
    #[error("{0}")]
    Overloaded(String),
    /// Anything unexpected: 500.
    #[error("{message}")]
    Internal {
        /// The sentence for the client.
        message: String,
        /// What happened, for the log.
        cause: anyhow::Error,
    },
}

impl ApiError {
    /// A request that could not be read, without more to say about it.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::BadRequest { message: message.into(), details: None }
    }

    /// Something that is needed is away; the client reads `message`, the log has `cause`.
    pub fn unavailable(message: impl Into<String>, cause: impl Into<anyhow::Error>) -> Self {
        Self::Unavailable { message: message.into(), cause: cause.into() }
    }

    /// An unexpected failure of which the client may know `message`; the log has `cause`.
    pub fn internal(message: impl Into<String>, cause: impl Into<anyhow::Error>) -> Self {
        Self::Internal { message: message.into(), cause: cause.into() }
    }

    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::InvalidInput(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::BadRequest { .. } => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::PayloadTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unavailable { .. } | Self::Overloaded(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn details(&self) -> Option<Details> {
        match self {
            Self::InvalidInput(Invalid { field, value }) => {
                Some(Details { field: field.clone(), value: Some(value.clone()), problem: None })
            }
            Self::BadRequest { details, .. } => details.as_deref().cloned(),
            _ => None,
        }
    }

    fn cause(&self) -> Option<&anyhow::Error> {
        match self {
            Self::Unavailable { cause, .. } | Self::Internal { cause, .. } => Some(cause),
            _ => None,
        }
    }
}

impl From<anyhow::Error> for ApiError {
    fn from(cause: anyhow::Error) -> Self {
        Self::internal("Internal Server Error", cause)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status(), self.to_string()).into_response();
        let said = match self {
            Self::Unavailable { .. } | Self::Overloaded(_) => Some((header::RETRY_AFTER, "1")),
            Self::Unauthorized(_) => Some((header::WWW_AUTHENTICATE, "Bearer")),
            _ => None,
        };
        if let Some((name, value)) = said {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// Which part of a request is at fault.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Details {
    /// Where it stands, such as `reviews[1].reviewId`; `.` is the body as a whole.
    pub field: String,
    /// The value as it came, if it could be found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// What is wrong with it, where `message` does not say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}
