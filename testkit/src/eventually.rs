//! Waiting for what happens elsewhere: asked again and again until it is so, and never slept for.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks until `look` finds something, and returns it. Fails the test after `deadline`, saying what was last seen
/// instead of `what`.
pub async fn eventually<T, S: Display>(
    deadline: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, S>,
) -> T {
    let start = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if start.elapsed() > deadline => panic!("not within {deadline:?}: {what}; there is {seen}"),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
