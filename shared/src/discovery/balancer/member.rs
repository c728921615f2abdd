//! What is known of one instance.

use super::{InstanceId, Trouble};
use crate::discovery::Endpoint;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How fast what was seen is forgotten, in seconds.
const DECAY: f64 = 10.0;
/// Below this, in seconds, response times are noise.
const NOISE: f64 = 0.0005;
/// No failure makes an instance look slower than this, in seconds.
const SLOWEST: f64 = 5.0;
/// How long a newcomer gets less than its share, and the part of it that it begins with.
const WARM_UP: Duration = Duration::from_secs(5);
const COLD: f64 = 0.2;
/// Failures in a row that are too many, and how long the instance is then left alone: doubled each time, up to the most.
const TOO_MANY: u32 = 5;
const REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(30);

impl Trouble {
    /// How many failures it counts for. A refused connection is all the proof there can be.
    fn weight(self) -> u32 {
        match self {
            Self::Refused => TOO_MANY,
            Self::Late => 2,
            Self::Failed => 1,
        }
    }
}

/// One instance in the set.
#[derive(Debug)]
pub(super) struct Member<T> {
    pub(super) id: InstanceId,
    pub(super) endpoint: Endpoint,
    pub(super) kept: Arc<T>,
    pub(super) in_flight: u32,
    pub(super) health: Health,
    rtt: Rtt,
    picks: Decaying,
    warm_since: Option<Instant>,
    /// How often it was left alone lately, and when it was last taken back.
    rests: u32,
    back_since: Option<Instant>,
}

/// Whether it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// After so many failures in a row.
    Well { failures: u32 },
    /// It is left alone until then; after that one request at a time tries it.
    Resting { until: Instant, trying: bool },
}

/// What all members have in common, as a measure for a newcomer: the response time in seconds, and picks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usual {
    pub(super) rtt: f64,
    pub(super) picks: f64,
}

impl<T> Member<T> {
    /// An instance that is used from `now`; with a measure it is a newcomer among others.
    pub(super) fn new(id: InstanceId, endpoint: Endpoint, kept: T, usual: Option<Usual>, now: Instant) -> Self {
        let mut member = Self {
            id,
            endpoint,
            kept: Arc::new(kept),
            in_flight: 0,
            health: Health::Well { failures: 0 },
            rtt: Rtt::new(0.0, now),
            picks: Decaying { value: 0.0, at: now },
            warm_since: None,
            rests: 0,
            back_since: None,
        };
        if let Some(usual) = usual {
            member.settle_in(usual, now);
        }
        member
    }

    /// Begins with a small part of its share, as if it had always been there: else it would be owed all requests.
    fn settle_in(&mut self, usual: Usual, now: Instant) {
        self.warm_since = Some(now);
        self.rtt = Rtt::new(usual.rtt, now);
        self.picks = Decaying { value: usual.picks, at: now };
    }

    pub(super) fn is_well(&self) -> bool {
        matches!(self.health, Health::Well { .. })
    }

    /// When a request may try it.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.health {
            Health::Resting { until, trying: false } => Some(until),
            _ => None,
        }
    }

    /// What one more request costs, in seconds.
    pub(super) fn cost(&self, now: Instant) -> f64 {
        self.rtt.at(now).max(NOISE) * (f64::from(self.in_flight) + 1.0)
    }

    pub(super) fn rtt(&self, now: Instant) -> f64 {
        self.rtt.at(now)
    }

    /// How often it was picked lately; of a newcomer each pick counts for several.
    pub(super) fn picks(&self, now: Instant) -> f64 {
        self.picks.at(now)
    }

    fn share(&self, now: Instant) -> f64 {
        match self.warm_since {
            Some(since) => {
                (now.saturating_duration_since(since).as_secs_f64() / WARM_UP.as_secs_f64()).clamp(COLD, 1.0)
            }
            None => 1.0,
        }
    }

    pub(super) fn picked(&mut self, now: Instant) {
        self.in_flight += 1;
        self.picks = Decaying { value: self.picks.at(now) + 1.0 / self.share(now), at: now };
        if let Health::Resting { trying, .. } = &mut self.health {
            *trying = true;
        }
    }

    /// Takes what a request took. `trying`: the instance was not well when it began. True: it is well again.
    pub(super) fn succeeded(&mut self, took: Duration, trying: bool, usual: Usual, now: Instant) -> bool {
        match &mut self.health {
            Health::Well { failures } => *failures = 0,
            Health::Resting { .. } if trying => {
                self.health = Health::Well { failures: 0 };
                self.back_since = Some(now);
                self.settle_in(usual, now);
                return true;
            }
            // It began before the failures did.
            Health::Resting { .. } => {}
        }
        self.rtt.took(took.as_secs_f64(), now);
        false
    }

    /// Takes a failure; with `may_rest`, too many of them make it rest. True: it rests from now.
    pub(super) fn failed(
        &mut self,
        trouble: Trouble,
        took: Duration,
        trying: bool,
        may_rest: bool,
        now: Instant,
    ) -> bool {
        self.rtt.punish(took.as_secs_f64(), now);
        match &mut self.health {
            Health::Well { failures } => {
                *failures = failures.saturating_add(trouble.weight());
                if *failures < TOO_MANY || !(may_rest || trouble == Trouble::Refused) {
                    return false;
                }
            }
            Health::Resting { .. } if trying => {}
            Health::Resting { .. } => return false,
        }
        // Who was well for long starts over.
        if self.back_since.is_some_and(|since| now.saturating_duration_since(since) > LONGEST_REST) {
            self.rests = 0;
        }
        let rest = REST.saturating_mul(1 << self.rests.min(10)).min(LONGEST_REST);
        self.rests += 1;
        self.health = Health::Resting { until: now + rest, trying: false };
        true
    }

    /// The caller gave the request up.
    pub(super) fn cancelled(&mut self, tried: bool) {
        if let (true, Health::Resting { trying, .. }) = (tried, &mut self.health) {
            *trying = false;
        }
    }
}

/// A number that fades.
#[derive(Debug, Clone, Copy)]
struct Decaying {
    value: f64,
    at: Instant,
}

impl Decaying {
    fn at(&self, now: Instant) -> f64 {
        if self.value == 0.0 { 0.0 } else { self.value * kept(self.at, now) }
    }
}

/// The part of what was seen `then` that still counts.
fn kept(then: Instant, now: Instant) -> f64 {
    (-now.saturating_duration_since(then).as_secs_f64() / DECAY).exp()
}

/// The response time: a rise counts at once, a fall slowly. One slow answer alone is an accident: a rise is what three
/// in a row agree on. Without answers it fades, so that an instance that was slow is tried again.
#[derive(Debug)]
struct Rtt {
    estimate: Decaying,
    last: [f64; 2],
}

impl Rtt {
    fn new(seconds: f64, now: Instant) -> Self {
        Self { estimate: Decaying { value: seconds, at: now }, last: [0.0; 2] }
    }

    fn at(&self, now: Instant) -> f64 {
        self.estimate.at(now)
    }

    fn took(&mut self, seconds: f64, now: Instant) {
        let agreed = self.last.into_iter().fold(seconds, f64::min);
        self.last = [self.last[1], seconds];
        let Decaying { value, at } = self.estimate;
        if agreed > value {
            self.estimate = Decaying { value: agreed, at: now };
        } else if seconds <= value {
            let kept = kept(at, now);
            self.estimate = Decaying { value: value * kept + seconds * (1.0 - kept), at: now };
        }
    }

    /// A failure, however fast, makes it slower by a factor of 4 to 16.
    fn punish(&mut self, took: f64, now: Instant) {
        let before = self.at(now).max(NOISE);
        let value = took.clamp(before * 4.0, before * 16.0).min(SLOWEST.max(before));
        self.estimate = Decaying { value, at: now };
    }
}
