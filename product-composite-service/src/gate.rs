//! The gate in front of writes: what would wait too long, or take too much room, is refused before its body is read.
//!
//! Reads do not pass here. A write is looked at twice: when its head is there, which refuses it for next to nothing, and
//! when its events are to be sent, since only from then on it is the broker that it waits for.

mod limit;

use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Limited};

use limit::{Limit, Ticket};
use shared::error::{ApiError, Seldom};
use shared::service::config::WriteLimits;
use shared::service::extract::BodyLimit;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::warn;

/// What a write takes beside its body.
const BESIDE: usize = 4 << 10;
/// A refused body of at most this size is read and thrown away: unread, it would cost the client its connection, and the
/// landscape another one.
const THROWN_AWAY: usize = 64 << 10;
/// How often the log says that writes are refused.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// The gate in front of writes. A clone is the same gate.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<Mutex<Inside>>);

#[derive(Debug)]
struct Inside {
    limit: Limit,
    /// The room that writes take, and the most that they may.
    bytes: usize,
    most_bytes: usize,
    said: Seldom,
}

impl Gate {
    pub(crate) fn new(limits: &WriteLimits) -> Self {
        let limit = Limit::new(limits.most, limits.delay, Instant::now());
        let state = Inside { limit, bytes: 0, most_bytes: limits.bytes, said: Seldom::every(SAY_EVERY) };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Sends a write's events, if that need not wait too long.
    pub(crate) async fn pass<T>(&self, sending: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        let ticket = {
            let mut state = self.state();
            let ticket = state.limit.enter(Instant::now());
            ticket.ok_or_else(|| state.refuse())?
        };
        let mut passing = Passing { gate: self, ticket, sent: false };
        let sent = sending.await;
        passing.sent = sent.is_ok();
        sent
    }

    /// Room for a write of `bytes`, if it is likely to pass.
    fn hold(&self, bytes: usize) -> Result<Held<'_>, ApiError> {
        let mut state = self.state();
        // Whatever its size, a write that is alone has room.
        let room = state.bytes == 0 || state.bytes.saturating_add(bytes) <= state.most_bytes;
        if !room || state.limit.is_full() {
            return Err(state.refuse());
        }
        state.bytes += bytes;
        Ok(Held { gate: self, bytes })
    }

    fn state(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn refuse(&self) -> ApiError {
        if let Some(others) = self.said.now() {
            let at_a_time = self.limit.now();
            warn!(at_a_time, others, "the broker is slower than the writes: some have to be sent again");
        }
        ApiError::Overloaded("Too many requests are being written, try again".to_owned())
    }
}

/// The room of a write, while it is under way.
struct Held<'a> {
    gate: &'a Gate,
    bytes: usize,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.gate.state().bytes -= self.bytes;
    }
}

/// A write that is being sent.
struct Passing<'a> {
    gate: &'a Gate,
    ticket: Ticket,
    sent: bool,
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        self.gate.state().limit.leave(&self.ticket, self.sent, Instant::now());
    }
}

/// The middleware in front of the routes that write.
pub(crate) async fn admit(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let BodyLimit(most) = request.extensions().get().copied().unwrap_or_default();
    // A body that does not say its size may be as large as is allowed; a larger one is refused unread anyway.
    let size = request.body().size_hint().upper().and_then(|size| usize::try_from(size).ok());
    match gate.hold(size.unwrap_or(most).min(most) + BESIDE) {
        Ok(_held) => next.run(request).await,
        Err(refused) => {
            if size.is_some_and(|size| size <= THROWN_AWAY) {
                // One that does not come either is its client's loss.
                let _ = Limited::new(request.into_body(), THROWN_AWAY).collect().await;
            }
            refused.into_response()
        }
    }
}
