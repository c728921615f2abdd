//! The POSTs of one connection.

use super::plan::{Plan, root};
use super::{Named, micros};
use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The pause before a refused composite is sent again.
const PAUSE: Duration = Duration::from_millis(100);

/// What was written; latencies in microseconds.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) accepted: Vec<i32>,
    /// When the last one was accepted.
    pub(super) accepted_at: Option<Instant>,
    /// How many POSTs were refused, and sent again.
    pub(super) refused: u64,
    pub(super) failed: Named,
    pub(super) post: Histogram<u64>,
    pub(super) visible: Histogram<u64>,
}

impl Written {
    pub(super) fn new() -> anyhow::Result<Self> {
        let histogram = Histogram::new(3)?;
        Ok(Self {
            accepted: Vec::new(),
            accepted_at: None,
            refused: 0,
            failed: Named::default(),
            post: histogram.clone(),
            visible: histogram,
        })
    }

    pub(super) fn add(&mut self, other: Self) -> anyhow::Result<()> {
        self.accepted.extend(other.accepted);
        self.accepted_at = self.accepted_at.max(other.accepted_at);
        self.refused += other.refused;
        self.failed.add(other.failed);
        self.post.add(other.post)?;
        self.visible.add(other.visible)?;
        Ok(())
    }
}

/// Writes one composite after the other until none is left.
pub(super) async fn write(plan: Arc<Plan>) -> anyhow::Result<Written> {
    let mut written = Written::new()?;
    let mut until_sample = plan.sample;
    while let Some(id) = plan.next() {
        match post(&plan, id, &mut written).await {
            Ok(accepted_at) => {
                written.accepted.push(id);
                written.accepted_at = Some(accepted_at);
                plan.progress.inc(1);
                until_sample -= 1;
                if until_sample == 0 {
                    until_sample = plan.sample;
                    if let Some(visible_at) = plan.until_visible(id, accepted_at + plan.timeout).await {
                        written.visible.record(micros(visible_at - accepted_at))?;
                    }
                }
            }
            Err(error) => {
                written.failed.push(format!("product {id}: {error:#}"));
                plan.failed();
            }
        }
    }
    Ok(written)
}

/// Sends a composite until it is accepted, and says when that was.
async fn post(plan: &Plan, id: i32, written: &mut Written) -> anyhow::Result<Instant> {
    let body = plan.shape.body(id);
    let first = Instant::now();
    loop {
        let request = plan.client.post(plan.url.clone()).header(CONTENT_TYPE, "application/json").body(body.clone());
        let sent_at = Instant::now();
        let answer = request.send().await.map_err(|error| anyhow::anyhow!("POST fails: {}", root(&error)))?;
        let answered_at = Instant::now();
        let status = answer.status();
        // A body that is not read would cost the connection.
        let said = answer.text().await.context("POST was answered in part")?;
        match status {
            StatusCode::ACCEPTED => {
                written.post.record(micros(answered_at - sent_at))?;
                return Ok(answered_at);
            }
            StatusCode::SERVICE_UNAVAILABLE if first.elapsed() < plan.timeout => {
                written.refused += 1;
                tokio::time::sleep(PAUSE).await;
            }
            status => bail!("POST answers {status} {said}"),
        }
    }
}
