//! How often something may be tried again: a part of all requests, so that retries never become the load.

use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;

/// What each request earns.
const EARNED: f64 = 0.2;
/// What each second earns, however few requests there are, and up to which balance.
const EACH_SECOND: f64 = 10.0;
const FLOOR: f64 = 100.0;
/// No more is saved: what dies with many requests in hand needs as many retries at once.
const MOST: f64 = 1000.0;

/// A purse of retries.
#[derive(Debug)]
pub(super) struct Budget(Mutex<Purse>);

#[derive(Debug)]
struct Purse {
    balance: f64,
    at: Instant,
}

impl Default for Budget {
    fn default() -> Self {
        Self(Mutex::new(Purse { balance: FLOOR, at: Instant::now() }))
    }
}

impl Budget {
    /// A request begins.
    pub(super) fn earn(&self) {
        let mut purse = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        purse.balance = (purse.balance + EARNED).min(MOST);
    }

    /// Takes one retry, if there is one.
    pub(super) fn spend(&self) -> bool {
        let mut purse = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let earned = now.saturating_duration_since(purse.at).as_secs_f64() * EACH_SECOND;
        purse.at = now;
        purse.balance = purse.balance.max((purse.balance + earned).min(FLOOR));
        let enough = purse.balance >= 1.0;
        if enough {
            purse.balance -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn spent(budget: &Budget) -> usize {
        (0..10_000).take_while(|_| budget.spend()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn one_in_five_is_tried_again_and_some_each_second() {
        let budget = Budget::default();
        assert_eq!(spent(&budget), 100, "of a start");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(spent(&budget), 20);
        (0..500).for_each(|_| budget.earn());
        assert!((99..=100).contains(&spent(&budget)));
        (0..100_000).for_each(|_| budget.earn());
        assert_eq!(spent(&budget), 1000, "no more is saved");
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(spent(&budget), 100);
    }
}
