//! `landscape load`: writes composites against a running landscape, waits until all of them are visible, and verifies
//! each one.
//!
//! - this file: from the options to the verdict
//! - `composite`: what is written, and whether an answer is that
//! - `plan`: what all connections share: the next id, and looks
//! - `writer`: the POSTs of one connection
//! - `verify`: the wait for the last, and a look at each
//! - `report`: rates and latencies

mod composite;
mod plan;
mod report;
mod verify;
mod writer;

use crate::output::until_closed;
use anyhow::bail;
use clap::Args;
use plan::Plan;
use report::Report;
use reqwest::Url;
use serde::Serialize;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::task::JoinSet;
use writer::Written;

/// How much to write, where, and what to measure.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// How many composites to write
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=2_000_000_000))]
    products: i32,
    /// How many connections write side by side
    #[arg(long, value_name = "C", value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// Where the composite service answers
    #[arg(long, default_value = "http://localhost:8080")]
    url: Url,
    /// The first productId; the others follow it [default: one derived from the time, so that runs do not meet]
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i32).range(1..))]
    first_id: Option<i32>,
    /// Recommendations of each product
    #[arg(long, value_name = "N", default_value_t = 3)]
    recommendations: u16,
    /// Reviews of each product
    #[arg(long, value_name = "N", default_value_t = 3)]
    reviews: u16,
    /// Each connection takes the time until its every K-th composite is visible [default: 50, or 1 on one connection]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    sample: Option<u32>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Seconds to wait for an answer, for a refused composite to be accepted, and for the last accepted one to become
    /// visible
    #[arg(long, value_name = "S", default_value_t = 60)]
    timeout: u16,
}

/// Loads, prints what it measured, and fails if a composite was not accepted, is lost or is wrong.
pub async fn run(args: LoadArgs) -> anyhow::Result<()> {
    let json = args.json;
    let report = measure(args).await?;
    until_closed(writeln!(io::stdout(), "{}", if json { report.json()? } else { report.text() }).map_err(Into::into))?;
    report.verdict()
}

async fn measure(args: LoadArgs) -> anyhow::Result<Report> {
    let first_id = match args.first_id {
        Some(id) => id,
        None => free_id(args.products)?,
    };
    if first_id.checked_add(args.products - 1).is_none() {
        bail!("productId {first_id} and the {} after it do not all fit into 32 bits", args.products - 1);
    }
    let plan = Arc::new(Plan::new(&args, first_id)?);
    plan.check_free().await?;

    let started = Instant::now();
    let mut writers = JoinSet::new();
    for _ in 0..args.concurrency {
        writers.spawn(writer::write(plan.clone()));
    }
    let mut written = Written::new()?;
    let mut last = Vec::new();
    for one in writers.join_all().await {
        let one = one?;
        last.extend(one.accepted.last());
        written.add(one)?;
    }
    let verdict = verify::verify(&plan, &written, &last).await;
    plan.progress.finish_and_clear();
    Ok(Report::new(&args, started, written, verdict))
}

/// Ten ids a millisecond, more than anybody writes, and around again after some days.
fn free_id(products: i32) -> anyhow::Result<i32> {
    const LOWEST: i32 = 1_000_000;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
    let room = i32::MAX.saturating_sub(LOWEST).saturating_sub(products).max(1);
    Ok(LOWEST + i32::try_from(now * 10 % u128::try_from(room)?)?)
}

/// How many things of one kind are named.
const MOST_NAMED: usize = 10;

/// Things of which the first few are named and all are counted.
#[derive(Debug, Default, Serialize)]
struct Named {
    count: u64,
    first: Vec<String>,
}

impl Named {
    fn push(&mut self, name: String) {
        self.count += 1;
        if self.first.len() < MOST_NAMED {
            self.first.push(name);
        }
    }

    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.first.extend(other.first);
        self.first.truncate(MOST_NAMED);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
