//! The requests of one connection.

use super::model::{Task, Write, present};
use super::plan::Plan;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinSet;

/// Takes one task after the other until none is left, and returns the product that was written last.
pub(super) async fn work(plan: Arc<Plan>) -> Option<i32> {
    let (mut last, mut since_watched) = (None, 0);
    let mut watches = JoinSet::new();
    while let Some((task, due)) = plan.next().await {
        let write = match task {
            Task::Read(id) => {
                read(&plan, id, due).await;
                continue;
            }
            Task::Write(write) => write,
        };
        let Some(accepted_at) = send(&plan, write, due).await else {
            plan.model().settle(write.id, true);
            continue;
        };
        last = Some(write.id);
        since_watched += 1;
        // Where requests come at their times, a watch does not hold them up; one at a time is enough.
        while watches.try_join_next().is_some() {}
        if since_watched < plan.sample || !watches.is_empty() {
            plan.model().settle(write.id, false);
            continue;
        }
        watches.spawn(watch(plan.clone(), write.id, accepted_at, std::mem::take(&mut since_watched).into()));
        if !plan.paced {
            watches.join_next().await;
        }
    }
    watches.join_all().await;
    last
}

/// Sends a write, behind it perhaps the one before once more, and says when it was accepted.
async fn send(plan: &Plan, write: Write, due: Instant) -> Option<Instant> {
    let failed = |error: anyhow::Error| {
        plan.meter.counts().failed.push(format!("product {}: {error:#}", write.id));
    };
    let accepted_at = plan.send(write).await.map_err(&failed).ok()?;
    {
        let mut counts = plan.meter.counts();
        let series = if present(write.step) { &mut counts.creates } else { &mut counts.deletes };
        series.add(1, accepted_at - due);
        counts.accepted_at = counts.accepted_at.max(Some(accepted_at));
    }
    if present(write.step) {
        plan.meter.progress.inc(1);
    }
    if let Some(step) = write.repeated {
        match plan.send(Write { step, ..write }).await {
            Ok(_) => plan.meter.counts().repeated += 1,
            Err(error) => failed(error.context("repeated after the next one was accepted")),
        }
    }
    Some(accepted_at)
}

async fn read(plan: &Plan, id: i32, due: Instant) {
    let unanswered = plan.look(id).await;
    let mut counts = plan.meter.counts();
    match unanswered {
        Ok(_) => counts.reads.add(1, due.elapsed()),
        Err(why) => counts.unanswered.push(format!("product {id}: {why}")),
    }
}

/// Watches an accepted write until it is visible. Nobody else writes the product meanwhile.
async fn watch(plan: Arc<Plan>, id: i32, accepted_at: Instant, stands_for: u64) {
    if let Some(visible_at) = plan.until_visible(id, accepted_at + plan.timeout).await {
        plan.meter.counts().visible.add(stands_for, visible_at - accepted_at);
    }
    plan.model().settle(id, false);
}
