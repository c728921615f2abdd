//! The wait for the last, and a look at each.

use super::fault::{Fault, Kind};
use super::plan::Plan;
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use std::pin::pin;
use std::time::{Duration, Instant};

/// The pause between two looks at what is late.
const PAUSE: Duration = Duration::from_millis(20);

/// What became of the accepted writes; what is not as it should be is among the faults.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// When all of them were visible, if they were.
    pub(super) visible_at: Option<Instant>,
    /// How many products were not as asked when the last ones were, and became so.
    pub(super) late: u64,
}

/// Waits until the `last` product of each connection is as it was asked for, then looks at each of all, from `first`.
///
/// The time taken is that of the last ones, since events are applied nearly in order; one that comes later moves it.
pub(super) async fn verify(plan: &Plan, first: i32, last: &[i32]) -> Verdict {
    let mut verdict = Verdict::default();
    let accepted_at = plan.meter.counts().accepted_at;
    let (Some(accepted_at), Some(newest)) = (accepted_at, last.iter().max()) else { return verdict };
    let deadline = accepted_at + plan.timeout;

    // The newest goes alone, so that many who look do not hold up what they look for.
    plan.until_visible(*newest, deadline).await;
    let visible = join_all(last.iter().map(|id| plan.until_visible(*id, deadline))).await;
    let visible: Option<Vec<Instant>> = visible.into_iter().collect();
    verdict.visible_at = visible.and_then(|all| all.into_iter().max());

    let products = plan.model().len();
    let progress = &plan.meter.progress;
    progress.reset();
    progress.set_length(products as u64);
    progress.set_message("verified");
    // The newest first: they are the likeliest to be late.
    let newest_first = (0..products).rev().map(|at| first + i32::try_from(at).unwrap_or(i32::MAX));
    let mut missing = look(plan, newest_first, || progress.inc(1)).await;
    verdict.visible_at.get_or_insert_with(Instant::now);

    while !missing.is_empty() && Instant::now() <= deadline {
        tokio::time::sleep(PAUSE).await;
        let before = missing.len();
        missing = look(plan, missing.into_iter(), || {}).await;
        if missing.len() < before {
            verdict.late += (before - missing.len()) as u64;
            verdict.visible_at = Some(Instant::now());
        }
    }
    if !missing.is_empty() {
        verdict.visible_at = None;
    }
    for id in missing {
        // The time is up: what is missing now is told with the last answer.
        let fault = match plan.look(id).await {
            Ok(shown) => plan.model().missing(id, &shown),
            Err(why) => Some(Fault::new(Kind::Lost, why)),
        };
        let fault = fault.and_then(|fault| plan.model().blame(id, fault));
        if let Some(fault) = fault {
            plan.meter.counts().faults.push(id, &fault);
        }
    }
    verdict
}

/// Looks at each of `ids` once, and gives back those that are not as they were asked for, and may still become so.
async fn look(plan: &Plan, ids: impl Iterator<Item = i32>, mut seen: impl FnMut()) -> Vec<i32> {
    let mut missing = Vec::new();
    let looks = stream::iter(ids).map(async |id| (id, plan.look(id).await));
    let mut looks = pin!(looks.buffer_unordered(plan.concurrency.into()));
    while let Some((id, look)) = looks.next().await {
        seen();
        let mut model = plan.model();
        let arrived = look.is_ok_and(|shown| model.missing(id, &shown).is_none());
        if !arrived && !model.is_blamed(id) {
            missing.push(id);
        }
    }
    missing
}
