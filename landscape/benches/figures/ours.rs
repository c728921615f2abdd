//! The landscape as it is run: from the start to the last composite that is visible.

use crate::Table;
use crate::process::Process;
use serde_json::Value;
use std::process::Command;
use std::time::Duration;

/// Composites of the client that is alone, those of the load, and how many clients write these.
const FEW: &str = "200";
const MANY: &str = "14000";
const CLIENTS: &str = "128";

pub(crate) async fn ours(table: &mut Table, on: &str, variables: &[(&str, &str)]) {
    let landscape = Process::start(variables).await;
    table.row(on, "start until ready", &format!("{:.2} s", landscape.started_in.as_secs_f64()), "one process");
    // What the start needed is given back after a while.
    tokio::time::sleep(Duration::from_secs(2)).await;
    table.row(on, "memory when idle", &format!("{:.0} MB", landscape.megabytes()), "with the registry");
    let url = format!("http://{}", landscape.addresses[0]);
    let alone = load(&url, FEW, "1");
    let visible = &alone["visibleMillis"];
    table.row(
        on,
        "accepted to visible",
        &format!("{:.1} ms", visible["p50"].as_f64().unwrap()),
        &format!("p99 {:.1} ms, one client", visible["p99"].as_f64().unwrap()),
    );
    let many = load(&url, MANY, CLIENTS);
    let figure = |name: &str| many[name].as_f64().unwrap();
    table.row(
        on,
        "POSTs accepted",
        &format!("{:.0}/s", figure("acceptedPerSecond")),
        &format!("of 7 events; 128 clients; {} refused at first", many["refused"]),
    );
    table.row(
        on,
        "events from POST to visible",
        &format!("{:.0}/s", figure("eventsPerSecond")),
        "every composite verified",
    );
    table.row(on, "memory after that", &format!("{:.0} MB", landscape.megabytes()), "");
}

/// What the generator says of its load.
fn load(url: &str, products: &str, concurrency: &str) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_landscape"));
    command.args(["load", "--json", "--url", url, "--products", products, "--concurrency", concurrency]);
    let output = command.output().unwrap();
    serde_json::from_slice(&output.stdout).expect("a report")
}
