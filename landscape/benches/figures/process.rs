//! A landscape in a process of its own, so that its memory and its start can be told from those of the generator.

use crate::load::{get, until_well};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A landscape that runs. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Composite, product, recommendation, review.
    pub(crate) addresses: [SocketAddr; 4],
    /// From the start of the process until it was ready.
    pub(crate) started_in: Duration,
    _folder: TempDir,
}

impl Process {
    /// The program, with these variables.
    pub(crate) async fn start(variables: &[(&str, &str)]) -> Self {
        Self::of(Command::new(env!("CARGO_BIN_EXE_landscape")), variables).await
    }

    /// Another program that says where it listens as the landscape does.
    pub(crate) async fn of(mut command: Command, variables: &[(&str, &str)]) -> Self {
        let (folder, begun) = (tempfile::tempdir().unwrap(), Instant::now());
        command
            .env("RUST_LOG", "error,lapin=off")
            .env("DATA_DIR", folder.path())
            .envs(
                ["COMPOSITE_PORT", "PRODUCT_PORT", "RECOMMENDATION_PORT", "REVIEW_PORT", "EUREKA_PORT"]
                    .map(|p| (p, "0")),
            )
            .envs(variables.iter().copied())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut addresses = Vec::new();
        while addresses.len() < 4 {
            let line = lines.next().expect("it says where it listens").unwrap();
            addresses.extend(line.split_once("http://").and_then(|(_, address)| address.parse::<SocketAddr>().ok()));
        }
        // Somebody has to read what else it prints.
        std::thread::spawn(move || lines.for_each(drop));
        let addresses: [SocketAddr; 4] = addresses.try_into().unwrap();
        for address in addresses {
            until_well(address, move || get(address, "/actuator/health/readiness")).await;
        }
        Self { child, addresses, started_in: begun.elapsed(), _folder: folder }
    }

    /// How much memory it has, in megabytes.
    pub(crate) fn megabytes(&self) -> f64 {
        let status = Path::new("/proc").join(self.child.id().to_string()).join("status");
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
