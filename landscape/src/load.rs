//! `landscape load`: writes composites against a running landscape, deletes and reads some meanwhile, waits until
//! everything is visible, and verifies each product.
//!
//! - this file: from the options to the verdict
//! - `options`: those that are more than one number
//! - `composite`: what is written, and what an answer shows of it; `fault`: what none may show
//! - `model`: what was asked of each product and seen of it; pure
//! - `pace`: when a request is due; `meter`: what is counted
//! - `plan`: what all connections share; `worker`: the requests of one connection
//! - `verify`: the wait for the last, and a look at each
//! - `report`: rates and latencies

mod composite;
mod fault;
mod meter;
mod model;
mod options;
mod pace;
mod plan;
mod report;
mod verify;
mod worker;

use crate::output::until_closed;
use anyhow::bail;
use clap::Args;
use options::{Mix, Rate, Share};
use plan::Plan;
use report::Report;
use reqwest::Url;
use std::io;
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// How much to write, where, and what to measure.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// How many composites to write
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=2_000_000_000))]
    products: i32,
    /// How many connections write side by side
    #[arg(long, value_name = "C", value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// Requests a second, each at its time whatever became of those before; latencies count from then [default: each
    /// connection sends as soon as it has its answer]
    #[arg(long, value_name = "R")]
    rate: Option<Rate>,
    /// Creates, deletes and reads among the requests. What was deleted may be created again; deletes are of what was
    /// accepted; a read must show no less than one before
    #[arg(long, value_name = "C,D,R", default_value = "100,0,0")]
    mix: Mix,
    /// Share of the writes that are repeated under their Idempotency-Key, once the next write of their product is accepted;
    /// so there have to be deletes. Leave it at 0% where the landscape does not know such keys, as Java's
    #[arg(long, value_name = "SHARE", default_value = "0%")]
    duplicate: Share,
    /// Where the composite service answers; Java's will do
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

/// Loads, prints what it measured, and fails if something was not accepted, is lost, doubled, stale or wrong. Ctrl-C
/// ends the writing, and what was written is verified; another one ends that.
pub async fn run(args: LoadArgs) -> anyhow::Result<()> {
    let json = args.json;
    let report = measure(args).await?;
    until_closed(report.write(json, &mut io::stdout()))?;
    report.verdict()
}

async fn measure(args: LoadArgs) -> anyhow::Result<Report> {
    if args.duplicate.0 > 0.0 && args.mix.deletes == 0 {
        bail!("--duplicate repeats a write behind the next one of its product: --mix needs deletes, as in 70,10,20");
    }
    if args.url.scheme() != "http" {
        bail!("--url {} cannot be loaded: only http:// can, without TLS", args.url);
    }
    let first_id = match args.first_id {
        Some(id) => id,
        None => free_id(args.products)?,
    };
    if first_id.checked_add(args.products - 1).is_none() {
        bail!("productId {first_id} and the {} after it do not all fit into 32 bits", args.products - 1);
    }
    let plan = Arc::new(Plan::new(&args, first_id)?);
    plan.check_free(args.products).await?;
    tokio::select! {
        biased;
        interrupted = interrupted_twice(&plan) => interrupted,
        report = load(&args, &plan, first_id) => Ok(report),
    }
}

async fn load(args: &LoadArgs, plan: &Arc<Plan>, first_id: i32) -> Report {
    let started = Instant::now();
    let (shown, mut workers) = (plan.clone(), JoinSet::new());
    let shown = AbortOnDropHandle::new(tokio::spawn(async move { shown.meter.show().await }));
    for _ in 0..args.concurrency {
        workers.spawn(worker::work(plan.clone()));
    }
    let last: Vec<i32> = workers.join_all().await.into_iter().flatten().collect();
    let ended = Instant::now();
    drop(shown);
    let verdict = verify::verify(plan, first_id, &last).await;
    plan.meter.progress.finish_and_clear();
    let counts = plan.meter.counts().clone();
    Report::new(args, (started, ended), counts, &verdict)
}

async fn interrupted_twice(plan: &Plan) -> anyhow::Result<Report> {
    tokio::signal::ctrl_c().await?;
    plan.model().stop();
    tokio::signal::ctrl_c().await?;
    bail!("interrupted before everything was verified")
}

/// Ten ids a millisecond, more than anybody writes, and around again after some days.
fn free_id(products: i32) -> anyhow::Result<i32> {
    const LOWEST: i32 = 1_000_000;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
    let room = i32::MAX.saturating_sub(LOWEST).saturating_sub(products).max(1);
    Ok(LOWEST + i32::try_from(now * 10 % u128::try_from(room)?)?)
}

#[cfg(test)]
mod tests;
