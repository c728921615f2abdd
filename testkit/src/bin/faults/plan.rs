//! What is done to whom and when, drawn from a seed: the same seed gives the same plan.
//!
//! Faults are cards of a deck in which every kind stands with every target. It is shuffled, and a few cards at a time are
//! laid out as a *strike*: those happen side by side. An empty deck is made anew.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;
use testkit::workload::Random;

/// The services that own tables, two instances of each.
pub(crate) const CORES: [&str; 6] =
    ["product-0", "product-1", "recommendation-0", "recommendation-1", "review-0", "review-1"];
pub(crate) const COMPOSITE: &str = "composite";
pub(crate) const REGISTRY: &str = "registry";
pub(crate) const BROKER: &str = "broker";
pub(crate) const DATABASE: &str = "database";
/// The network between the clients and the composite service.
pub(crate) const CLIENTS: &str = "clients";
/// The services whose tables refuse.
pub(crate) const TABLES: [&str; 3] = ["product", "recommendation", "review"];
/// The disk that all services share where there is no server.
pub(crate) const DATA: &str = "data";

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Services are killed with SIGKILL, and started again
    Kill,
    /// A service is stopped where it stands, and goes on
    Pause,
    /// Likewise for so long that others take its partitions over
    Zombie,
    /// A server is killed with SIGKILL, and started again
    KillServer,
    /// A server is frozen, and goes on
    PauseServer,
    /// All connections of a server, or of the clients, are reset
    Cut,
    /// The network of a server, or of the clients, carries nothing for a while, then all that it held
    Part,
    /// The network loses everything for a while, and says nothing
    Swallow,
    /// Nothing finds room on a disk for a while
    FullDisk,
    /// A table refuses some keys for a while; then the dead letters are replayed
    Refuse,
    /// The application of RabbitMQ is stopped in its process, and started again
    StopApplication,
    /// Everybody is killed at once
    Everything,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("", |value| value.get_name()))
    }
}

/// A fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) targets: Vec<&'static str>,
    /// When it begins, in milliseconds after the strike.
    pub(crate) after: u64,
    /// How long it lasts, in milliseconds.
    pub(crate) lasts: u64,
}

/// What there is to be hit.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// The servers: none, one or both of [`BROKER`] and [`DATABASE`].
    pub(crate) servers: Vec<&'static str>,
    /// Whether the broker is RabbitMQ, whose application can be stopped.
    pub(crate) has_application: bool,
    /// What may be done.
    pub(crate) kinds: Vec<Kind>,
}

/// An endless row of strikes.
#[derive(Debug)]
pub(crate) struct Plan {
    field: Field,
    random: Random,
    deck: Vec<(Kind, Vec<&'static str>)>,
}

impl Plan {
    /// A plan, if there is anything that may happen.
    pub(crate) fn new(field: Field, seed: u64) -> Option<Self> {
        let mut random = Random(seed);
        let deck = field.deck(&mut random);
        (!deck.is_empty()).then_some(Self { field, random, deck })
    }

    /// The faults that happen side by side next, no two of them to the same target.
    pub(crate) fn strike(&mut self) -> Vec<Fault> {
        if self.deck.is_empty() {
            self.deck = self.field.deck(&mut self.random);
        }
        let most = [1, 2, 3, 4, 5][self.random.below(5)];
        let mut cards: Vec<(Kind, Vec<&'static str>)> = Vec::new();
        while cards.len() < most {
            let taken = |target: &&str| cards.iter().any(|(_, targets)| targets.contains(target));
            let fitting = |(_, targets): &(_, Vec<&str>)| !targets.iter().any(taken);
            let Some(at) = self.deck.iter().rposition(fitting) else { break };
            cards.push(self.deck.remove(at));
        }
        let mut faults: Vec<_> = cards.into_iter().map(|(kind, targets)| self.fault(kind, targets)).collect();
        faults[0].after = 0;
        faults
    }

    fn fault(&mut self, kind: Kind, targets: Vec<&'static str>) -> Fault {
        let range = kind.lasts();
        let lasts = range.start + self.random.below(range.end - range.start);
        Fault { kind, targets, after: self.random.below(1000) as u64, lasts: lasts as u64 }
    }
}

impl Kind {
    /// How long it may last, in milliseconds.
    fn lasts(self) -> Range<usize> {
        match self {
            Self::Kill => 0..1500,
            Self::Pause => 100..3000,
            // Leases and sessions end after 6 s at the most.
            Self::Zombie => 7000..10_000,
            Self::KillServer | Self::Everything => 0..3000,
            Self::PauseServer => 500..6000,
            Self::Cut => 0..1,
            Self::Part => 500..4000,
            Self::Swallow => 1000..7000,
            Self::FullDisk => 1500..5000,
            Self::Refuse => 500..4000,
            Self::StopApplication => 2000..8000,
        }
    }
}

impl Field {
    /// Every fault that there is, in an order that the seed gives.
    fn deck(&self, random: &mut Random) -> Vec<(Kind, Vec<&'static str>)> {
        let everyone = [&CORES[..], &[COMPOSITE, REGISTRY]].concat();
        let mut deck = Vec::new();
        let mut add = |kind, targets: &[&'static str]| deck.push((kind, targets.to_vec()));
        for service in &everyone {
            add(Kind::Kill, &[service]);
        }
        for pair in CORES.chunks(2) {
            add(Kind::Kill, pair);
        }
        for _ in 0..3 {
            add(Kind::Pause, &[everyone[random.below(everyone.len())]]);
        }
        add(Kind::Zombie, &[CORES[random.below(CORES.len())]]);
        for network in [&self.servers[..], &[CLIENTS]].concat() {
            add(Kind::Cut, &[network]);
            add(Kind::Cut, &[network]);
            add(Kind::Part, &[network]);
            add(Kind::Swallow, &[network]);
        }
        for server in &self.servers {
            add(Kind::KillServer, &[server]);
            add(Kind::PauseServer, &[server]);
            add(Kind::FullDisk, &[server]);
        }
        for table in TABLES {
            add(Kind::Refuse, &[table]);
        }
        if self.has_application {
            add(Kind::StopApplication, &[BROKER]);
        }
        if self.servers.len() < 2 {
            add(Kind::FullDisk, &[DATA]);
        }
        // As when the machine loses its power.
        add(Kind::Everything, &[&everyone[..], &self.servers].concat());
        deck.retain(|(kind, _)| self.kinds.contains(kind));
        for at in (1..deck.len()).rev() {
            deck.swap(at, random.below(at + 1));
        }
        deck
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn strikes(seed: u64) -> Vec<Vec<Fault>> {
        let kinds = Kind::value_variants().to_vec();
        let field = Field { servers: vec![BROKER, DATABASE], has_application: true, kinds };
        let mut plan = Plan::new(field, seed).unwrap();
        (0..100).map(|_| plan.strike()).collect()
    }

    #[test]
    fn a_seed_gives_the_same_plan_again_and_another_one_another() {
        assert_eq!(strikes(1), strikes(1));
        assert_ne!(strikes(1), strikes(2));
    }

    #[test]
    fn every_kind_and_every_target_is_hit_and_nobody_twice_in_a_strike() {
        let strikes = strikes(7);
        for strike in &strikes {
            let targets: Vec<_> = strike.iter().flat_map(|fault| &fault.targets).collect();
            assert_eq!(targets.iter().collect::<BTreeSet<_>>().len(), targets.len(), "{strike:?}");
        }
        let faults: Vec<_> = strikes.iter().flatten().collect();
        let kinds: BTreeSet<_> = faults.iter().map(|fault| fault.kind).collect();
        assert_eq!(kinds.len(), Kind::value_variants().len());
        let killed = faults.iter().filter(|fault| fault.kind == Kind::Kill).flat_map(|fault| &fault.targets);
        assert_eq!(killed.collect::<BTreeSet<_>>().len(), CORES.len() + 2);
    }
}
