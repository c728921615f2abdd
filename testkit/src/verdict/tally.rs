//! What a database holds in the end, held against what was accepted: how much of it is missing, there twice, out of order.

use super::{Found, Place};
use crate::workload::{Key, Request, Write, text};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// How many troubles are told in words.
const TOLD: usize = 10;

/// What was promised, and what of it was not kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Events that were accepted.
    pub events: u64,
    /// Those of them without their effect.
    pub lost: u64,
    /// Effects that happened once more.
    pub doubled: u64,
    /// Effects that came behind those of later events of their key.
    pub inverted: u64,
    /// Events that were given up, and are still.
    pub letters: u64,
    /// Events that were given up, and have taken effect since.
    pub replayed: u64,
    /// Events that were given up for good, as somebody asked.
    #[serde(default)]
    pub dropped: u64,
    /// What was never asked for, or is not what its history leads to.
    pub strange: u64,
    /// The first troubles in words.
    pub told: Vec<String>,
}

/// A row of a table: key and part.
type Row = (i32, u32);

impl Tally {
    /// Compares what was `found` at `place` with the requests that were accepted. Of the events with ids in `dropped` somebody
    /// asked that they be dropped: those that were have no effect.
    pub fn of(found: &Found, place: &Place, keys: &[Key], dropped: &HashSet<String>) -> Self {
        let dead = found.decided.iter().filter(|(id, outcome)| outcome == "dead" && dropped.contains(id));
        let dropped: HashSet<&str> = dead.map(|(id, _)| id.as_str()).collect();
        let mut tally = Self { letters: found.letters.len() as u64, dropped: dropped.len() as u64, ..Self::default() };
        tally.replayed = found.closed.saturating_sub(tally.dropped);
        found.letters.iter().for_each(|letter| tally.tell(format!("the dead letter {letter:?}")));
        let promised = promised(place, keys, &dropped);
        let without_effect = tally.count_effects(found, &promised);
        tally.count_standing(found, &promised);
        let undecided = tally.count_decisions(found, place, keys, &dropped);
        // An event that lost its effect and its decision was lost once.
        tally.lost = without_effect.max(undecided);
        tally
    }

    /// Whether every event has taken effect once and in order, and nothing else has.
    pub fn is_clean(&self) -> bool {
        self.lost + self.doubled + self.inverted + self.letters + self.strange == 0
    }

    /// Adds that of another place or run.
    pub fn add(&mut self, other: Self) {
        self.events += other.events;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.inverted += other.inverted;
        self.letters += other.letters;
        self.replayed += other.replayed;
        self.dropped += other.dropped;
        self.strange += other.strange;
        other.told.into_iter().for_each(|trouble| self.tell(trouble));
    }

    fn tell(&mut self, trouble: String) {
        if self.told.len() < TOLD {
            self.told.push(trouble);
        }
    }

    /// Goes through the history of each row; returns how many effects are missing.
    fn count_effects(&mut self, found: &Found, promised: &BTreeMap<Row, Vec<String>>) -> u64 {
        let mut happened: BTreeMap<Row, Vec<&str>> = BTreeMap::new();
        for (key, part, change) in &found.history {
            happened.entry((*key, *part)).or_default().push(change);
        }
        let mut missing = 0;
        for row in promised.keys().chain(happened.keys().filter(|row| !promised.contains_key(row))) {
            let expected = promised.get(row).map_or(&[][..], Vec::as_slice);
            let happened = happened.get(row).map_or(&[][..], Vec::as_slice);
            if expected.iter().eq(happened) {
                continue;
            }
            self.tell(format!("what happened to {row:?} is {happened:?}, and was to be {expected:?}"));
            let mut seen = BTreeSet::new();
            for change in happened {
                match expected.iter().position(|expected| expected == change) {
                    None => self.strange += 1,
                    Some(at) if seen.contains(&at) => self.doubled += 1,
                    Some(at) => {
                        self.inverted += u64::from(seen.last().is_some_and(|last| *last > at));
                        seen.insert(at);
                    }
                }
            }
            missing += (expected.len() - seen.len()) as u64;
        }
        missing
    }

    /// What stands there is what was written last.
    fn count_standing(&mut self, found: &Found, promised: &BTreeMap<Row, Vec<String>>) {
        let mut left: BTreeMap<Row, &str> =
            promised.iter().filter_map(|(row, changes)| Some((*row, changes.last()?.strip_prefix('+')?))).collect();
        for (key, part, content) in &found.standing {
            if left.remove(&(*key, *part)) != Some(content) {
                self.strange += 1;
                self.tell(format!("{:?} is left as {content:?}", (key, part)));
            }
        }
        self.strange += left.len() as u64;
        left.iter().take(TOLD).for_each(|row| self.tell(format!("{row:?} is not left")));
    }

    /// Goes through the inbox; returns how many events were never decided on.
    fn count_decisions(&mut self, found: &Found, place: &Place, keys: &[Key], dropped: &HashSet<&str>) -> u64 {
        let mut decided: HashMap<&str, &str> = HashMap::new();
        for (id, outcome) in &found.decided {
            if decided.insert(id, outcome).is_some() {
                self.doubled += 1;
                self.tell(format!("{id} was decided on twice"));
            }
        }
        let mut undecided = 0;
        for Key { id: key, requests } in keys {
            for Request { write, .. } in requests {
                for id in write.message_ids(*key).remove(place.topic).unwrap_or_default() {
                    self.events += 1;
                    let outcome = decided.remove(&*id);
                    if dropped.contains(&*id) {
                        continue;
                    }
                    if outcome != Some("applied") {
                        self.tell(format!("{id} of {write:?} of {key} was decided on as {outcome:?}"));
                    }
                    undecided += u64::from(outcome.is_none());
                    // With its letter gone, nobody would know of it.
                    self.strange += u64::from(outcome == Some("dead") && found.letters.is_empty());
                }
            }
        }
        self.strange += decided.len() as u64;
        decided.iter().take(TOLD).for_each(|unknown| self.tell(format!("{unknown:?} was never sent")));
        undecided
    }
}

/// What has to happen to each row of a place, in order, where the events with these ids have no effect. Who has created
/// nothing deletes nothing.
fn promised(place: &Place, keys: &[Key], dropped: &HashSet<&str>) -> BTreeMap<Row, Vec<String>> {
    let mut promised: BTreeMap<Row, Vec<String>> = BTreeMap::new();
    for Key { id, requests } in keys {
        let mut standing = Vec::new();
        for Request { write, .. } in requests {
            let mut happens =
                |sign, part, version| promised.entry((*id, part)).or_default().push(format!("{sign}{}", text(version)));
            match *write {
                Write::Create { version } => {
                    let ids = write.message_ids(*id).remove(place.topic).unwrap_or_default();
                    for (part, _) in (1..).zip(ids).filter(|(_, id)| !dropped.contains(id.as_str())) {
                        happens('+', part, version);
                        standing.push(part);
                    }
                }
                Write::Delete { version } => standing.drain(..).for_each(|part| happens('-', part, version)),
            }
        }
    }
    promised
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::PLACES;

    /// A key that was created, deleted and created again, and what is found where all of it took effect.
    fn kept() -> (Vec<Key>, Found) {
        let writes = [Write::Create { version: 1 }, Write::Delete { version: 1 }, Write::Create { version: 2 }];
        let requests = writes.map(|write| Request { write, accepted: 1, unanswered: 0 });
        let keys = vec![Key { id: 7, requests: requests.into() }];
        let history = ["+v1", "-v1", "+v2"].map(|change| (7, 1, change.to_owned())).into();
        let ids = writes.into_iter().flat_map(|write| write.message_ids(7).remove("products").unwrap());
        let decided = ids.map(|id| (id, "applied".to_owned())).collect();
        (keys, Found { letters: Vec::new(), closed: 0, history, standing: vec![(7, 1, "v2".to_owned())], decided })
    }

    /// Lost, doubled, inverted, dead letters and strange things.
    #[track_caller]
    fn counts(break_it: impl FnOnce(&mut Found), counts: [u64; 5]) {
        let (keys, mut found) = kept();
        break_it(&mut found);
        let tally = Tally::of(&found, &PLACES[0], &keys, &HashSet::new());
        let counted = [tally.lost, tally.doubled, tally.inverted, tally.letters, tally.strange];
        assert_eq!((tally.events, counted), (3, counts), "{:?}", tally.told);
        assert_eq!((tally.is_clean(), tally.told.is_empty()), (counts == [0; 5], counts == [0; 5]), "{tally:?}");
    }

    #[test]
    fn a_promise_that_was_kept_is_recognised() {
        counts(|_| {}, [0; 5]);
    }

    #[test]
    fn what_was_lost_doubled_inverted_or_given_up_is_counted() {
        counts(|found| drop(found.history.remove(1)), [1, 0, 0, 0, 0]);
        counts(|found| found.history.clear(), [3, 0, 0, 0, 0]);
        counts(|found| drop(found.decided.pop()), [1, 0, 0, 0, 0]);
        counts(|found| drop((found.decided.pop(), found.history.pop())), [1, 0, 0, 0, 0]);
        counts(|found| found.history.push((7, 1, "+v2".to_owned())), [0, 1, 0, 0, 0]);
        counts(|found| found.decided.push(found.decided[0].clone()), [0, 1, 0, 0, 0]);
        counts(|found| found.history.swap(0, 1), [0, 0, 1, 0, 0]);
        counts(|found| found.history.rotate_right(1), [0, 0, 2, 0, 0]);
        counts(|found| found.letters.push((Some(7), "cause".to_owned())), [0, 0, 0, 1, 0]);
    }

    #[test]
    fn what_nobody_asked_for_is_noticed() {
        counts(|found| found.history.push((8, 1, "+v1".to_owned())), [0, 0, 0, 0, 1]);
        counts(|found| found.history.push((7, 1, "+v9".to_owned())), [0, 0, 0, 0, 1]);
        counts(|found| found.standing.clear(), [0, 0, 0, 0, 1]);
        counts(|found| found.standing[0].2 = "v1".to_owned(), [0, 0, 0, 0, 1]);
        counts(|found| found.standing.push((7, 1, "v2".to_owned())), [0, 0, 0, 0, 1]);
        counts(|found| found.decided[0].1 = "dead".to_owned(), [0, 0, 0, 0, 1]);
        counts(|found| found.decided.push(("unknown".to_owned(), "applied".to_owned())), [0, 0, 0, 0, 1]);
    }

    #[test]
    fn what_was_dropped_as_asked_has_no_effect_and_what_follows_has() {
        let (keys, mut found) = kept();
        let first = found.decided[0].0.clone();
        found.decided[0].1 = "dead".to_owned();
        found.closed = 3;
        let asked = HashSet::from([first]);
        let tally = Tally::of(&found, &PLACES[0], &keys, &asked);
        assert_eq!((tally.strange, tally.is_clean()), (2, false), "it was dropped and has taken effect: {tally:?}");
        found.history.drain(..2);
        let tally = Tally::of(&found, &PLACES[0], &keys, &asked);
        assert_eq!((tally.is_clean(), tally.events, tally.dropped, tally.replayed), (true, 3, 1, 2), "{tally:?}");
        assert!(!Tally::of(&found, &PLACES[0], &keys, &HashSet::new()).is_clean(), "nobody had asked");
        // Where it was replayed after all, it has its effect.
        let (keys, found) = kept();
        assert!(Tally::of(&found, &PLACES[0], &keys, &asked).is_clean());
    }

    #[test]
    fn tallies_add_up() {
        let (keys, mut found) = kept();
        found.history.remove(0);
        let one = Tally::of(&found, &PLACES[0], &keys, &HashSet::new());
        let mut both = one.clone();
        both.add(one);
        assert_eq!((both.events, both.lost, both.told.len()), (6, 2, 2));
    }
}
