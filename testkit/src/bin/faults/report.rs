//! The table at the end, as Markdown.

use crate::journal::{OfKind, Total};
use crate::plan::Kind;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use testkit::verdict::Tally;

/// All runs of a journal together.
pub(crate) struct Report<'a>(pub(crate) &'a [Total]);

impl Report<'_> {
    fn kinds(&self) -> BTreeMap<Kind, OfKind> {
        let mut kinds: BTreeMap<Kind, OfKind> = BTreeMap::new();
        for (kind, of_kind) in self.0.iter().flat_map(|total| &total.kinds) {
            kinds.entry(*kind).or_default().add(of_kind);
        }
        kinds
    }

    fn faults(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(Total { binder, database, .. }) = self.0.first() else { return Ok(()) };
        let seeds: Vec<_> = self.0.iter().map(|total| total.seed.to_string()).collect();
        let seconds: f64 = self.0.iter().map(|total| total.seconds).sum();
        let (minutes, seeds) = (seconds / 60.0, seeds.join(", "));
        writeln!(f, "{binder:?} and {database:?}, seed {seeds}, {minutes:.1} minutes\n")?;

        writeln!(f, "| fault | times | fewest events waiting | longest time to recover |\n|---|--:|--:|--:|")?;
        let mut all = OfKind::default();
        for (kind, of_kind) in self.kinds() {
            all.add(&of_kind);
            row(f, &kind.to_string(), &of_kind)?;
        }
        row(f, "all", &all)
    }

    fn requests(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [accepted, refused, broken] =
            [0, 1, 2].map(|at| self.0.iter().map(|total| total.requests[at]).sum::<u64>());
        writeln!(f, "\n{accepted} requests accepted; {refused} times told to come again, {broken} times broken off")
    }

    /// Everything that was promised, and what of it was not kept.
    pub(crate) fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        self.0.iter().for_each(|total| sum.add(total.tally.clone()));
        sum
    }
}

impl Display for Report<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.faults(f)?;
        let Tally { events, lost, doubled, inverted, letters, replayed, dropped, strange, told } = self.tally();
        writeln!(
            f,
            "\n| events accepted | lost | doubled | inverted | replayed dead letters | dropped ones | open ones | otherwise wrong |"
        )?;
        writeln!(f, "|--:|--:|--:|--:|--:|--:|--:|--:|")?;
        writeln!(f, "| {events} | {lost} | {doubled} | {inverted} | {replayed} | {dropped} | {letters} | {strange} |")?;
        self.requests(f)?;
        told.iter().try_for_each(|trouble| writeln!(f, "- {trouble}"))
    }
}

/// What had recovered of a run that broke off: of its events nobody knows anything.
pub(crate) struct BrokenOff<'a>(pub(crate) &'a Total);

impl Display for BrokenOff<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let so_far = Report(std::slice::from_ref(self.0));
        so_far.faults(f)?;
        so_far.requests(f)?;
        writeln!(f, "\nThe run broke off: nothing was compared.")
    }
}

fn row(f: &mut Formatter<'_>, name: &str, OfKind { count, least_waiting, longest }: &OfKind) -> fmt::Result {
    let least_waiting = least_waiting.map_or_else(|| "-".to_owned(), |least| least.to_string());
    writeln!(f, "| {name} | {count} | {least_waiting} | {longest:.1} s |")
}
