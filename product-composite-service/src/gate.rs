//! The gate in front of writes: what would wait too long, or take too much room, is refused before its body is read.
//!
//! Reads do not pass here. A write is looked at twice: when its head is there, which refuses it for next to nothing, and
//! when its events are to be sent, since only from then on it is the broker that it waits for.

//!
//! - [`limit`]: how many are sent at a time
//! - [`room`]: how much room their bodies take

mod limit;
mod room;

use async_trait::async_trait;
use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Limited};
use limit::{Limit, Ticket};
use room::{Held, Room};
use shared::actuator::metrics::{Meter, Metric, Statistic};
use shared::error::{ApiError, Seldom};
use shared::service::config::WriteLimits;
use shared::service::extract::BodyLimit;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::warn;

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
    room: Room,
    /// How many were refused since the start: for their delay, and for their size.
    refused: [u64; 2],
    said: Seldom,
}

/// Why a write is refused.
#[derive(Debug, Clone, Copy)]
enum Full {
    /// It would wait too long.
    Delay,
    /// There is no room for its body.
    Room,
}

impl Gate {
    pub(crate) fn new(limits: &WriteLimits) -> Self {
        let limit = Limit::new(limits.most, limits.delay, Instant::now());
        let state = Inside { limit, room: Room::new(limits.bytes), refused: [0; 2], said: Seldom::every(SAY_EVERY) };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Sends a write's events, if that need not wait too long.
    pub(crate) async fn pass<T>(&self, sending: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        let ticket = {
            let mut state = self.state();
            let ticket = state.limit.enter(Instant::now());
            ticket.ok_or_else(|| state.refuse(Full::Delay))?
        };
        let mut passing = Passing { gate: self, ticket, sent: false };
        let sent = sending.await;
        passing.sent = sent.is_ok();
        sent
    }

    /// Room for a write that says it has a body of this size, if it is likely to pass.
    fn hold(&self, announced: usize) -> Result<Arc<Held>, ApiError> {
        let mut state = self.state();
        if state.limit.is_full() {
            return Err(state.refuse(Full::Delay));
        }
        state.room.enter(announced).ok_or_else(|| state.refuse(Full::Room))
    }

    fn state(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn refuse(&mut self, full: Full) -> ApiError {
        self.refused[full as usize] += 1;
        if let Some(others) = self.said.now() {
            let at_a_time = self.limit.now();
            match full {
                Full::Delay => warn!(at_a_time, others, "the broker is slower than the writes: some are to come again"),
                Full::Room => {
                    warn!(bytes = self.room.taken(), others, "WRITES_BYTES are taken: some are to come again")
                }
            }
        }
        ApiError::Overloaded("Too many requests are being written, try again".to_owned())
    }
}

#[async_trait]
impl Meter for Gate {
    async fn metrics(&self) -> Vec<Metric> {
        let state = self.state();
        let now = |name, description, unit, value: f64| Metric {
            name,
            description,
            unit,
            tag: None,
            statistic: Statistic::Value,
            value,
        };
        let refused = |full: Full, reason| Metric {
            name: "writes.refused",
            description: "Writes that were told to come again",
            unit: None,
            tag: Some(("reason", reason)),
            statistic: Statistic::Count,
            value: state.refused[full as usize] as f64,
        };
        vec![
            now("writes.active", "Writes that are being sent", None, state.limit.under_way() as f64),
            now("writes.limit", "How many may be sent at a time now", None, state.limit.now()),
            now("writes.room", "The room that writes take", Some("bytes"), state.room.taken() as f64),
            refused(Full::Delay, "delay"),
            refused(Full::Room, "room"),
        ]
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
    let size = request.body().size_hint().upper().and_then(|size| usize::try_from(size).ok());
    // A body that is larger than allowed is refused unread anyway.
    match gate.hold(size.unwrap_or_default().min(most)) {
        Ok(held) => {
            let answer = next.run(request.map(|body| held.counted(body))).await;
            // A body that did not fit looks to the handler like one that broke off.
            if held.was_too_large() { gate.state().refuse(Full::Room).into_response() } else { answer }
        }
        Err(refused) => {
            if size.is_some_and(|size| size <= THROWN_AWAY) {
                // One that does not come either is its client's loss.
                let _ = Limited::new(request.into_body(), THROWN_AWAY).collect().await;
            }
            refused.into_response()
        }
    }
}
