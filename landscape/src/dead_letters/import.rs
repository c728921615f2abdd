//! Takes over what other services left in the dead letters of the broker.

use super::service::{NotNow, Service, Services};
use crate::output::{Out, Table};
use anyhow::{Result, bail};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::messaging::retry::RetryPolicy;
use std::time::Duration;

/// What a service took over.
#[derive(Debug, Default, Serialize)]
struct Imported {
    service: String,
    imported: u64,
    /// What it had taken over before, or knows as its own.
    known: u64,
}

/// How often a service is asked that cannot import just now: for longer than the import of somebody else goes on.
pub(super) const RETRY: RetryPolicy = RetryPolicy {
    max_attempts: 9,
    initial_interval: Duration::from_millis(100),
    max_interval: Duration::from_secs(2),
    multiplier: 2.0,
};

pub(super) async fn import(services: &Services, retry: &RetryPolicy, json: bool, out: Out<'_>) -> Result<()> {
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    let progress = ProgressBar::new_spinner().with_message("import");
    progress.enable_steady_tick(Duration::from_millis(100));
    // One after the other: a service that cannot be asked does not keep the others.
    for service in &services.0 {
        let (imported, failure) = all(service, retry, &progress).await;
        rows.push(imported);
        failures.extend(failure.map(|error| error.to_string()));
    }
    progress.finish_and_clear();
    if json {
        for row in &rows {
            writeln!(out, "{}", serde_json::to_string(row)?)?;
        }
    } else {
        let rows: Vec<_> = rows
            .into_iter()
            .map(|Imported { service, imported, known }| [service, imported.to_string(), known.to_string()])
            .collect();
        Table::new(["SERVICE", "IMPORTED", "KNOWN"]).write(out, &rows)?;
    }
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    Ok(())
}

/// Imports until there is no more, and says how far it came.
async fn all(service: &Service, retry: &RetryPolicy, progress: &ProgressBar) -> (Imported, Option<anyhow::Error>) {
    #[derive(Deserialize)]
    struct Some500 {
        imported: u64,
        known: u64,
        more: bool,
    }
    let mut all = Imported { service: service.name.clone(), ..Imported::default() };
    let mut attempts = 0;
    loop {
        match service.post::<Some500>(&["import"], &json!({})).await {
            Ok(Some(Some500 { imported, known, more })) => {
                attempts = 0;
                all.imported += imported;
                all.known += known;
                progress.set_message(format!("{}: {} imported", service.name, all.imported));
                // A service that takes nothing and says there is more would be asked for ever.
                if !more || imported + known == 0 {
                    return (all, None);
                }
            }
            Ok(None) => {
                return (all, Some(anyhow::anyhow!("{service} answers 404 Not Found: it does not know how to import")));
            }
            // Somebody else may be reading the letters: another instance, or another operator.
            Err(error) if error.is::<NotNow>() && attempts + 1 < retry.max_attempts => {
                attempts += 1;
                tokio::time::sleep(retry.pause(attempts)).await;
            }
            Err(error) => return (all, Some(error)),
        }
    }
}
