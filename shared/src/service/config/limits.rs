//! Limits of size and time.

use super::{ConfigError, Variable, Variables, variable};
use std::time::Duration;

pub(super) const BODY_LIMIT: Variable = variable("BODY_LIMIT_BYTES", "1048576", "the largest body of a request");
pub(super) const REQUEST_LIMIT: Variable =
    variable("REQUEST_TIMEOUT_MS", "30000", "time limit of a request as a whole");
pub(super) const SEND_LIMIT: Variable =
    variable("SEND_TIMEOUT_MS", "5000", "composite: time limit to make events durable");
pub(super) const READ_LIMIT: Variable =
    variable("READ_TIMEOUT_MS", "2000", "composite: time limit to read from a core service");
pub(super) const TRY_LIMIT: Variable = variable(
    "READ_TRY_TIMEOUT_MS",
    "",
    "composite: how long one instance may take while there is another to ask, else half of READ_TIMEOUT_MS",
);
pub(super) const GRACE: Variable =
    variable("SHUTDOWN_GRACE_MS", "10000", "how long a stop waits for requests and batches");

/// Limits of size and time.
#[derive(Debug, Clone)]
pub struct Limits {
    /// `BODY_LIMIT_BYTES`: the largest body of a request.
    pub body: usize,
    /// `REQUEST_TIMEOUT_MS`: the time limit of a request as a whole.
    pub request: Duration,
    /// `SEND_TIMEOUT_MS`: the time limit to make the events of a request durable.
    pub send: Duration,
    /// `READ_TIMEOUT_MS`: the time limit to read from a core service.
    pub read: Duration,
    /// `READ_TRY_TIMEOUT_MS`: how long one instance may take for that while there is another to ask.
    pub read_try: Duration,
    /// `SHUTDOWN_GRACE_MS`: how long a stop waits for requests and batches.
    pub grace: Duration,
}

impl Limits {
    /// Reads them.
    pub fn read(variables: &Variables) -> Result<Self, ConfigError> {
        Ok(Self {
            body: variables.number(BODY_LIMIT, 1, 1 << 30)? as usize,
            request: variables.millis(REQUEST_LIMIT, 1)?,
            send: variables.millis(SEND_LIMIT, 1)?,
            read: variables.millis(READ_LIMIT, 1)?,
            read_try: match variables.text(TRY_LIMIT.name) {
                Some(_) => variables.millis(TRY_LIMIT, 1)?,
                None => variables.millis(READ_LIMIT, 1)? / 2,
            },
            grace: variables.millis(GRACE, 0)?,
        })
    }
}
