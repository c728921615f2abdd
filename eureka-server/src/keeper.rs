//! What the registry does by itself: evicts, forgets old changes, counts anew, keeps a snapshot.

use crate::directory::Directory;
use crate::snapshot;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often a snapshot is written where something changed.
const SNAPSHOT: Duration = Duration::from_secs(1);

/// Keeps the registry until `stop`.
pub async fn keep(directory: Arc<Directory>, stop: CancellationToken) {
    let settings = &directory.settings;
    let every = |period: Duration| {
        let mut ticks = interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    };
    let (mut evictions, mut sweeps) = (every(settings.eviction_interval), every(settings.delta_sweep));
    let (mut recounts, mut snapshots) = (every(settings.recount), every(SNAPSHOT));
    let (mut evicted_at, mut saved) = (directory.now(), None);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = evictions.tick() => {
                let now = directory.now();
                evict(&directory, now - evicted_at, now);
                evicted_at = now;
            }
            _ = sweeps.tick() => directory.table().sweep(directory.now()),
            _ = recounts.tick() => directory.table().recount(),
            _ = snapshots.tick(), if settings.snapshot.is_some() => save(&directory, &mut saved).await,
        }
    }
    save(&directory, &mut saved).await;
}

/// `passed` is how long ago the eviction before was.
fn evict(directory: &Directory, passed: i64, now: i64) {
    let planned = i64::try_from(directory.settings.eviction_interval.as_millis()).unwrap_or(i64::MAX);
    // Whom it hits is left to chance, so that no application loses all its instances at once.
    let by_chance = |over: &mut Vec<(String, String)>| over.sort_by_cached_key(|_| fastrand::u64(..));
    let evicted = directory.table().evict((passed - planned).max(0), now, by_chance);
    for (app, id) in evicted {
        info!(app, id, "evicted: its lease is over");
    }
}

/// Writes the snapshot, if there is something new to write. That it cannot be written is said once.
async fn save(directory: &Arc<Directory>, saved: &mut Option<Result<u64, ()>>) {
    let Some(file) = directory.settings.snapshot.clone() else { return };
    let version = directory.table().version();
    if *saved == Some(Ok(version)) {
        return;
    }
    let kept = Arc::clone(directory);
    let written = tokio::task::spawn_blocking(move || snapshot::write(&kept, &file)).await;
    let now = match written {
        Ok(Ok(())) => Ok(version),
        Ok(Err(error)) if *saved != Some(Err(())) => {
            warn!(error = format!("{error:#}"), "the snapshot cannot be written; this is tried until it works");
            Err(())
        }
        _ => Err(()),
    };
    *saved = Some(now);
}
