//! Rates and latencies.

use super::verify::Verdict;
use super::writer::Written;
use super::{LoadArgs, Named};
use anyhow::bail;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::Instant;

/// What a run measured; printed as a table or as one JSON object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    products: u64,
    concurrency: u16,
    pub(super) accepted: u64,
    pub(super) refused: u64,
    accepted_per_second: f64,
    /// Events of the accepted composites.
    events: u64,
    /// From the first POST until all of them were visible; nothing when something is lost.
    pub(super) seconds: Option<f64>,
    events_per_second: Option<f64>,
    post_millis: Latency,
    visible_millis: Latency,
    pub(super) late: u64,
    pub(super) failed: Named,
    pub(super) lost: Named,
    pub(super) wrong: Named,
}

#[derive(Debug, Serialize)]
struct Latency {
    samples: u64,
    p50: f64,
    p99: f64,
    max: f64,
}

impl Report {
    pub(super) fn new(args: &LoadArgs, started: Instant, written: Written, verdict: Verdict) -> Self {
        let accepted = written.accepted.len() as u64;
        let events = accepted * (1 + u64::from(args.recommendations) + u64::from(args.reviews));
        let seconds = |at: Instant| (at - started).as_secs_f64();
        let visible = verdict.visible_at.map(seconds);
        Self {
            products: u64::from(args.products.unsigned_abs()),
            concurrency: args.concurrency,
            accepted,
            refused: written.refused,
            accepted_per_second: written.accepted_at.map_or(0.0, |at| accepted as f64 / seconds(at)),
            events,
            seconds: visible,
            events_per_second: visible.map(|seconds| events as f64 / seconds),
            post_millis: Latency::of(&written.post),
            visible_millis: Latency::of(&written.visible),
            late: verdict.late,
            failed: written.failed,
            lost: verdict.lost,
            wrong: verdict.wrong,
        }
    }

    pub(super) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    pub(super) fn text(&self) -> String {
        let Self { products, accepted, refused, accepted_per_second, events, late, failed, lost, wrong, .. } = self;
        let visible = match (self.events_per_second, self.seconds) {
            (Some(rate), Some(seconds)) => format!("{rate:.0} events/s: {events} events in {seconds:.3} s"),
            _ => "never all".to_owned(),
        };
        let (post, until_visible) = (self.post_millis.text(), self.visible_millis.text());
        let mut text = format!(
            "accepted             {accepted} of {products}, {accepted_per_second:.0}/s, {refused} refused at first\n\
             visible              {visible}\n\
             POST                 {post}\n\
             accepted to visible  {until_visible}\n\
             verified             {accepted}: {late} late, {} lost, {} wrong",
            lost.count, wrong.count,
        );
        for (what, named) in [("not accepted", failed), ("lost", lost), ("wrong", wrong)] {
            if named.count > 0 {
                text += &format!("\n\n{} {what}:\n  {}", named.count, named.first.join("\n  "));
                if named.count > named.first.len() as u64 {
                    text += "\n  …";
                }
            }
        }
        text
    }

    /// An error unless everything was accepted and is there.
    pub(super) fn verdict(&self) -> anyhow::Result<()> {
        let not_accepted = self.products - self.accepted;
        if not_accepted + self.lost.count + self.wrong.count > 0 {
            let (lost, wrong) = (self.lost.count, self.wrong.count);
            bail!(
                "of {} composites {not_accepted} were not accepted, {lost} are lost and {wrong} are wrong",
                self.products
            );
        }
        Ok(())
    }
}

impl Latency {
    fn of(micros: &Histogram<u64>) -> Self {
        let millis = |micros| micros as f64 / 1000.0;
        Self {
            samples: micros.len(),
            p50: millis(micros.value_at_quantile(0.5)),
            p99: millis(micros.value_at_quantile(0.99)),
            max: millis(micros.max()),
        }
    }

    fn text(&self) -> String {
        let Self { samples, p50, p99, max } = self;
        format!("p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms, {samples} samples")
    }
}
