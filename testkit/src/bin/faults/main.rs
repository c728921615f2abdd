//! A landscape under load whose services, servers, networks and disks fail, as a seed says; and a count of what was lost,
//! doubled or put out of order by that. For people who want to know, and for `.ci/run`.
//!
//! - this file: the command line, and how long it goes on
//! - [`plan`]: what is done to whom and when
//! - [`strike`]: a landscape under load, what is done to it, what it has kept in the end
//! - [`letters`]: events that fail for a while, and their dead letters
//! - [`services`], [`servers`]: the processes and containers of the landscape
//! - [`journal`]: what happened, in a file; [`report`]: what it adds up to

#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr, clippy::print_stdout)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod journal;
mod letters;
mod plan;
mod report;
mod servers;
mod services;
mod strike;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use jiff::Timestamp;
use journal::{Journal, Total};
use plan::{Field, Kind, Plan};
use report::{BrokenOff, Report};
use servers::{Binder, Database};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use strike::{Load, UnderLoad};
use testkit::verdict::Tally;
use tokio_util::sync::CancellationToken;

/// Puts a landscape under load, lets its services, servers, networks and disks fail, and counts what that has cost.
///
/// The services are the programs beside this one (cargo build --workspace --bins), two instances of each core service;
/// brokers and PostgreSQL are containers. Every fault begins while events wait for whom it hits. The run ends when it is
/// as long, as full of faults and as large as asked for, and the last fault has recovered: with an error if anything was
/// lost, doubled, put out of order or given up, or recovered too late. Ctrl-C ends it likewise, only sooner; what does not
/// recover ends it at once.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Where events travel
    #[arg(long)]
    binder: Binder,
    /// Where data is kept [default: sqlite for embedded, else postgres]
    #[arg(long)]
    database: Option<Database>,
    /// How long the run is, at the least
    #[arg(long, default_value_t = 2.0)]
    minutes: f64,
    /// How many faults there are, at the least
    #[arg(long, default_value_t = 0)]
    faults: u64,
    /// How many events are accepted, at the least
    #[arg(long, default_value_t = 0)]
    events: u64,
    /// What the faults and the load are drawn from; the same seed gives the same ones [default: the time]
    #[arg(long)]
    seed: Option<u64>,
    /// A file for what happens, as lines of JSON. Runs that share it, each with a seed of its own, add up: so a long run is
    /// split, or gone on with after it broke off
    #[arg(long)]
    journal: Option<PathBuf>,
    /// What may happen [default: everything]. A full disk needs root, who may mount a small one
    #[arg(long, value_delimiter = ',')]
    kinds: Option<Vec<Kind>>,
    /// How many clients send the load
    #[arg(long, default_value_t = 64)]
    clients: u64,
    /// How many milliseconds each of them waits after a request: all that is accepted has to be kept until the end
    #[arg(long, default_value_t = 50)]
    pause: u64,
    /// How many seconds everybody may take to recover from a fault, the start of a server included, and before it up to 96 s
    /// until one that hangs is killed
    #[arg(long, default_value_t = 180)]
    recover_within: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<()> {
    let usual = if options.binder == Binder::Embedded { Database::Sqlite } else { Database::Postgres };
    let on = (options.binder, options.database.unwrap_or(usual));
    let seed = options.seed.unwrap_or_else(|| Timestamp::now().as_second().unsigned_abs());
    let kinds = options.kinds.clone().unwrap_or_else(|| Kind::value_variants().to_vec());
    let mut journal = Journal::open(options.journal.as_deref(), seed, on)?;
    println!("seed {seed}");
    let load = Load { clients: options.clients, pause: Duration::from_millis(options.pause), seed };
    let landscape = UnderLoad::start(on, kinds.contains(&Kind::FullDisk), load).await?;
    let servers = landscape.servers.names();
    let field = Field { servers, has_application: on.0 == Binder::RabbitMq, kinds };
    let plan = Plan::new(field, seed).context("none of these kinds can happen here")?;
    let (binder, database) = on;
    let (kinds, tally) = (BTreeMap::new(), Tally::default());
    let mut total =
        Total { at: Timestamp::now(), seed, binder, database, seconds: 0.0, kinds, requests: [0; 3], tally };
    if let Err(error) = endure(landscape, plan, &options, &journal, &mut total).await {
        println!("\n{}", BrokenOff(&total));
        journal.broken(&format!("{error:#}"))?;
        return Err(error);
    }
    journal.end(total)?;

    let report = Report(&journal.totals);
    println!("\n{report}");
    let slowest = journal.totals.iter().flat_map(|total| total.kinds.values()).map(|of_kind| of_kind.longest);
    let slowest = slowest.fold(0.0, f64::max);
    ensure!(report.tally().is_clean(), "what was promised was not kept");
    ensure!(slowest <= options.recover_within as f64, "it took {slowest:.1} s to recover from a fault");
    Ok(())
}

/// Lets it happen until there was enough of it, and compares; notes in `total` what there was until then.
async fn endure(
    landscape: UnderLoad,
    plan: Plan,
    options: &Options,
    journal: &Journal,
    total: &mut Total,
) -> Result<()> {
    let enough = CancellationToken::new();
    let trouble = landscape.clients.trouble();
    tokio::select! {
        biased;
        trouble = trouble => bail!("a client could not go on: {trouble}"),
        interrupted = interrupted_twice(&enough) => interrupted,
        ended = until_enough(landscape, plan, (options, &enough), journal, total) => ended,
    }
}

async fn until_enough(
    mut landscape: UnderLoad,
    mut plan: Plan,
    (options, enough): (&Options, &CancellationToken),
    journal: &Journal,
    total: &mut Total,
) -> Result<()> {
    let started = Instant::now();
    let least = Duration::try_from_secs_f64(60.0 * options.minutes)?;
    let mut faults = 0;
    while !enough.is_cancelled()
        && (started.elapsed() < least || faults < options.faults || landscape.clients.events() < options.events)
    {
        let (struck, recovered) = landscape.strike(&plan.strike(), journal).await?;
        journal.recovered(recovered)?;
        let clients = &landscape.clients;
        println!("{:.0} all well after {recovered:.1} s, {} events so far", Timestamp::now(), clients.events());
        faults += struck.len() as u64;
        total.add(&struck, recovered);
        total.seconds = started.elapsed().as_secs_f64();
        total.requests = [clients.answered(), clients.refused(), clients.unanswered()];
    }
    total.tally = landscape.verdict().await?;
    total.at = Timestamp::now();
    Ok(())
}

/// Wants no more strikes when interrupted once; ends when that happens again.
async fn interrupted_twice(enough: &CancellationToken) -> Result<()> {
    tokio::signal::ctrl_c().await?;
    println!("this strike is the last one; Ctrl-C once more ends at once");
    enough.cancel();
    tokio::signal::ctrl_c().await?;
    bail!("interrupted before everything was compared")
}
