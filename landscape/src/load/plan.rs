//! What all connections share: the next id to write, and looks at what was written.

use super::LoadArgs;
use super::composite::{Look, Shape};
use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{Client, StatusCode, Url};
use std::error::Error;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// After so many failures there is nothing left to measure.
const MOST_FAILURES: u32 = 100;

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) client: Client,
    pub(super) url: Url,
    pub(super) shape: Shape,
    pub(super) products: i32,
    pub(super) concurrency: u16,
    /// Every which composite of a connection is watched until it is visible.
    pub(super) sample: u32,
    pub(super) timeout: Duration,
    pub(super) progress: ProgressBar,
    next: AtomicI32,
    failures: AtomicU32,
}

impl Plan {
    pub(super) fn new(args: &LoadArgs, first_id: i32) -> anyhow::Result<Self> {
        let timeout = Duration::from_secs(args.timeout.into());
        // A proxy would be measured instead of the landscape.
        let client = Client::builder().no_proxy().pool_max_idle_per_host(args.concurrency.into()).timeout(timeout);
        let url = Url::parse(&format!("{}/product-composite", args.url.as_str().trim_end_matches('/')))?;
        let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}")?;
        Ok(Self {
            client: client.build()?,
            url,
            shape: Shape { run: first_id, recommendations: args.recommendations, reviews: args.reviews },
            products: args.products,
            concurrency: args.concurrency,
            sample: args.sample.unwrap_or(if args.concurrency == 1 { 1 } else { 50 }),
            timeout,
            progress: ProgressBar::new(u64::try_from(args.products)?).with_style(style).with_message("accepted"),
            next: AtomicI32::new(0),
            failures: AtomicU32::new(0),
        })
    }

    /// The next id that nobody has written yet; none at the end, and when nothing works.
    pub(super) fn next(&self) -> Option<i32> {
        if self.failures.load(Ordering::Relaxed) >= MOST_FAILURES {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < self.products).then(|| self.shape.run + number)
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Refuses to write what is there already, since that would be visible before it is written.
    pub(super) async fn check_free(&self) -> anyhow::Result<()> {
        for id in [self.shape.run, self.shape.run + (self.products - 1)] {
            match self.get(id).await {
                Ok((StatusCode::NOT_FOUND, _)) => {}
                Ok((StatusCode::OK, _)) => bail!("product {id} is there already: choose another --first-id"),
                Ok((status, _)) => bail!("{}/{id} answers {status}: is this a composite service?", self.url),
                Err(error) => bail!("{} cannot be reached: {}. Is the landscape running?", self.url, root(&error)),
            }
        }
        Ok(())
    }

    /// Looks once.
    pub(super) async fn look(&self, id: i32) -> Look {
        match self.get(id).await {
            Ok((StatusCode::OK, answer)) => self.shape.look(id, &answer),
            Ok((status, _)) => Look::Incomplete(format!("GET answers {status}")),
            Err(error) => Look::Incomplete(format!("GET fails: {}", root(&error))),
        }
    }

    /// Looks until the composite is complete and says when that was; gives up at `deadline`, or when it is wrong.
    pub(super) async fn until_visible(&self, id: i32, deadline: Instant) -> Option<Instant> {
        let since = Instant::now();
        loop {
            let look = self.look(id).await;
            let now = Instant::now();
            match look {
                Look::Complete => return Some(now),
                Look::Wrong(_) => return None,
                Look::Incomplete(_) if now > deadline => return None,
                // The pause grows with the wait: looking costs little of what it measures, and is hardly ever late by
                // more than a sixteenth.
                Look::Incomplete(_) => {
                    let pause = (now - since) / 16;
                    tokio::time::sleep(pause.clamp(Duration::from_millis(1), Duration::from_millis(10))).await;
                }
            }
        }
    }

    async fn get(&self, id: i32) -> reqwest::Result<(StatusCode, Vec<u8>)> {
        let answer = self.client.get(format!("{}/{id}", self.url)).send().await?;
        Ok((answer.status(), answer.bytes().await?.into()))
    }
}

/// The innermost reason, which is the one that helps.
pub(super) fn root(error: &dyn Error) -> &dyn Error {
    error.source().map_or(error, root)
}
