//! The instances of a service, and the choice among them. The time is told by the caller, and never goes back.

use super::member::{Health, Member, Usual};
use super::{InstanceId, Options, Policy, Trouble};
use crate::discovery::Endpoint;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::info;

/// Up to so many instances are all looked at.
const FEW: usize = 4;

/// All instances.
#[derive(Debug)]
pub(super) struct Set<T> {
    members: Vec<Member<T>>,
    /// Where in `members` those are that may be picked: in the zone, well, or all of them in a panic.
    candidates: Vec<usize>,
    /// When the first of those that rest is to be tried.
    due: Option<Instant>,
    options: Options,
    random: fastrand::Rng,
    turn: usize,
    next_id: u64,
}

/// Where a request is in hand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) id: InstanceId,
    /// Where it was when it was picked.
    at: usize,
    /// It was not well then.
    trying: bool,
}

/// What became of a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    Succeeded,
    Failed(Trouble),
    Cancelled,
}

impl<T> Set<T> {
    pub(super) fn new(options: Options, random: fastrand::Rng) -> Self {
        Self { members: Vec::new(), candidates: Vec::new(), due: None, options, random, turn: 0, next_id: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Takes over the set: who stays keeps what is known of it, who is gone gets nothing more.
    pub(super) fn update(&mut self, endpoints: &[Endpoint], keep: &impl Fn(&Endpoint) -> Option<T>, now: Instant) {
        let usual = (!self.members.is_empty()).then(|| self.usual(None, now));
        let mut old: HashMap<String, Member<T>> =
            self.members.drain(..).map(|member| (member.endpoint.authority.clone(), member)).collect();
        for endpoint in endpoints {
            if let Some(mut member) = old.remove(&endpoint.authority) {
                member.endpoint.zone.clone_from(&endpoint.zone);
                self.members.push(member);
            } else if let Some(kept) = keep(endpoint) {
                self.next_id += 1;
                let id = InstanceId(self.next_id);
                self.members.push(Member::new(id, endpoint.clone(), kept, usual, now));
            }
        }
        self.sort_out();
    }

    /// The instance of the next request, which it has in hand from now; nothing when all are to be avoided.
    pub(super) fn pick(&mut self, avoid: &[InstanceId], now: Instant) -> Option<(Slot, Arc<T>)> {
        let at = match self.due.filter(|due| *due <= now).and_then(|_| self.to_be_tried(avoid, now)) {
            Some(at) => at,
            None => self.choose(avoid, now)?,
        };
        let member = self.members.get_mut(at)?;
        let trying = !member.is_well();
        member.picked(now);
        let picked = (Slot { id: member.id, at, trying }, member.kept.clone());
        if trying {
            self.look_forward();
        }
        Some(picked)
    }

    fn to_be_tried(&self, avoid: &[InstanceId], now: Instant) -> Option<usize> {
        let due = |member: &Member<T>| member.due().is_some_and(|due| due <= now);
        self.members.iter().position(|member| due(member) && !avoid.contains(&member.id))
    }

    fn choose(&mut self, avoid: &[InstanceId], now: Instant) -> Option<usize> {
        if avoid.is_empty() {
            let candidates = std::mem::take(&mut self.candidates);
            let chosen = self.choose_among(&candidates, now);
            self.candidates = candidates;
            return chosen;
        }
        let allowed = |at: &usize| self.members.get(*at).is_some_and(|member| !avoid.contains(&member.id));
        let candidates: Vec<usize> = self.candidates.iter().copied().filter(allowed).collect();
        if !candidates.is_empty() {
            return self.choose_among(&candidates, now);
        }
        // Whoever asks has nobody else left.
        let others: Vec<usize> = (0..self.members.len()).filter(allowed).collect();
        self.choose_among(&others, now)
    }

    fn choose_among(&mut self, candidates: &[usize], now: Instant) -> Option<usize> {
        let count = candidates.len();
        match (count, self.options.policy) {
            (0, _) => None,
            (1, _) => candidates.first().copied(),
            (_, Policy::RoundRobin) => {
                self.turn = (self.turn + 1) % count;
                candidates.get(self.turn).copied()
            }
            (_, Policy::Random) => candidates.get(self.random.usize(..count)).copied(),
            (..=FEW, Policy::PeakEwma) => self.best(candidates, now),
            (_, Policy::PeakEwma) => {
                let (one, step) = (self.random.usize(..count), self.random.usize(1..count));
                self.best(&[candidates[one], candidates[(one + step) % count]], now)
            }
        }
    }

    /// Of those that cost at most twice as much as the cheapest, the one picked least lately; at most [`FEW`].
    fn best(&mut self, candidates: &[usize], now: Instant) -> Option<usize> {
        let mut costs = [f64::INFINITY; FEW];
        for (cost, at) in costs.iter_mut().zip(candidates) {
            *cost = self.members[*at].cost(now);
        }
        let enough = 2.0 * costs.iter().copied().fold(f64::INFINITY, f64::min);
        // Whoever is looked at first wins a tie.
        let first = self.random.usize(..candidates.len());
        let mut best = None;
        for offset in 0..candidates.len() {
            let here = (first + offset) % candidates.len();
            if costs[here] <= enough {
                let picks = self.members[candidates[here]].picks(now);
                if best.is_none_or(|(least, _)| picks < least) {
                    best = Some((picks, candidates[here]));
                }
            }
        }
        best.map(|(_, at)| at)
    }

    /// Takes the end of a request that took this long. Of an instance that has left nobody wants to know.
    pub(super) fn end(&mut self, slot: Slot, outcome: Outcome, took: Duration, now: Instant) {
        let is = |member: &Member<T>| member.id == slot.id;
        let at =
            if self.members.get(slot.at).is_some_and(is) { Some(slot.at) } else { self.members.iter().position(is) };
        let Some(at) = at else {
            return;
        };
        // Failures alone never put half of the instances aside, but one always.
        let resting = self.members.len() - self.members.iter().filter(|member| member.is_well()).count();
        let may_rest = resting < (self.members.len() / 2).max(1);
        let usual = if slot.trying { self.usual(Some(at), now) } else { Usual::default() };
        let member = &mut self.members[at];
        member.in_flight = member.in_flight.saturating_sub(1);
        let changed = match outcome {
            Outcome::Succeeded => member.succeeded(took, slot.trying, usual, now),
            Outcome::Failed(trouble) => member.failed(trouble, took, slot.trying, may_rest, now),
            Outcome::Cancelled => {
                member.cancelled(slot.trying);
                if slot.trying {
                    self.look_forward();
                }
                return;
            }
        };
        if !changed {
            return;
        }
        let instance = &member.endpoint.authority;
        match member.health {
            Health::Well { .. } => info!(instance, "an instance is used again"),
            Health::Resting { until, .. } => {
                info!(instance, seconds = until.saturating_duration_since(now).as_secs(), "an instance is left alone");
            }
        }
        self.sort_out();
    }

    /// What is usual among those that are well, but for the one at `without`.
    fn usual(&self, without: Option<usize>, now: Instant) -> Usual {
        let members = self.members.iter().enumerate().filter(|(at, member)| Some(*at) != without && member.is_well());
        let (mut count, mut usual) = (0.0_f64, Usual::default());
        for (_, member) in members {
            count += 1.0;
            usual.rtt += member.rtt(now);
            usual.picks += member.picks(now);
        }
        Usual { rtt: usual.rtt / count.max(1.0), picks: usual.picks / count.max(1.0) }
    }

    /// Finds out who may be picked.
    fn sort_out(&mut self) {
        let all: Vec<usize> = (0..self.members.len()).collect();
        let zone = self.options.zone.as_deref().filter(|zone| !zone.is_empty());
        let near = |at: &usize| zone.is_some() && self.members[*at].endpoint.zone.as_deref() == zone;
        let well = |group: &[usize]| -> Option<Vec<usize>> {
            let well: Vec<usize> = group.iter().copied().filter(|at| self.members[*at].is_well()).collect();
            (!well.is_empty() && 2 * well.len() >= group.len()).then_some(well)
        };
        let near: Vec<usize> = all.iter().copied().filter(near).collect();
        self.candidates = well(&near).or_else(|| well(&all)).unwrap_or(all);
        self.look_forward();
    }

    fn look_forward(&mut self) {
        self.due = self.members.iter().filter_map(Member::due).min();
    }

    #[cfg(test)]
    pub(super) fn members(&self) -> &[Member<T>] {
        &self.members
    }
}
