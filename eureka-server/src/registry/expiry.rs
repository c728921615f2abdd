//! Who is evicted, and when nobody is: leases that are over, and the registry's doubt in itself while too few renew.

use super::Registry;
use crate::settings::Settings;
use shared::discovery::wire::Instance;

const MINUTE: i64 = 60_000;

/// How many renew, and how many were expected to. The expectation starts at one, as Spring's registry does: with none
/// the original would never begin to count.
#[derive(Debug)]
pub struct Renewals {
    expected: usize,
    threshold: u64,
    started: i64,
    /// When the minute that is being counted began.
    since: i64,
    this_minute: u64,
    last_minute: u64,
}

impl Renewals {
    pub(super) fn new(settings: &Settings, now: i64) -> Self {
        let mut renewals = Self { expected: 1, threshold: 0, started: now, since: now, this_minute: 0, last_minute: 0 };
        renewals.set_expected(1, settings);
        renewals
    }

    pub(super) fn one_more(&mut self, settings: &Settings) {
        // An expectation that has gone to nothing waits for the next recount.
        if self.expected > 0 {
            self.set_expected(self.expected + 1, settings);
        }
    }

    pub(super) fn one_less(&mut self, settings: &Settings) {
        self.set_expected(self.expected.saturating_sub(1), settings);
    }

    pub(super) fn count(&mut self, now: i64) {
        self.turn(now);
        self.this_minute += 1;
    }

    /// Whether leases end at all: always, or only while more than the threshold renewed in the last whole minute.
    pub(super) fn expire(&self, settings: &Settings, now: i64) -> bool {
        !settings.self_preservation || self.threshold > 0 && self.last_minute(now) > self.threshold
    }

    fn set_expected(&mut self, instances: usize, settings: &Settings) {
        self.expected = instances;
        let a_minute = 60.0 / settings.expected_renewal.as_secs_f64();
        // A count of instances is far from where a float loses whole numbers, and the fraction is cut as Java cuts it.
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let threshold = (instances as f64 * a_minute * settings.renewal_percent) as u64;
        self.threshold = threshold;
    }

    fn turn(&mut self, now: i64) {
        let minutes = (now - self.since) / MINUTE;
        if minutes > 0 {
            self.last_minute = if minutes == 1 { self.this_minute } else { 0 };
            self.this_minute = 0;
            self.since += minutes * MINUTE;
        }
    }

    fn last_minute(&self, now: i64) -> u64 {
        match (now - self.since) / MINUTE {
            0 => self.last_minute,
            1 => self.this_minute,
            _ => 0,
        }
    }
}

/// How sure the registry is of itself, for people.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Preservation {
    /// How many instances are expected to renew.
    pub expected: usize,
    /// Leases end only while more than this many renew in a minute.
    pub threshold: u64,
    /// How many renewed in the last whole minute.
    pub renewals: u64,
    /// Whether leases end.
    pub expire: bool,
    /// Why, or why not.
    pub reason: String,
}

impl Registry {
    /// Takes out instances whose lease is over, and tells which: at most the part that self-preservation allows in one
    /// go, in the order that `pick` puts them. `late` is how much later than planned this runs, in milliseconds: the
    /// registry itself stood still then, and the leases stand still with it.
    pub fn evict(
        &mut self,
        late: i64,
        now: i64,
        pick: impl FnOnce(&mut Vec<(String, String)>),
    ) -> Vec<(String, String)> {
        self.renewals.turn(now);
        if !self.renewals.expire(&self.settings, now) {
            return Vec::new();
        }
        let over = self.ids().filter(|(_, leased)| is_over(&leased.instance, late, now));
        let mut over: Vec<_> = over.map(|(app, it)| (app.to_owned(), it.instance.id().to_owned())).collect();
        // See above for the casts.
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let kept = (self.len() as f64 * self.settings.renewal_percent) as usize;
        let most = self.len() - kept.min(self.len());
        if over.len() > most {
            pick(&mut over);
            over.truncate(most);
        }
        for (app, id) in &over {
            self.cancel(app, id, now);
        }
        over
    }

    /// Forgets changes that deltas have told for long enough.
    pub fn sweep(&mut self, now: i64) {
        let retention = i64::try_from(self.settings.delta_retention.as_millis()).unwrap_or(i64::MAX);
        if self.changes.forget_before(now.saturating_sub(retention)) {
            self.version += 1;
        }
    }

    /// Counts anew how many instances are expected to renew: fewer only while most are still there.
    pub fn recount(&mut self) {
        let count = self.len();
        // See above for the casts.
        #[expect(clippy::cast_precision_loss)]
        let most = count as f64 > self.settings.renewal_percent * self.renewals.expected as f64;
        if most || !self.settings.self_preservation {
            self.renewals.set_expected(count, &self.settings);
        }
    }

    /// How sure the registry is of itself.
    pub fn preservation(&self, now: i64) -> Preservation {
        let Renewals { expected, threshold, .. } = self.renewals;
        let (renewals, expire) = (self.renewals.last_minute(now), self.renewals.expire(&self.settings, now));
        let reason = if !self.settings.self_preservation {
            "Self-preservation is off: every lease ends when it is over, even if the network is at fault.".to_owned()
        } else if expire {
            format!("{renewals} renewals in the last minute are more than the {threshold} that are needed: leases end.")
        } else if now - self.renewals.started < MINUTE {
            "Renewals are counted by the minute, and the first one is not over: no lease ends yet.".to_owned()
        } else if threshold == 0 {
            "Nobody is expected to renew yet: no lease ends before the next recount.".to_owned()
        } else {
            format!(
                "{renewals} renewals in the last minute are not more than the {threshold} that are needed for {expected} \
                 expected instances: nobody is evicted, so instances may be shown that are gone."
            )
        };
        Preservation { expected, threshold, renewals, expire, reason }
    }
}

/// Whether the lease of an instance is over at `now`, `late` milliseconds allowed.
pub(super) fn is_over(instance: &Instance, late: i64, now: i64) -> bool {
    let lease = &instance.lease;
    lease.evicted > 0 || now > lease.renewed + 1000 * i64::from(lease.duration_s) + late
}
