//! How long to wait for what is away, and when to give up what fails.

use crate::database::letters::Kind;
use crate::messaging::failure::Failure;
use crate::messaging::retry::{RetryPolicy, Waiting};
use std::fmt::Display;
use std::time::Duration;
use tracing::{info, warn};

/// A database or broker that is away: logged when it goes and when it is back, waited for in between.
pub(super) struct Outage {
    attempt: &'static str,
    waiting: Option<Waiting>,
}

impl Outage {
    pub(super) fn new(attempt: &'static str) -> Self {
        Self { attempt, waiting: None }
    }

    /// Notes a failure; returns how long to wait.
    pub(super) fn pause(&mut self, error: impl Into<anyhow::Error>) -> Duration {
        let attempt = self.attempt;
        self.waiting
            .get_or_insert_with(|| {
                warn!(
                    error = format!("{:#}", error.into()),
                    "cannot {attempt}; events are held until this works again"
                );
                Waiting::new()
            })
            .pause()
    }

    /// Notes a success.
    pub(super) fn over(&mut self) {
        if self.waiting.take().is_some() {
            info!("can {} again", self.attempt);
        }
    }
}

/// The attempts at one event.
pub(super) struct Tries<'a> {
    id: &'a str,
    attempts: u32,
    outage: Outage,
}

/// An event that is not tried any more.
pub(super) struct GivenUp {
    pub(super) kind: Kind,
    pub(super) cause: String,
    pub(super) attempts: u32,
}

impl<'a> Tries<'a> {
    pub(super) fn of(id: &'a str) -> Self {
        Self { id, attempts: 0, outage: Outage::new("apply an event") }
    }

    /// How long to wait until the next attempt, after one that failed; or that there is none.
    pub(super) fn after(&mut self, failure: Failure, retry: &RetryPolicy) -> Result<Duration, GivenUp> {
        let give_up = |kind, cause, attempts| Err(GivenUp { kind, cause, attempts });
        match failure {
            Failure::Unavailable(error) => Ok(self.outage.pause(error)),
            Failure::Invalid(cause) => give_up(Kind::Invalid, cause, self.attempts + 1),
            Failure::Failed(error) => {
                self.attempts += 1;
                if self.attempts >= retry.max_attempts {
                    return give_up(Kind::Failed, format!("{error:#}"), self.attempts);
                }
                let (id, attempts, error) = (self.id, self.attempts, format!("{error:#}"));
                warn!(id, attempts, error, "an event failed; it is tried again");
                Ok(retry.pause(attempts))
            }
        }
    }

    /// Notes a success.
    pub(super) fn over(&mut self) {
        self.outage.over();
    }
}

/// How a log line names a key.
pub(super) fn key_text(key: Option<i32>) -> impl Display {
    key.map_or_else(|| "none".to_owned(), |key| key.to_string())
}
