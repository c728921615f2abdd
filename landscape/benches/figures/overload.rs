//! Writes at half of what the landscape takes, and at ten times as much, with reads beside them.

use crate::Table;
use crate::load::{Measured, closed, composite, get, open, post, until_well};
use crate::process::Process;
use http::Method;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

/// How long each part takes, and how much of it is not counted: until the limit is found, what came first waits longer.
const TIME: Duration = Duration::from_secs(8);
const FINDING: Duration = Duration::from_secs(2);
const READS_PER_SECOND: f64 = 50.0;
/// No generator beside the landscape sends more than that.
const MOST: f64 = 15_000.0;
/// How many clients show what it takes.
const CLIENTS: usize = 256;

/// As slow as a broker can be: its own program in this one, asked for by this word.
pub(crate) const SLOW: &str = "slow-landscape";

pub(crate) async fn slow(table: &mut Table) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(SLOW);
    overload(table, "a broker that takes 2 ms for a request", &Process::of(command, &[]).await).await;
}

pub(crate) async fn overload(table: &mut Table, name: &str, landscape: &Process) {
    let at = landscape.addresses[0];
    let read = readable(at).await;
    let taken = closed(at, CLIENTS, TIME / 2, move || post(at)).await.rate();
    tokio::time::sleep(FINDING).await;
    let (half, half_reads) = both(at, &read, taken / 2.0).await;
    let before = landscape.megabytes();
    let wanted = (taken * 10.0).min(MOST);
    let (tenfold, reads) = both(at, &read, wanted).await;
    let offered = (tenfold.well.len() + tenfold.refused.len() + tenfold.failed) as f64 / tenfold.took.as_secs_f64();
    let mut row = |what: &str, figure: String, beside: String| table.row(name, what, &figure, &beside);
    row("writes it takes", format!("{taken:.0}/s"), format!("{CLIENTS} clients"));
    row(
        "p99 of writes at half of that",
        format!("{:.1} ms", half.p99()),
        format!("{:.0}/s, {} refused", half.rate(), half.refused.len()),
    );
    row(
        &format!("p99 of admitted writes at {:.1} times", offered / taken),
        format!("{:.1} ms", tenfold.p99()),
        format!(
            "{:.2} of half load; {:.0}/s admitted, {:.2} of what it takes",
            tenfold.p99() / half.p99(),
            tenfold.rate(),
            tenfold.rate() / taken
        ),
    );
    let share = tenfold.refused.len() as f64 / (tenfold.refused.len() + tenfold.well.len()) as f64;
    let refusal = tenfold.refused.value_at_quantile(0.99) as f64 / 1000.0;
    row(
        "refused meanwhile",
        format!("{:.1} %", share * 100.0),
        format!("p99 {refusal:.1} ms; {} failed otherwise", tenfold.failed),
    );
    row(
        "p99 of reads meanwhile",
        format!("{:.1} ms", reads.p99()),
        format!(
            "{:.1} ms at half load; {} of {} failed",
            half_reads.p99(),
            reads.failed + reads.refused.len(),
            reads.well.len()
        ),
    );
    row("memory", format!("{:.0} MB", landscape.megabytes()), format!("{before:.0} MB before"));
}

/// A path to read.
async fn readable(at: SocketAddr) -> String {
    let (id, body) = composite();
    let path = format!("/product-composite/{id}");
    let write = move || {
        let mut request = get(at, "/product-composite");
        *request.method_mut() = Method::POST;
        request.headers_mut().insert("content-type", "application/json".parse().unwrap());
        *request.body_mut() = body.clone().into();
        request
    };
    until_well(at, write).await;
    let read = path.clone();
    until_well(at, move || get(at, &read)).await;
    path
}

/// Writes at this rate, and reads beside them.
async fn both(at: SocketAddr, path: &str, per_second: f64) -> (Measured, Measured) {
    let writes = open(per_second, FINDING, FINDING + TIME, || post(at));
    let reads = open(READS_PER_SECOND, FINDING, FINDING + TIME, || get(at, path));
    futures_util::future::join(writes, reads).await
}
