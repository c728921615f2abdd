//! Writes at half of what the landscape takes, and at ten times as much, with reads beside them.
//!
//! The flood comes from a process that has the processor when nobody else wants it, as if it came from another machine.
//! How long writes take is measured beside it, by a client that does not wait for a processor behind the flood.

use crate::Table;
use crate::load::{Measured, closed, composite, count_from, get, open, post, until_well};
use crate::process::Process;
use http::Method;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long each part takes, and how much of it is not counted: until the limit is found, what came first waits longer.
const TIME: Duration = Duration::from_secs(12);
const FINDING: Duration = Duration::from_secs(4);
const READS_PER_SECOND: f64 = 50.0;
/// Writes whose delays are measured, refused ones among them.
const PROBES_PER_SECOND: f64 = 100.0;
/// No generator beside the landscape sends more than that.
const MOST: f64 = 15_000.0;
/// How many clients show what it takes.
const CLIENTS: usize = 256;

/// As slow as a broker can be: its own program in this one, asked for by this word.
pub(crate) const SLOW: &str = "slow-landscape";
/// The flood: its own program in this one, with address, writes a second and first id behind this word.
pub(crate) const FLOOD: &str = "flood";

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
    let half = flooded(at, &read, taken / 2.0, 1 << 29).await;
    let before = landscape.megabytes();
    let tenfold = flooded(at, &read, (taken * 10.0).min(MOST), 1 << 30).await;
    let mut row = |what: &str, figure: String, beside: String| table.row(name, what, &figure, &beside);
    row("writes it takes", format!("{taken:.0}/s"), format!("{CLIENTS} clients"));
    row(
        "p99 of writes at half of that",
        format!("{:.1} ms", half.probes.p99()),
        format!("{:.0}/s, {:.0}/s refused", half.admitted, half.refused),
    );
    row(
        &format!("p99 of admitted writes at {:.1} times", (tenfold.admitted + tenfold.refused) / taken),
        format!("{:.1} ms", tenfold.probes.p99()),
        format!(
            "{:.2} of half load; {:.0}/s admitted, {:.2} of what it takes",
            tenfold.probes.p99() / half.probes.p99(),
            tenfold.admitted,
            tenfold.admitted / taken
        ),
    );
    let refusal = tenfold.probes.refused.value_at_quantile(0.99) as f64 / 1000.0;
    row(
        "refused meanwhile",
        format!("{:.1} %", 100.0 * tenfold.refused / (tenfold.refused + tenfold.admitted)),
        format!("p99 {refusal:.1} ms; {:.0}/s failed otherwise", tenfold.failed),
    );
    row(
        "p99 of reads meanwhile",
        format!("{:.1} ms", tenfold.reads.p99()),
        format!(
            "{:.1} ms at half load; {} of {} failed",
            half.reads.p99(),
            tenfold.reads.failed + tenfold.reads.refused.len(),
            tenfold.reads.well.len()
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

/// What came of a flood: rates of writes, and how long some of them and the reads took.
struct Flooded {
    admitted: f64,
    refused: f64,
    failed: f64,
    probes: Measured,
    reads: Measured,
}

/// Writes at this rate, with some that are measured and reads beside them.
async fn flooded(at: SocketAddr, path: &str, per_second: f64, first_id: i32) -> Flooded {
    let mut flood = Command::new("nice");
    flood.args(["-n", "19"]).arg(std::env::current_exe().unwrap());
    flood.args([FLOOD, &at.to_string(), &(per_second - PROBES_PER_SECOND).to_string(), &first_id.to_string()]);
    let flood = flood.stdout(Stdio::piped()).spawn().unwrap();
    let probes = open(PROBES_PER_SECOND.min(per_second), FINDING, TIME, || post(at));
    let reads = open(READS_PER_SECOND, FINDING, TIME, || get(at, path));
    let (probes, reads) = futures_util::future::join(probes, reads).await;
    let output = tokio::task::spawn_blocking(|| flood.wait_with_output()).await.unwrap().unwrap();
    let rates: Vec<f64> =
        String::from_utf8(output.stdout).unwrap().split_whitespace().map(|rate| rate.parse().unwrap()).collect();
    let [admitted, refused, failed] = rates[..] else { panic!("no rates: {rates:?}") };
    let seconds = probes.took.as_secs_f64();
    Flooded {
        admitted: admitted + probes.well.len() as f64 / seconds,
        refused: refused + probes.refused.len() as f64 / seconds,
        failed: failed + probes.failed as f64 / seconds,
        probes,
        reads,
    }
}

/// Writes to `at`, and prints how many a second were admitted, refused, or failed.
pub(crate) async fn flood(at: &str, per_second: &str, first_id: &str) {
    let at = at.parse().unwrap();
    count_from(first_id.parse().unwrap());
    let measured = open(per_second.parse().unwrap(), FINDING, TIME, || post(at)).await;
    let seconds = measured.took.as_secs_f64();
    let refused = measured.refused.len() as f64 / seconds;
    println!("{} {refused} {}", measured.rate(), measured.failed as f64 / seconds);
}
