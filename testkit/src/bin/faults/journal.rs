//! What happened, as it happened: lines of JSON in a file that several runs share, whose totals add up.

use crate::plan::Kind;
use crate::servers::{Binder, Database};
use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;
use testkit::verdict::Tally;

/// A fault that begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Struck {
    pub(crate) at: Timestamp,
    pub(crate) kind: Kind,
    pub(crate) targets: Vec<String>,
    /// How many events waited for whom it hit; nothing where the database was away, and nobody could count.
    pub(crate) waiting: Option<u64>,
    /// How many requests had no answer yet.
    pub(crate) under_way: u64,
}

/// What a run adds up to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Total {
    pub(crate) at: Timestamp,
    pub(crate) seed: u64,
    pub(crate) binder: Binder,
    pub(crate) database: Database,
    pub(crate) seconds: f64,
    pub(crate) kinds: BTreeMap<Kind, OfKind>,
    /// How many requests were accepted, were told to come again, and broke off.
    pub(crate) requests: [u64; 3],
    pub(crate) tally: Tally,
}

/// What there was of a kind of faults.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct OfKind {
    pub(crate) count: u64,
    /// The fewest events that waited for whom one hit.
    pub(crate) least_waiting: Option<u64>,
    /// The longest time to recover, in seconds.
    pub(crate) longest: f64,
}

impl OfKind {
    pub(crate) fn add(&mut self, other: &Self) {
        self.least_waiting = self.least_waiting.into_iter().chain(other.least_waiting).min();
        self.count += other.count;
        self.longest = self.longest.max(other.longest);
    }
}

impl Total {
    /// Adds the faults of a strike, after which everything was as before in so many seconds.
    pub(crate) fn add(&mut self, struck: &[Struck], recovered: f64) {
        for Struck { kind, waiting, .. } in struck {
            let one = OfKind { count: 1, least_waiting: *waiting, longest: recovered };
            self.kinds.entry(*kind).or_default().add(&one);
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Fault(Struck),
    /// The harness itself ended a server that had not come back by itself.
    Restarted {
        at: Timestamp,
        server: String,
    },
    /// Everybody has, from the faults before this line, in so many seconds after the last of them.
    Recovered {
        at: Timestamp,
        seconds: f64,
    },
    /// The run ended without a total.
    Broken {
        at: Timestamp,
        why: String,
    },
    Total(Total),
}

/// The file, or nothing where nobody asked for one.
#[derive(Debug)]
pub(crate) struct Journal {
    file: Option<File>,
    /// Of the runs before, which have come to their end. The faults of others count for nothing.
    pub(crate) totals: Vec<Total>,
}

impl Journal {
    /// Opens or makes it, for a run of `seed` on `binder` and `database`.
    pub(crate) fn open(path: Option<&Path>, seed: u64, on: (Binder, Database)) -> Result<Self> {
        let Some(path) = path else { return Ok(Self { file: None, totals: Vec::new() }) };
        let cannot = || format!("the journal {} cannot be used", path.display());
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            read => read.with_context(cannot)?,
        };
        let mut totals = Vec::new();
        // The last line may have been cut off with its run.
        for line in text.lines().filter_map(|line| serde_json::from_str(line).ok()) {
            if let Line::Total(total) = line {
                totals.push(total);
            }
        }
        for Total { binder, database, seed: before, .. } in &totals {
            ensure!((*binder, *database) == on, "{} is the journal of {binder:?} and {database:?}", path.display());
            ensure!(*before != seed, "{} holds the run of seed {seed} already: take another", path.display());
        }
        let mut file = File::options().create(true).append(true).open(path).with_context(cannot)?;
        if !text.is_empty() && !text.ends_with('\n') {
            writeln!(file).with_context(cannot)?;
        }
        Ok(Self { file: Some(file), totals })
    }

    /// Before the fault happens: what keeps the landscape from recovering has to be here.
    pub(crate) fn begins(&self, struck: &Struck) -> Result<()> {
        self.write(&Line::Fault(struck.clone()))
    }

    pub(crate) fn restarted(&self, server: &str) -> Result<()> {
        self.write(&Line::Restarted { at: Timestamp::now(), server: server.to_owned() })
    }

    pub(crate) fn recovered(&self, seconds: f64) -> Result<()> {
        self.write(&Line::Recovered { at: Timestamp::now(), seconds })
    }

    pub(crate) fn broken(&self, why: &str) -> Result<()> {
        self.write(&Line::Broken { at: Timestamp::now(), why: why.to_owned() })
    }

    pub(crate) fn end(&mut self, total: Total) -> Result<()> {
        self.write(&Line::Total(total.clone()))?;
        self.totals.push(total);
        Ok(())
    }

    fn write(&self, line: &Line) -> Result<()> {
        let Some(mut file) = self.file.as_ref() else { return Ok(()) };
        // At once, since faults begin side by side.
        let line = serde_json::to_string(line)? + "\n";
        file.write_all(line.as_bytes()).context("the journal cannot be written")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON: (Binder, Database) = (Binder::Kafka, Database::Postgres);

    fn total(seed: u64) -> Total {
        let (binder, database) = ON;
        let (kinds, tally) = (BTreeMap::new(), Tally { events: 10, ..Tally::default() });
        Total { at: Timestamp::now(), seed, binder, database, seconds: 1.0, kinds, requests: [1, 2, 3], tally }
    }

    #[test]
    fn runs_that_share_a_journal_add_up_and_one_that_broke_off_counts_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let struck = Struck {
            at: Timestamp::now(),
            kind: Kind::Kill,
            targets: vec!["product-0".to_owned()],
            waiting: Some(3),
            under_way: 4,
        };
        let mut journal = Journal::open(Some(&path), 1, ON).unwrap();
        journal.begins(&struck).unwrap();
        journal.recovered(0.5).unwrap();
        journal.end(total(1)).unwrap();
        journal.begins(&struck).unwrap();
        journal.restarted("Kafka").unwrap();
        journal.broken("it did not recover").unwrap();
        write!(journal.file.as_ref().unwrap(), "{{\"fault\":{{").unwrap();

        let mut journal = Journal::open(Some(&path), 2, ON).unwrap();
        journal.end(total(2)).unwrap();
        let seeds: Vec<_> = Journal::open(Some(&path), 3, ON).unwrap().totals.iter().map(|total| total.seed).collect();
        assert_eq!(seeds, [1, 2]);
    }

    #[test]
    fn a_journal_holds_each_seed_once_and_runs_of_one_form() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        Journal::open(Some(&path), 1, ON).unwrap().end(total(1)).unwrap();
        let refusal = |seed, on| Journal::open(Some(&path), seed, on).unwrap_err().to_string();
        assert!(refusal(1, ON).ends_with("holds the run of seed 1 already: take another"));
        let other = refusal(2, (Binder::RabbitMq, Database::Postgres));
        assert!(other.ends_with("is the journal of Kafka and Postgres"), "{other}");
    }
}
