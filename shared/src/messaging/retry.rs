//! How often and how long to try, as Spring's `RetryTemplate` with an exponential back-off does.

use std::time::Duration;

/// Attempts and pauses for events that fail.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// The most attempts, the first included; at least 1.
    pub max_attempts: u32,
    /// The pause after the first attempt.
    pub initial_interval: Duration,
    /// No pause is longer.
    pub max_interval: Duration,
    /// How much longer each pause is than the one before; at least 1.
    pub multiplier: f64,
}

impl RetryPolicy {
    /// The pause after attempt number `attempt`, counted from 1.
    pub fn pause(&self, attempt: u32) -> Duration {
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let pause = self.initial_interval.as_secs_f64() * self.multiplier.powi(exponent);
        Duration::from_secs_f64(pause.min(self.max_interval.as_secs_f64()))
    }
}

/// Pauses while a database or broker is away: they grow to two seconds and never end.
#[derive(Debug)]
pub struct Waiting(Duration);

impl Waiting {
    /// Starts with the shortest pause.
    pub fn new() -> Self {
        Self(Duration::from_millis(25))
    }

    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(Duration::from_secs(2));
        pause
    }
}

impl Default for Waiting {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit() {
        let policy = RetryPolicy {
            max_attempts: 5,
            initial_interval: Duration::from_millis(500),
            max_interval: Duration::from_millis(1500),
            multiplier: 2.0,
        };
        let pauses: Vec<_> = (1..5).map(|attempt| policy.pause(attempt).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 1500, 1500]);
        assert_eq!(policy.pause(u32::MAX).as_millis(), 1500);
    }
}
