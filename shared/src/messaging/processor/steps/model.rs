//! What is to become of the events of one key, said without tables, transactions and time. Each change is one that a crash
//! leaves done or undone.

use crate::database::letters::Kind;
use crate::database::letters::wanted::Wanted;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How an event does when it is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    Good,
    Failing,
    Refused,
    /// It never gets to the handler, and stays as it is.
    Unreadable,
}

pub(super) type Natures = BTreeMap<i64, Nature>;

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Rest,
    Take,
    Repair,
}

/// What somebody asks of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    Parking(Wanted),
    One(i64, Wanted),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Marked(u64),
    Noted,
    Unknown,
    Closed,
    Behind(i64),
}

/// An open letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) event: i64,
    pub(super) kind: Kind,
    pub(super) wanted: Option<Wanted>,
}

impl Open {
    pub(super) fn parks(&self) -> bool {
        matches!(self.kind, Kind::Failed | Kind::Parked)
    }
}

/// A key; its events are numbered as they were sent, from 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Key {
    /// What was sent and is not decided on.
    pub(super) coming: VecDeque<i64>,
    pub(super) open: Vec<Open>,
    pub(super) effects: Vec<i64>,
    /// Letters that are closed, by a replay or by a drop.
    closed: BTreeSet<i64>,
    dropped: BTreeSet<i64>,
    /// What was refused and then applied by its id, as a new event: no others may overtake.
    late: BTreeSet<i64>,
}

impl Key {
    /// Where the key may stand, and what may have been answered, when `work` was at some point of its way and `request`
    /// came at another, or never.
    pub(super) fn ways(&self, work: Work, request: Option<Request>, natures: &Natures) -> Vec<(Self, Option<Answer>)> {
        let mut ways: Vec<_> = self.way(work, natures).into_iter().map(|key| (key, None)).collect();
        if let Some(request) = request {
            for (mut key, _) in ways.clone() {
                let answer = key.ask(request);
                ways.extend(key.way(work, natures).into_iter().map(|key| (key, Some(answer))));
            }
        }
        ways
    }

    /// Where the key stands on the way of `work`: first where it is, last where nothing is left to do.
    fn way(&self, work: Work, natures: &Natures) -> Vec<Self> {
        let mut way = vec![self.clone()];
        let mut key = self.clone();
        while match work {
            Work::Rest => false,
            Work::Take => key.take(natures),
            Work::Repair => key.decide(natures),
        } {
            way.push(key.clone());
        }
        way
    }

    /// Whether `work` has nothing left to do here.
    pub(super) fn is_done(&self, work: Work) -> bool {
        match work {
            Work::Rest => true,
            Work::Take => self.coming.is_empty(),
            Work::Repair => self.open.iter().all(|letter| letter.wanted.is_none()),
        }
    }

    fn first(&mut self) -> Option<&mut Open> {
        self.open.iter_mut().find(|letter| letter.parks())
    }

    fn take(&mut self, natures: &Natures) -> bool {
        let Some(event) = self.coming.pop_front() else { return false };
        let parked = self.first().is_some();
        let kind = match natures[&event] {
            Nature::Unreadable => Kind::Invalid,
            _ if parked => Kind::Parked,
            Nature::Failing => Kind::Failed,
            Nature::Refused => Kind::Invalid,
            Nature::Good => {
                self.effects.push(event);
                return true;
            }
        };
        self.open.push(Open { event, kind, wanted: None });
        true
    }

    fn ask(&mut self, request: Request) -> Answer {
        match request {
            Request::Parking(wanted) => {
                let parking = self.open.iter_mut().filter(|letter| letter.parks());
                Answer::Marked(parking.map(|letter| letter.wanted = Some(wanted)).count() as u64)
            }
            Request::One(event, wanted) => {
                let Some(at) = self.open.iter().position(|letter| letter.event == event) else {
                    return if self.closed.contains(&event) { Answer::Closed } else { Answer::Unknown };
                };
                let apart = !self.open[at].parks() && wanted == Wanted::Drop;
                if let Some(first) = self.first().filter(|first| first.event != event && !apart) {
                    return Answer::Behind(first.event);
                }
                self.open[at].wanted = Some(wanted);
                Answer::Noted
            }
        }
    }

    /// Decides on the oldest letter of which something is wanted.
    fn decide(&mut self, natures: &Natures) -> bool {
        let Some(at) = self.open.iter().position(|letter| letter.wanted.is_some()) else { return false };
        let Open { event, wanted, .. } = self.open[at];
        let parks = self.open[at].parks();
        let dropped = wanted == Some(Wanted::Drop);
        let nature = natures[&event];
        if !parks && !dropped && nature != Nature::Unreadable && self.first().is_some() {
            self.open[at].wanted = None;
            return true;
        }
        match nature {
            _ if dropped => drop(self.dropped.insert(event)),
            Nature::Good => {
                self.effects.push(event);
                if !parks {
                    self.late.insert(event);
                }
            }
            Nature::Failing => {
                if parks {
                    self.open[at].kind = Kind::Failed;
                    self.open[at..].iter_mut().filter(|letter| letter.parks()).for_each(|letter| letter.wanted = None);
                }
                self.open[at].wanted = None;
                return true;
            }
            Nature::Refused | Nature::Unreadable => {
                self.open[at].kind = Kind::Invalid;
                self.open[at].wanted = None;
                self.pass_on(wanted);
                return true;
            }
        }
        self.closed.insert(event);
        self.open.remove(at);
        self.pass_on(wanted);
        true
    }

    fn pass_on(&mut self, wanted: Option<Wanted>) {
        if wanted == Some(Wanted::ReplayKey)
            && let Some(first) = self.first()
        {
            first.wanted = first.wanted.or(wanted);
        }
    }

    /// What must hold whatever the changes are: none of the `sent` is lost or there twice, and none has overtaken another.
    pub(super) fn check(&self, sent: i64) {
        let in_turn: Vec<i64> = self.effects.iter().copied().filter(|event| !self.late.contains(event)).collect();
        assert!(in_turn.is_sorted(), "out of order: {self:?}");
        let open = self.open.iter().map(|letter| letter.event);
        let mut all: Vec<i64> =
            self.effects.iter().chain(&self.dropped).chain(&self.coming).copied().chain(open).collect();
        all.sort_unstable();
        assert_eq!(all, (1..=sent).collect::<Vec<_>>(), "lost or double: {self:?}");
    }
}
