//! What a landscape must never show, counted by its kind.

use serde::Serialize;

/// A promise that an answer breaks.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) sentence: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It was accepted and is not there.
    Lost,
    /// It is there twice.
    Doubled,
    /// What it was before is still there, or is there again.
    Stale,
    /// It was never written like this.
    Wrong,
}

impl Fault {
    pub(super) fn new(kind: Kind, sentence: String) -> Self {
        Self { kind, sentence }
    }
}

/// All faults; each product is named once.
#[derive(Debug, Default, Clone, Serialize)]
pub(super) struct Faults {
    pub(super) lost: Named,
    pub(super) doubled: Named,
    pub(super) stale: Named,
    pub(super) wrong: Named,
}

impl Faults {
    pub(super) fn push(&mut self, id: i32, fault: &Fault) {
        let named = match fault.kind {
            Kind::Lost => &mut self.lost,
            Kind::Doubled => &mut self.doubled,
            Kind::Stale => &mut self.stale,
            Kind::Wrong => &mut self.wrong,
        };
        named.push(format!("product {id}: {}", fault.sentence));
    }

    pub(super) fn by_name(&self) -> [(&'static str, &Named); 4] {
        [("lost", &self.lost), ("doubled", &self.doubled), ("stale", &self.stale), ("wrong", &self.wrong)]
    }

    pub(super) fn count(&self) -> u64 {
        self.by_name().iter().map(|(_, named)| named.count).sum()
    }
}

/// How many things of one kind are named.
const MOST_NAMED: usize = 10;

/// Things of which the first few are named and all are counted.
#[derive(Debug, Default, Clone, Serialize)]
pub(super) struct Named {
    pub(super) count: u64,
    pub(super) first: Vec<String>,
}

impl Named {
    pub(super) fn push(&mut self, name: String) {
        self.count += 1;
        if self.first.len() < MOST_NAMED {
            self.first.push(name);
        }
    }
}
