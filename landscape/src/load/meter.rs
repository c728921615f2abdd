//! What is counted while a load runs, and the line that shows it.

use super::fault::{Faults, Named};
use anyhow::Result;
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often the line is written anew.
const REFRESH: Duration = Duration::from_millis(500);

/// Shared by all connections.
#[derive(Debug)]
pub(super) struct Meter {
    pub(super) progress: ProgressBar,
    counts: Mutex<Counts>,
}

#[derive(Debug, Clone)]
pub(super) struct Counts {
    /// Accepted requests, from when they were due.
    pub(super) creates: Series,
    pub(super) deletes: Series,
    /// Answered reads, from when they were due.
    pub(super) reads: Series,
    /// Accepted writes that can be seen. Each that was watched stands for those of its connection since the one before;
    /// its time is that from accepted to visible.
    pub(super) visible: Series,
    /// When the last write was accepted.
    pub(super) accepted_at: Option<Instant>,
    /// Requests that were refused, and sent again.
    pub(super) refused: u64,
    /// Requests that were repeated after they were accepted.
    pub(super) repeated: u64,
    /// Writes that were not accepted.
    pub(super) failed: Named,
    /// Reads without an answer that says something.
    pub(super) unanswered: Named,
    pub(super) faults: Faults,
}

/// Things that happened, and how long they took in microseconds.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) count: u64,
    pub(super) micros: Histogram<u64>,
}

impl Series {
    fn new() -> Result<Self> {
        Ok(Self { count: 0, micros: Histogram::new(3)? })
    }

    /// Takes something that stands for `count`.
    pub(super) fn add(&mut self, count: u64, took: Duration) {
        self.count += count;
        // A histogram that grows by itself takes every value.
        let _ = self.micros.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn millis(&self, quantile: f64) -> f64 {
        self.micros.value_at_quantile(quantile) as f64 / 1000.0
    }
}

impl Meter {
    pub(super) fn new(composites: u64) -> Result<Self> {
        let style = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} {msg}")?;
        let none = Series::new()?;
        Ok(Self {
            progress: ProgressBar::new(composites).with_style(style),
            counts: Mutex::new(Counts {
                creates: none.clone(),
                deletes: none.clone(),
                reads: none.clone(),
                visible: none,
                accepted_at: None,
                refused: 0,
                repeated: 0,
                failed: Named::default(),
                unanswered: Named::default(),
                faults: Faults::default(),
            }),
        })
    }

    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the line again and again; without a terminal there is none.
    pub(super) async fn show(&self) {
        let mut refresh = tokio::time::interval(REFRESH);
        let mut before = [0, 0];
        loop {
            refresh.tick().await;
            if self.progress.is_hidden() {
                return;
            }
            let message = {
                let counts = self.counts();
                let now = [counts.accepted(), counts.visible.count];
                let [accepted, visible] = [0, 1].map(|at| (now[at] - before[at]) as f64 / REFRESH.as_secs_f64());
                before = now;
                let of = |series: &Series| format!("p50 {:.1} p99 {:.1} ms", series.millis(0.5), series.millis(0.99));
                let (writes, seen) = (of(&counts.creates), of(&counts.visible));
                format!("accepted {accepted:.0}/s {writes}, visible {visible:.0}/s {seen}")
            };
            self.progress.set_message(message);
        }
    }
}

impl Counts {
    /// How many writes were accepted.
    pub(super) fn accepted(&self) -> u64 {
        self.creates.count + self.deletes.count
    }
}
