//! How many writes may be under way at a time: as many as the broker takes within the delay that is wanted.
//!
//! Writes that wait together are committed together, so that more of them at a time is what makes a broker fast, up to a
//! point from which on they only wait longer. Where that is nobody knows beforehand. So the limit starts high; while
//! writes take longer than wanted it falls to where they do not (half as many before them would have taken half as long),
//! and while they do not it rises again. Wanted is a multiple of what a write takes that is alone, since a slow
//! disk or a broker far away is no reason to refuse anything.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How much longer than alone a write may take. Less, and commits could not be shared; see
/// `docs/decisions/2026-11-23-writes-by-delay.md`.
const PATIENCE: u32 = 5;
/// The least time over which delays are averaged before the limit moves.
const WINDOW: Duration = Duration::from_millis(50);
/// By how much the limit rises in one step at the most, and falls where it is not known yet how far.
const RISE: f64 = 2.0;
const FALL: f64 = 0.5;
/// So few never take [`PATIENCE`] times as long as one. Where they do, what one takes has changed.
const LEAST: u32 = 4;
/// How long writes may take longer than wanted before the limit falls, where it does not hold yet: a disk or a broker
/// that pauses is back soon, and clients are not many because of it.
const GRACE: Duration = Duration::from_millis(500);

/// The limit, and who is under way. Pure: every time is handed in.
#[derive(Debug)]
pub(super) struct Limit {
    most: f64,
    now: f64,
    /// The delay that is always fine.
    fine: Duration,
    /// What a write takes that is alone.
    alone: Option<Duration>,
    under_way: BTreeMap<u64, Instant>,
    next: u64,
    window: Window,
    length: Duration,
    /// Since when writes take longer than wanted.
    late_since: Option<Instant>,
}

/// The writes that ended since the limit was last looked at.
#[derive(Debug)]
struct Window {
    since: Instant,
    took: Duration,
    /// How many were under way when one of them came, and it: the most of all of them.
    company: u32,
    ended: u32,
}

/// A write that is under way.
#[derive(Debug)]
pub(super) struct Ticket {
    number: u64,
    /// How many were under way when it came, and it.
    company: u32,
}

impl Limit {
    pub(super) fn new(most: u32, fine: Duration, now: Instant) -> Self {
        Self {
            most: most.into(),
            now: most.into(),
            fine,
            alone: None,
            under_way: BTreeMap::new(),
            next: 0,
            window: Window::new(now),
            length: WINDOW,
            late_since: None,
        }
    }

    /// How many may be under way now.
    pub(super) fn now(&self) -> f64 {
        self.now.floor()
    }

    /// How many are.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Whether nobody else may enter.
    pub(super) fn is_full(&self) -> bool {
        self.under_way.len() as f64 >= self.now()
    }

    /// Lets a write in, unless it is full.
    pub(super) fn enter(&mut self, now: Instant) -> Option<Ticket> {
        self.look(now);
        if self.is_full() {
            return None;
        }
        let company = u32::try_from(self.under_way.len()).unwrap_or(u32::MAX).saturating_add(1);
        let ticket = Ticket { number: self.next, company };
        self.under_way.insert(ticket.number, now);
        self.next += 1;
        Some(ticket)
    }

    /// A write ends. How long it took says something only if it was sent: a failure may be quick.
    pub(super) fn leave(&mut self, ticket: &Ticket, sent: bool, now: Instant) {
        let Some(since) = self.under_way.remove(&ticket.number).filter(|_| sent) else {
            return;
        };
        let took = now.saturating_duration_since(since);
        self.window.took += took;
        self.window.company = self.window.company.max(ticket.company);
        self.window.ended += 1;
        self.alone = match self.alone {
            // One that was alone and slow may have been an accident: it is believed by and by.
            Some(alone) if took > alone && ticket.company == 1 => Some(alone + (took - alone) / 8),
            Some(alone) => Some(alone.min(took)),
            None => Some(took),
        };
        self.look(now);
    }

    /// Moves the limit, once for each window.
    fn look(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.window.since);
        if elapsed < self.length {
            return;
        }
        let Window { took, company, ended, .. } = std::mem::replace(&mut self.window, Window::new(now));
        let (company, mean) = (f64::from(company), took.checked_div(ended));
        // So few as are let in whatever happens: what one takes has changed. The first that is faster corrects that.
        if let Some(took) = mean.filter(|took| company <= f64::from(LEAST) && *took > self.wanted()) {
            self.alone = Some(took);
        }
        // Where nobody came to an end, the first in the row tells how long that takes by now.
        let waits = || self.under_way.values().next().map_or(Duration::ZERO, |since| now.duration_since(*since));
        let took = mean.unwrap_or_else(waits);
        let share = self.wanted().div_duration_f64(took.max(Duration::from_nanos(1)));
        // What a step has brought is seen by those only that come after it; but those who ended say how far to fall.
        let told = share < 1.0 && mean.is_some();
        self.length = if told { WINDOW } else { took.max(WINDOW) };
        let next = if share >= 1.0 {
            self.late_since = None;
            let most = self.now * share.min(RISE).powf(elapsed.div_duration_f64(self.length));
            // Where it holds, those who ended say how far to rise; where it does not, it is in nobody's way.
            if company * 2.0 >= self.now { ((company + 1.0) * share).max(self.now).min(most) } else { most }
        } else if now.duration_since(*self.late_since.get_or_insert(now)) < GRACE && self.now >= self.most {
            return;
        } else if told {
            self.now.min(company * share)
        } else {
            self.now * share.max(FALL)
        };
        self.now = next.clamp(self.most.min(LEAST.into()), self.most);
    }

    /// How long a write may take.
    fn wanted(&self) -> Duration {
        self.fine.max(self.alone.unwrap_or_default() * PATIENCE)
    }
}

impl Window {
    fn new(since: Instant) -> Self {
        Self { since, took: Duration::ZERO, company: 0, ended: 0 }
    }
}

#[cfg(test)]
mod tests;
