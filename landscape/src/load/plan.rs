//! What all connections share: the model, the pace, the counts, and how the landscape is asked.

use super::LoadArgs;
use super::composite::{Shape, Shown};
use super::fault::Fault;
use super::meter::Meter;
use super::model::{Model, Task, Write, present, version};
use super::pace::Pace;
use anyhow::{Context, Result, bail};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// After so many failures there is nothing left to measure.
const MOST_FAILURES: u64 = 100;
/// The pause before a refused request is sent again, where the refusal names none.
const PAUSE: Duration = Duration::from_millis(100);
/// The parts of a composite that could not be read, as our landscape names them.
const MISSING_PARTS: &str = "x-missing-parts";

#[derive(Debug)]
pub(super) struct Plan {
    client: Client,
    url: Url,
    shape: Shape,
    pub(super) concurrency: u16,
    /// Every which composite of a connection is watched until it is visible.
    pub(super) sample: u32,
    /// Whether requests come at their times, whatever becomes of those before.
    pub(super) paced: bool,
    pub(super) timeout: Duration,
    pub(super) meter: Meter,
    model: Mutex<Model>,
    pace: Pace,
    /// Makes the keys of this run unlike those of any other.
    nonce: u64,
}

impl Plan {
    pub(super) fn new(args: &LoadArgs, first_id: i32) -> Result<Self> {
        let timeout = Duration::from_secs(args.timeout.into());
        // A proxy would be measured instead of the landscape.
        let client = Client::builder().no_proxy().pool_max_idle_per_host(args.concurrency.into()).timeout(timeout);
        let url = Url::parse(&format!("{}/product-composite", args.url.as_str().trim_end_matches('/')))?;
        let shape = Shape { run: first_id, recommendations: args.recommendations, reviews: args.reviews };
        let composites = args.products.unsigned_abs();
        Ok(Self {
            client: client.build()?,
            url,
            shape,
            concurrency: args.concurrency,
            sample: args.sample.unwrap_or(if args.concurrency == 1 { 1 } else { 50 }),
            paced: args.rate.is_some(),
            timeout,
            meter: Meter::new(composites.into())?,
            model: Mutex::new(Model::new(shape, composites, args.mix, args.duplicate)),
            pace: Pace::new(args.rate),
            nonce: fastrand::u64(..),
        })
    }

    pub(super) fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next request and since when it is due, when that has come; none at the end, and when nothing works.
    pub(super) async fn next(&self) -> Option<(Task, Instant)> {
        let turn = self.pace.turn(|| self.model().is_done()).await;
        if self.meter.counts().failed.count >= MOST_FAILURES {
            self.model().stop();
        }
        Some((self.model().next()?, turn.due))
    }

    /// Refuses to write what is there already, since that would be visible before it is written.
    pub(super) async fn check_free(&self, products: i32) -> Result<()> {
        for id in [self.shape.run, self.shape.run + (products - 1)] {
            match self.get(id).await.map(|answer| answer.status()) {
                Ok(StatusCode::NOT_FOUND) => {}
                Ok(StatusCode::OK) => bail!("product {id} is there already: choose another --first-id"),
                Ok(status) => bail!("{}/{id} answers {status}: is this a composite service?", self.url),
                Err(error) => bail!("{} cannot be reached: {}. Is the landscape running?", self.url, root(&error)),
            }
        }
        Ok(())
    }

    /// Sends a write until it is accepted, and says when that was. All tries are one request, known by its key.
    pub(super) async fn send(&self, Write { id, step, .. }: Write) -> Result<Instant> {
        let key = format!("load-{:x}-{id}-{step}", self.nonce);
        let body = if present(step) { Some(self.shape.body(id, version(step))) } else { None };
        let first = Instant::now();
        loop {
            let request = match body.clone() {
                Some(body) => self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json").body(body),
                None => self.client.delete(format!("{}/{id}", self.url)),
            };
            let sent = request.header("idempotency-key", &key).send().await;
            let refused = match &sent {
                Ok(answer) => answer.status() == StatusCode::SERVICE_UNAVAILABLE,
                // Nobody was there to take it.
                Err(error) => error.is_connect(),
            };
            let pause = sent.as_ref().ok().and_then(retry_after).unwrap_or(PAUSE);
            if refused && first.elapsed() + pause < self.timeout {
                self.meter.counts().refused += 1;
                tokio::time::sleep(pause).await;
                continue;
            }
            return accepted(sent, if body.is_some() { "POST" } else { "DELETE" }).await;
        }
    }

    /// Looks once at a product; nothing where the answer says nothing of it. What breaks a promise is counted.
    pub(super) async fn look(&self, id: i32) -> Result<Shown, String> {
        let before = self.model().known(id);
        let shown = self.shown(id).await?;
        let mut model = self.model();
        if let Some(fault) = model.saw(id, before, &shown) {
            self.meter.counts().faults.push(id, &fault);
        }
        shown.map_err(|fault| fault.sentence)
    }

    async fn shown(&self, id: i32) -> Result<Result<Shown, Fault>, String> {
        let failed = |error: reqwest::Error| format!("GET fails: {}", root(&error));
        let answer = self.get(id).await.map_err(failed)?;
        match answer.status() {
            StatusCode::OK if answer.headers().contains_key(MISSING_PARTS) => {
                Err(format!("GET answers without {:?}", answer.headers()[MISSING_PARTS]))
            }
            StatusCode::OK => {
                let body = answer.bytes().await.map_err(failed)?;
                let newest = self.model().newest(id);
                Ok(self.shape.read(id, newest, &body))
            }
            status => {
                // A body that is not read would cost the connection.
                let body = answer.text().await.map_err(failed)?;
                if status == StatusCode::NOT_FOUND {
                    Ok(Ok(Shown::Gone))
                } else {
                    Err(format!("GET answers {status} {body}"))
                }
            }
        }
    }

    /// Looks until everything that was asked for last is visible, and says when that was; gives up at `deadline`, or
    /// when it never will be.
    pub(super) async fn until_visible(&self, id: i32, deadline: Instant) -> Option<Instant> {
        let since = Instant::now();
        loop {
            let look = self.look(id).await;
            let now = Instant::now();
            if look.as_ref().is_ok_and(|shown| self.model().missing(id, shown).is_none()) {
                return Some(now);
            }
            if now > deadline || self.model().is_blamed(id) {
                return None;
            }
            // The pause grows with the wait: looking costs little of what it measures, and is hardly ever late by more
            // than a sixteenth.
            let pause = (now - since) / 16;
            tokio::time::sleep(pause.clamp(Duration::from_millis(1), Duration::from_millis(10))).await;
        }
    }

    async fn get(&self, id: i32) -> reqwest::Result<Response> {
        self.client.get(format!("{}/{id}", self.url)).send().await
    }
}

async fn accepted(sent: reqwest::Result<Response>, method: &str) -> Result<Instant> {
    let answer = sent.map_err(|error| anyhow::anyhow!("{method} fails: {}", root(&error)))?;
    let answered_at = Instant::now();
    let status = answer.status();
    // A body that is not read would cost the connection.
    let said = answer.text().await.with_context(|| format!("{method} was answered in part"))?;
    match status {
        // The first editions of the Java landscape answer 200.
        StatusCode::ACCEPTED | StatusCode::OK => Ok(answered_at),
        status => bail!("{method} answers {status} {said}"),
    }
}

/// The pause that a refusal asks for, in seconds.
fn retry_after(answer: &Response) -> Option<Duration> {
    answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// The innermost reason, which is the one that helps.
pub(super) fn root(error: &dyn Error) -> &dyn Error {
    error.source().map_or(error, root)
}
