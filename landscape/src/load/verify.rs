//! The wait for the last, and a look at each.

use super::Named;
use super::composite::Look;
use super::plan::Plan;
use super::writer::Written;
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use std::pin::pin;
use std::time::{Duration, Instant};

/// The pause between two looks at what is late.
const PAUSE: Duration = Duration::from_millis(20);

/// What became of the accepted composites.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// When all of them were visible, if they were.
    pub(super) visible_at: Option<Instant>,
    /// How many were not there when the last ones were, and came.
    pub(super) late: u64,
    /// Those that were not there in time.
    pub(super) lost: Named,
    /// Those that were there with something else than what was written.
    pub(super) wrong: Named,
}

/// Waits until the `last` composite of each connection is visible, then looks at each that was accepted.
///
/// The time taken is that of the last ones, since events are applied nearly in order; one that comes later moves it.
pub(super) async fn verify(plan: &Plan, written: &Written, last: &[i32]) -> Verdict {
    let mut verdict = Verdict::default();
    let (Some(accepted_at), Some(newest)) = (written.accepted_at, last.iter().max()) else { return verdict };
    let deadline = accepted_at + plan.timeout;

    // The newest goes alone, so that many who look do not hold up what they look for.
    plan.until_visible(*newest, deadline).await;
    let visible = join_all(last.iter().map(|id| plan.until_visible(*id, deadline))).await;
    let visible: Option<Vec<Instant>> = visible.into_iter().collect();
    verdict.visible_at = visible.and_then(|all| all.into_iter().max());

    plan.progress.reset();
    plan.progress.set_length(written.accepted.len() as u64);
    plan.progress.set_message("verified");
    // The newest first: they are the likeliest to be late.
    let mut newest_first = written.accepted.clone();
    newest_first.sort_unstable_by(|a, b| b.cmp(a));
    let mut missing = look(plan, newest_first, &mut verdict.wrong, |_| plan.progress.inc(1)).await;
    verdict.visible_at.get_or_insert_with(Instant::now);

    while !missing.is_empty() {
        tokio::time::sleep(PAUSE).await;
        // Before the looks, so that everything is looked at once more after the time is up.
        let over = Instant::now() > deadline;
        let ids = missing.into_iter().map(|(id, _)| id).collect();
        missing = look(plan, ids, &mut verdict.wrong, |look| {
            if *look == Look::Complete {
                verdict.late += 1;
                verdict.visible_at = Some(Instant::now());
            }
        })
        .await;
        if over {
            break;
        }
    }
    if !missing.is_empty() {
        verdict.visible_at = None;
    }
    for (id, why) in missing {
        verdict.lost.push(format!("product {id}: {why}"));
    }
    verdict
}

/// Looks at each of `ids` once, and gives back those that are not there, with what is missing.
async fn look(plan: &Plan, ids: Vec<i32>, wrong: &mut Named, mut seen: impl FnMut(&Look)) -> Vec<(i32, String)> {
    let mut missing = Vec::new();
    let looks = stream::iter(ids).map(async |id| (id, plan.look(id).await));
    let mut looks = pin!(looks.buffer_unordered(plan.concurrency.into()));
    while let Some((id, look)) = looks.next().await {
        seen(&look);
        match look {
            Look::Complete => {}
            Look::Incomplete(why) => missing.push((id, why)),
            Look::Wrong(why) => wrong.push(format!("product {id}: {why}")),
        }
    }
    missing
}
