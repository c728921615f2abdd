//! Rates and latencies.

use super::LoadArgs;
use super::fault::{Faults, Named};
use super::meter::{Counts, Series};
use super::verify::Verdict;
use crate::output::{Out, Table};
use anyhow::bail;
use serde::Serialize;
use std::time::Instant;

/// What a run measured; printed as a table or as one JSON object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    products: u64,
    concurrency: u16,
    /// What was asked for; nothing where the connections sent as fast as they could.
    rate: Option<f64>,
    requests_per_second: f64,
    /// Accepted writes: created composites, and deleted ones.
    pub(super) accepted: u64,
    pub(super) created: u64,
    pub(super) deleted: u64,
    pub(super) reads: u64,
    pub(super) repeated: u64,
    pub(super) refused: u64,
    accepted_per_second: f64,
    /// Events of the accepted writes.
    events: u64,
    /// From the first request until all writes were visible; nothing when something is lost.
    pub(super) seconds: Option<f64>,
    events_per_second: Option<f64>,
    pub(super) post_millis: Latency,
    delete_millis: Latency,
    read_millis: Latency,
    visible_millis: Latency,
    pub(super) late: u64,
    pub(super) failed: Named,
    pub(super) unanswered: Named,
    #[serde(flatten)]
    pub(super) faults: Faults,
}

#[derive(Debug, Serialize)]
pub(super) struct Latency {
    samples: u64,
    pub(super) p50: f64,
    p99: f64,
    max: f64,
}

impl Report {
    /// Of a run whose writing began and ended then.
    pub(super) fn new(
        args: &LoadArgs,
        (started, ended): (Instant, Instant),
        counts: Counts,
        verdict: &Verdict,
    ) -> Self {
        let accepted = counts.accepted();
        let parts = 1 + u64::from(args.recommendations) + u64::from(args.reviews);
        let events = counts.creates.count * parts + counts.deletes.count * 3;
        let seconds = |at: Instant| (at - started).as_secs_f64();
        let visible = verdict.visible_at.map(seconds);
        let requests = accepted + counts.reads.count + counts.repeated;
        Self {
            products: u64::from(args.products.unsigned_abs()),
            concurrency: args.concurrency,
            rate: args.rate.map(|rate| rate.0),
            requests_per_second: requests as f64 / seconds(ended),
            accepted,
            created: counts.creates.count,
            deleted: counts.deletes.count,
            reads: counts.reads.count,
            repeated: counts.repeated,
            refused: counts.refused,
            accepted_per_second: counts.accepted_at.map_or(0.0, |at| accepted as f64 / seconds(at)),
            events,
            seconds: visible,
            events_per_second: visible.map(|seconds| events as f64 / seconds),
            post_millis: Latency::of(&counts.creates),
            delete_millis: Latency::of(&counts.deletes),
            read_millis: Latency::of(&counts.reads),
            visible_millis: Latency::of(&counts.visible),
            late: verdict.late,
            failed: counts.failed,
            unanswered: counts.unanswered,
            faults: counts.faults,
        }
    }

    pub(super) fn write(&self, json: bool, out: Out<'_>) -> anyhow::Result<()> {
        let text = if json { serde_json::to_string(self)? } else { self.text()? };
        Ok(writeln!(out, "{text}")?)
    }

    /// A table, and what there is to say about it.
    pub(super) fn text(&self) -> anyhow::Result<String> {
        let mut table = Vec::new();
        let rows = [
            ("POST", self.created, &self.post_millis),
            ("DELETE", self.deleted, &self.delete_millis),
            ("GET", self.reads, &self.read_millis),
            ("accepted to visible", self.visible_millis.samples, &self.visible_millis),
        ];
        let rows: Vec<_> = rows
            .into_iter()
            .filter(|(_, count, _)| *count > 0)
            .map(|(what, count, took)| took.row(what, count))
            .collect();
        Table::new(["REQUEST", "COUNT", "P50 MS", "P99 MS", "MAX MS"]).write(&mut table, &rows)?;
        let mut text = String::from_utf8(table)? + "\n" + &self.rates();
        let lists = [("not accepted", &self.failed), ("unanswered reads", &self.unanswered)];
        for (what, named) in lists.into_iter().chain(self.faults.by_name()) {
            if named.count > 0 {
                text += &format!("\n\n{} {what}:\n  {}", named.count, named.first.join("\n  "));
                if named.count > named.first.len() as u64 {
                    text += "\n  …";
                }
            }
        }
        Ok(text)
    }

    fn rates(&self) -> String {
        let Self {
            created, products, refused, repeated, requests_per_second, accepted_per_second, events, late, ..
        } = self;
        let visible = match (self.events_per_second, self.seconds) {
            (Some(rate), Some(seconds)) => format!("{rate:.0} events/s: {events} events in {seconds:.3} s"),
            _ => "never all".to_owned(),
        };
        let asked = self.rate.map_or_else(String::new, |rate| format!(" of {rate}/s asked for"));
        let faults = self.faults.by_name().map(|(what, named)| format!("{} {what}", named.count)).join(", ");
        format!(
            "created   {created} of {products}; {refused} refused at first, {repeated} repeated under their key\n\
             requests  {requests_per_second:.0}/s{asked}, {accepted_per_second:.0} writes/s accepted\n\
             visible   {visible}\n\
             verified  {late} late, {faults}"
        )
    }

    /// An error unless everything was accepted and is as it was asked for.
    pub(super) fn verdict(&self) -> anyhow::Result<()> {
        if self.failed.count + self.faults.count() == 0 {
            return Ok(());
        }
        let faults = self.faults.by_name().map(|(what, named)| format!("{} {what}", named.count)).join(", ");
        bail!("{} requests were not accepted; of {} composites are {faults}", self.failed.count, self.created)
    }
}

impl Latency {
    fn of(series: &Series) -> Self {
        let millis = |quantile| series.millis(quantile);
        Self { samples: series.micros.len(), p50: millis(0.5), p99: millis(0.99), max: millis(1.0) }
    }

    fn row(&self, what: &str, count: u64) -> [String; 5] {
        let millis = [self.p50, self.p99, self.max].map(|millis| format!("{millis:.2}"));
        let [p50, p99, max] = millis;
        [what.to_owned(), count.to_string(), p50, p99, max]
    }
}
