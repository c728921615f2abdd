use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets something through once in a while: what happens a thousand times a second is to be said, not a thousand times. A
/// clone counts with the original.
#[derive(Debug, Clone)]
pub struct Seldom {
    every: Duration,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    held_back: u64,
}

impl Seldom {
    /// Lets through at most once in this time.
    pub fn every(every: Duration) -> Self {
        Self { every, state: Arc::default() }
    }

    /// Whether it is time; then with how many were held back since the last.
    pub fn now(&self) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| last.elapsed() < self.every) {
            state.held_back += 1;
            return None;
        }
        state.last = Some(Instant::now());
        Some(std::mem::take(&mut state.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_passes_and_the_next_when_it_is_time() {
        let seldom = Seldom::every(Duration::from_secs(3600));
        assert_eq!([seldom.now(), seldom.now(), seldom.clone().now()], [Some(0), None, None]);
        let often = Seldom { every: Duration::ZERO, ..seldom };
        assert_eq!([often.now(), often.now()], [Some(2), Some(0)]);
    }
}
