//! When each request is due.

use super::options::Rate;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard};

/// Timers of the runtime are late by so much at the most; that is not the landscape's.
const TICK: Duration = Duration::from_millis(2);

/// Requests come at their times whether or not the ones before were answered: a landscape that is slow for a while is
/// not asked less meanwhile, and how late it is counts from when each request was due.
#[derive(Debug)]
pub(super) struct Pace {
    gap: Option<Duration>,
    next: Mutex<Instant>,
}

/// A turn: nobody else has one until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    /// When the request was due.
    pub(super) due: Instant,
    _only: Option<MutexGuard<'a, Instant>>,
}

impl Pace {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        Self { gap: rate.map(Rate::gap), next: Mutex::new(Instant::now()) }
    }

    /// Waits for the next turn; without a rate it is always now. Nobody waits when `over`.
    pub(super) async fn turn(&self, over: impl Fn() -> bool) -> Turn<'_> {
        let Some(gap) = self.gap else { return Turn { due: Instant::now(), _only: None } };
        let mut next = self.next.lock().await;
        let due = *next;
        if over() {
            return Turn { due, _only: Some(next) };
        }
        *next = due + gap;
        tokio::time::sleep_until(due.into()).await;
        let due = since(due, Instant::now());
        Turn { due, _only: Some(next) }
    }
}

/// What counts as due of a request that can go now.
fn since(due: Instant, now: Instant) -> Instant {
    if now.duration_since(due) <= TICK { now } else { due }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_turn_that_comes_late_was_due_in_time() {
        let pace = Pace::new(Some("100".parse().unwrap()));
        let first = pace.turn(|| false).await.due;
        tokio::time::sleep(Duration::from_millis(60)).await;
        let second = pace.turn(|| false).await.due;
        assert!(second - first <= Duration::from_millis(13), "{:?}", second - first);
        let third = pace.turn(|| false).await.due;
        assert_eq!(third - second, Duration::from_millis(10));
    }

    #[tokio::test]
    async fn nobody_waits_for_a_turn_when_it_is_over() {
        let pace = Pace::new(Some("0.01".parse().unwrap()));
        drop(pace.turn(|| false).await);
        let over = tokio::time::timeout(Duration::from_secs(10), pace.turn(|| true)).await;
        assert!(over.is_ok());
    }

    #[test]
    fn a_late_timer_is_not_the_landscape() {
        let due = Instant::now();
        let at = |millis| due + Duration::from_millis(millis);
        assert_eq!((since(due, at(1)), since(due, at(30))), (at(1), due));
    }
}
