//! Several registries as one: who answers is asked again, who fails is left alone for a while.

use super::address::{ServerUrls, shown};
use super::around;
use crate::discovery::wire::read::Rooted;
use crate::discovery::wire::{Applications, Instance};
use anyhow::{Context, bail, ensure};
use flate2::read::GzDecoder;
use http::{StatusCode, header};
use reqwest::{Client, RequestBuilder, Response, Url};
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::Read;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a connection and an answer may take.
const CONNECT: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(5);
/// How long one registry is asked over the same connections. Then any of them is taken, and its name is resolved anew:
/// so registries that were added or moved get their share.
const SESSION: Duration = Duration::from_secs(300);
/// How many registries one call tries, as in the original.
const TRIES: usize = 3;
/// The largest body that is read, compressed or not, in bytes.
const LARGEST: usize = 64 << 20;

/// The registries of one `EUREKA_URL`.
#[derive(Debug)]
pub(super) struct Servers {
    urls: ServerUrls,
    session: Mutex<Session>,
}

#[derive(Debug)]
struct Session {
    client: Client,
    ends: Instant,
    /// The one to ask: any at first, later the one that answered last.
    good: Option<usize>,
    failed: BTreeSet<usize>,
}

/// No registry did what was asked.
#[derive(Debug, thiserror::Error)]
#[error("{said}")]
pub(super) struct Unanswered {
    said: String,
    /// Whether one of them answered at all.
    pub(super) answered: bool,
}

struct Answer {
    status: StatusCode,
    body: Vec<u8>,
}

impl Servers {
    pub(super) fn new(urls: &ServerUrls) -> anyhow::Result<Self> {
        let session = Session::begin(urls.0.len()).context("there is no HTTP client")?;
        Ok(Self { urls: urls.clone(), session: Mutex::new(session) })
    }

    /// Reads the whole registry.
    pub(super) async fn all(&self) -> Result<Applications, Unanswered> {
        self.call(|client, url| fetch(client, url, &["apps", ""]), Answer::applications).await
    }

    /// Reads what changed. A registry that does not tell that, or not yet, has nothing to say.
    pub(super) async fn changes(&self) -> Result<Option<Applications>, Unanswered> {
        let read = |answer: Answer| match answer.status {
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Ok(None),
            _ => answer.applications().map(Some),
        };
        self.call(|client, url| fetch(client, url, &["apps", "delta"]), read).await
    }

    /// Registers `instance`.
    pub(super) async fn register(&self, instance: &Instance) -> Result<(), Unanswered> {
        #[derive(Serialize)]
        struct Body<'a> {
            instance: &'a Instance,
        }
        let request =
            |client: &Client, url: &Url| client.post(at(url, &["apps", &instance.app])).json(&Body { instance });
        let read = |answer: Answer| match answer.status {
            // The original takes no other success for one.
            StatusCode::NO_CONTENT => Ok(()),
            _ => answer.refused(),
        };
        self.call(request, read).await
    }

    /// Renews `instance`, and tells whether the registry knows it.
    pub(super) async fn renew(&self, instance: &Instance) -> Result<bool, Unanswered> {
        let dirty = instance.last_dirty.to_string();
        let request = |client: &Client, url: &Url| {
            let query = [("status", instance.status.name()), ("lastDirtyTimestamp", &dirty)];
            let mut url = at(url, &["apps", &instance.app, instance.id()]);
            url.query_pairs_mut().extend_pairs(query);
            client.put(url)
        };
        let read = |answer: Answer| match answer.status {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => answer.refused(),
        };
        self.call(request, read).await
    }

    /// Cancels `instance`. Whatever a registry says to that, nobody can do more.
    pub(super) async fn cancel(&self, instance: &Instance) -> Result<(), Unanswered> {
        let request = |client: &Client, url: &Url| client.delete(at(url, &["apps", &instance.app, instance.id()]));
        self.call(request, |_| Ok(())).await
    }

    /// Asks one registry after the other until `read` can make something of an answer.
    async fn call<T>(
        &self,
        request: impl Fn(&Client, &Url) -> RequestBuilder,
        read: impl Fn(Answer) -> anyhow::Result<T>,
    ) -> Result<T, Unanswered> {
        let (mut tried, mut said, mut answered) = (BTreeSet::new(), Vec::new(), false);
        while tried.len() < TRIES
            && let Some((server, client)) = self.pick(&tried)
        {
            let url = &self.urls.0[server];
            let asked = ask(request(&client, url)).await;
            answered |= asked.is_ok();
            match asked.and_then(&read) {
                Ok(read) => {
                    self.session().good(server);
                    return Ok(read);
                }
                Err(error) => said.push(format!("{}: {error:#}", shown(url))),
            }
            self.session().failed(server, self.urls.0.len());
            tried.insert(server);
        }
        Err(Unanswered { said: said.join("; "), answered })
    }

    /// The one that answered last, else any of those that did not fail, else any.
    fn pick(&self, tried: &BTreeSet<usize>) -> Option<(usize, Client)> {
        let mut session = self.session();
        if session.ends <= Instant::now()
            && let Ok(next) = Session::begin(self.urls.0.len())
        {
            *session = next;
        }
        let untried = || (0..self.urls.0.len()).filter(|server| !tried.contains(server));
        let good = session.good.filter(|good| !tried.contains(good));
        let healthy = || any(untried().filter(|server| !session.failed.contains(server)));
        let server = good.or_else(healthy).or_else(|| any(untried()))?;
        Some((server, session.client.clone()))
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn begin(servers: usize) -> reqwest::Result<Self> {
        // The registries stand on this network: a proxy for the way out of it does not know them.
        let client = Client::builder().no_proxy().connect_timeout(CONNECT).timeout(ANSWER).build()?;
        // One for all calls: what is registered there is also read there.
        let good = any(0..servers);
        Ok(Self { client, ends: Instant::now() + around(SESSION), good, failed: BTreeSet::new() })
    }

    fn good(&mut self, server: usize) {
        self.failed.remove(&server);
        self.good = Some(server);
    }

    /// Leaves `server` alone, until two thirds of all have failed: then the fault is not theirs.
    fn failed(&mut self, server: usize, all: usize) {
        self.failed.insert(server);
        self.good = self.good.filter(|good| *good != server);
        if self.failed.len() * 3 >= all * 2 {
            self.failed.clear();
        }
    }
}

impl Answer {
    fn applications(self) -> anyhow::Result<Applications> {
        match self.status {
            StatusCode::OK => {
                let read: Rooted<Applications> = serde_json::from_slice(&self.body).context("no applications")?;
                Ok(read.instance)
            }
            _ => self.refused(),
        }
    }

    fn refused<T>(self) -> anyhow::Result<T> {
        let reason: String = String::from_utf8_lossy(&self.body).chars().take(200).collect();
        bail!("{} {reason:?}", self.status)
    }
}

fn fetch(client: &Client, url: &Url, path: &[&str]) -> RequestBuilder {
    let request = client.get(at(url, path)).header(header::ACCEPT, "application/json");
    request.header(header::ACCEPT_ENCODING, "gzip")
}

/// `path` below `url`, each part escaped.
fn at(url: &Url, path: &[&str]) -> Url {
    let mut url = url.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.extend(path);
    }
    url
}

async fn ask(request: RequestBuilder) -> anyhow::Result<Answer> {
    let response = request.send().await.map_err(reqwest::Error::without_url)?;
    Ok(Answer { status: response.status(), body: body(response).await? })
}

async fn body(mut response: Response) -> anyhow::Result<Vec<u8>> {
    let compressed = response.headers().get(header::CONTENT_ENCODING).is_some_and(|it| it == "gzip");
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(reqwest::Error::without_url)? {
        ensure!(body.len() + chunk.len() <= LARGEST, "the answer is larger than {LARGEST} bytes");
        body.extend_from_slice(&chunk);
    }
    if !compressed {
        return Ok(body);
    }
    let mut plain = Vec::new();
    GzDecoder::new(&*body).take(LARGEST as u64 + 1).read_to_end(&mut plain).context("no gzip")?;
    ensure!(plain.len() <= LARGEST, "the answer is larger than {LARGEST} bytes");
    Ok(plain)
}

/// Any of them.
fn any(servers: impl Iterator<Item = usize>) -> Option<usize> {
    servers.min_by_key(|_| fastrand::u64(..))
}
