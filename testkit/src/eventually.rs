//! Waiting for what happens elsewhere: asked again and again until it is so, and never slept for.

use anyhow::bail;
use std::fmt::Display;
use std::time::{Duration, Instant};

/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks until `look` finds something, and returns it. Fails the test after `deadline`, saying what was last seen
/// instead of `what`.
pub async fn eventually<T, S: Display>(deadline: Duration, what: &str, look: impl AsyncFnMut() -> Result<T, S>) -> T {
    within(deadline, what, look).await.unwrap_or_else(|late| panic!("{late}"))
}

/// Likewise for who has something to do when it does not come.
pub async fn within<T, S: Display>(
    deadline: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, S>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(seen) if start.elapsed() > deadline => bail!("not within {deadline:?}: {what}; there is {seen}"),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
