//! The three ways in which an event cannot be applied.

use crate::database::{self, Trouble};

/// Why an event was not applied, which decides what becomes of it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The domain refuses the event, or it cannot be read: a dead letter at once, since trying again cannot help. It
    /// parks nothing: what follows stands on that decision.
    #[error("{0}")]
    Invalid(String),
    /// Something unexpected: a dead letter after the configured attempts, which parks its key.
    #[error("{0:#}")]
    Failed(anyhow::Error),
    /// The database or broker cannot be reached: held and tried again until it is back, never a dead letter.
    #[error("{0:#}")]
    Unavailable(anyhow::Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        match database::trouble(&error) {
            Trouble::Constraint => Self::Invalid(error.to_string()),
            Trouble::Data => Self::Failed(error.into()),
            Trouble::Away => Self::Unavailable(error.into()),
        }
    }
}
