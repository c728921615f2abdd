//! Limits of size and time.

use super::{ConfigError, Variable, Variables, variable};
use std::time::Duration;

pub(super) const BODY_LIMIT: Variable = variable("BODY_LIMIT_BYTES", "1048576", "the largest body of a request");
pub(super) const REQUEST_LIMIT: Variable =
    variable("REQUEST_TIMEOUT_MS", "30000", "time limit of a request as a whole");
pub(super) const CONNECTIONS: Variable = variable(
    "MAX_CONNECTIONS",
    "8192",
    "connections served at a time, others wait; one on which nothing happens for the time limit and 30 s is closed",
);
pub(super) const SEND_LIMIT: Variable =
    variable("SEND_TIMEOUT_MS", "5000", "composite: time limit to make events durable");
pub(super) const WRITES: Variable =
    variable("WRITES", "1024", "composite: the most POST and DELETE being sent at a time; others get 503");
pub(super) const WRITES_BYTES: Variable =
    variable("WRITES_BYTES", "16777216", "composite: the most room for their bodies, and 4 KiB for each");
pub(super) const WRITES_DELAY: Variable = variable(
    "WRITES_DELAY_MS",
    "20",
    "composite: fewer are let in while they take longer than that, and than 5 times what one takes alone",
);
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
    /// `MAX_CONNECTIONS`: how many connections are served at a time.
    pub connections: u32,
    /// `SEND_TIMEOUT_MS`: the time limit to make the events of a request durable.
    pub send: Duration,
    /// How much may be written at a time.
    pub writes: WriteLimits,
    /// `READ_TIMEOUT_MS`: the time limit to read from a core service.
    pub read: Duration,
    /// `READ_TRY_TIMEOUT_MS`: how long one instance may take for that while there is another to ask.
    pub read_try: Duration,
    /// `SHUTDOWN_GRACE_MS`: how long a stop waits for requests and batches.
    pub grace: Duration,
}

/// How much the composite writes at a time.
#[derive(Debug, Clone)]
pub struct WriteLimits {
    /// `WRITES`: the most requests.
    pub most: u32,
    /// `WRITES_BYTES`: the most room for their bodies.
    pub bytes: usize,
    /// `WRITES_DELAY_MS`: how long they may always take.
    pub delay: Duration,
}

impl Limits {
    /// Reads them.
    pub fn read(variables: &Variables) -> Result<Self, ConfigError> {
        Ok(Self {
            body: variables.number(BODY_LIMIT, 1, 1 << 30)? as usize,
            request: variables.millis(REQUEST_LIMIT, 1)?,
            connections: variables.number(CONNECTIONS, 1, 1 << 20)?,
            send: variables.millis(SEND_LIMIT, 1)?,
            writes: WriteLimits {
                most: variables.number(WRITES, 1, 1 << 20)?,
                bytes: variables.number(WRITES_BYTES, 1, u32::MAX)? as usize,
                delay: variables.millis(WRITES_DELAY, 1)?,
            },
            read: variables.millis(READ_LIMIT, 1)?,
            read_try: match variables.text(TRY_LIMIT.name) {
                Some(_) => variables.millis(TRY_LIMIT, 1)?,
                None => variables.millis(READ_LIMIT, 1)? / 2,
            },
            grace: variables.millis(GRACE, 0)?,
        })
    }
}
