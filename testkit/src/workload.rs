//! Clients that create and delete over many keys, and remember what they were promised.
//!
//! Each key belongs to one client, which sends its next request only after the one before was accepted: the order of a
//! key is known. A request whose answer never comes is sent again with its `Idempotency-Key` until it is accepted; and
//! now and then a copy of a request that was accepted long ago is sent once more. Neither may do harm.

mod write;

use reqwest::{Client, RequestBuilder, Response, StatusCode};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
pub use write::{Ids, Write, recommendations, reviews, text};

/// How long a request may take until it is accepted, sent again and again: somewhat longer than several servers in a row
/// take to come back on a busy machine. It is there to end what would never end.
const ACCEPTED: Duration = Duration::from_secs(400);
/// How long to wait before a request is sent again: to one who said so, and where nobody was.
const REFUSED: Duration = Duration::from_millis(100);
const NOBODY: Duration = Duration::from_millis(10);

/// How many requests [`Clients::latest`] remembers.
const LATEST: usize = 200;

/// A key with its requests, in the order in which they were accepted.
#[derive(Debug)]
pub struct Key {
    /// Its product id.
    pub id: i32,
    /// What was accepted.
    pub requests: Vec<Request>,
}

/// A request that was accepted.
#[derive(Debug)]
pub struct Request {
    /// What it asks for.
    pub write: Write,
    /// How often it was answered with 202.
    pub accepted: u32,
    /// How often it was sent and nobody knows what came of it.
    pub unanswered: u32,
}

/// The clients at work.
#[derive(Debug)]
pub struct Clients {
    shared: Arc<Shared>,
    count: i32,
    tasks: JoinSet<Result<Vec<Key>, String>>,
    enough: CancellationToken,
}

/// What has happened so far.
#[derive(Debug, Default)]
struct Counts {
    answered: AtomicU64,
    unanswered: AtomicU64,
    refused: AtomicU64,
    under_way: AtomicU64,
    events: AtomicU64,
    /// The longest time that an answer took, in milliseconds.
    slowest: AtomicU64,
}

#[derive(Debug)]
struct Shared {
    http: Client,
    /// Where the composite service is; it moves.
    url: watch::Sender<String>,
    /// Why a client could not go on.
    trouble: watch::Sender<Option<String>>,
    latest: Mutex<VecDeque<(i32, Ids)>>,
    pause: Duration,
    counts: Counts,
}

impl Clients {
    /// Starts `count` clients of the composite service at `url`, which send through `http`.
    pub fn start(http: Client, count: u64, seed: u64, url: &str) -> Self {
        Self::unhurried(http, count, Duration::ZERO, seed, url)
    }

    /// Likewise clients that wait so long after each request that was accepted.
    pub fn unhurried(http: Client, count: u64, pause: Duration, seed: u64, url: &str) -> Self {
        let url = watch::Sender::new(url.to_owned());
        let (trouble, latest, counts) = Default::default();
        let shared = Arc::new(Shared { http, url, trouble, latest, pause, counts });
        let enough = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let count = i32::try_from(count).unwrap();
        for number in 0..count {
            // No client writes the keys of another.
            let ids = (1..).map(move |n| n * count + number);
            let random = Random(seed ^ (u64::from(number.unsigned_abs()) << 32));
            let (shared, enough) = (shared.clone(), enough.clone());
            tasks.spawn(async move {
                let worked = shared.work(ids, random, enough).await;
                if let Err(trouble) = &worked {
                    shared.trouble.send_replace(Some(trouble.clone()));
                }
                worked
            });
        }
        Self { shared, count, tasks, enough }
    }

    /// The landscape answers at another address from now on.
    pub fn go_on_at(&self, url: &str) {
        self.shared.url.send_replace(url.to_owned());
    }

    /// The keys that half of the requests are for: the first two of each client.
    pub fn hot(&self) -> Range<i32> {
        self.count..3 * self.count
    }

    /// How many requests were accepted so far.
    pub fn answered(&self) -> u64 {
        self.shared.counts.answered.load(Ordering::Relaxed)
    }

    /// How many requests broke off so far.
    pub fn unanswered(&self) -> u64 {
        self.shared.counts.unanswered.load(Ordering::Relaxed)
    }

    /// How many times a request was answered so far that it be sent again later.
    pub fn refused(&self) -> u64 {
        self.shared.counts.refused.load(Ordering::Relaxed)
    }

    /// How many requests have no answer now.
    pub fn under_way(&self) -> u64 {
        self.shared.counts.under_way.load(Ordering::Relaxed)
    }

    /// How many events the requests make that were accepted so far; those of a copy are the same.
    pub fn events(&self) -> u64 {
        self.shared.counts.events.load(Ordering::Relaxed)
    }

    /// The keys and ids of the events on `topic` of the requests that were accepted last.
    pub fn latest(&self, topic: &str) -> Vec<(i32, String)> {
        let latest = self.shared.latest.lock().unwrap();
        let events = |(key, ids): &(i32, Ids)| {
            let key = *key;
            ids.get(topic).cloned().unwrap_or_default().into_iter().map(move |id| (key, id))
        };
        latest.iter().flat_map(events).collect()
    }

    /// The longest time that any answer took so far.
    pub fn slowest(&self) -> Duration {
        Duration::from_millis(self.shared.counts.slowest.load(Ordering::Relaxed))
    }

    /// Resolves when a client was answered what nobody may be answered, or nothing for too long, and says so.
    pub fn trouble(&self) -> impl Future<Output = String> + use<> {
        let mut trouble = self.shared.trouble.subscribe();
        async move {
            match trouble.wait_for(Option::is_some).await.map(|trouble| trouble.clone()) {
                Ok(Some(trouble)) => trouble,
                _ => std::future::pending().await,
            }
        }
    }

    /// Creates the key `id`, which no client comes to, and returns when that is accepted. When it has taken effect, so
    /// has everything that was accepted before for its partition.
    pub async fn mark(&self, id: i32) -> Result<Key, String> {
        let mut key = Key { id, requests: Vec::new() };
        self.shared.next(&mut key).await?;
        Ok(key)
    }

    /// Waits until all clients have an answer to their last request; fails if one was in [`trouble`](Self::trouble).
    pub async fn finish(self) -> Result<Vec<Key>, String> {
        self.enough.cancel();
        let worked: Result<Vec<_>, _> = self.tasks.join_all().await.into_iter().collect();
        Ok(worked?.into_iter().flatten().collect())
    }
}

impl Shared {
    async fn work(
        &self,
        mut ids: impl Iterator<Item = i32>,
        mut random: Random,
        enough: CancellationToken,
    ) -> Result<Vec<Key>, String> {
        let mut new_key = || Key { id: ids.next().unwrap(), requests: Vec::new() };
        // The first two are hot; most others are created once and stay.
        let mut keys = vec![new_key(), new_key()];
        while !enough.is_cancelled() {
            match random.below(10) {
                0..5 => self.next(&mut keys[random.below(2)]).await?,
                5..8 => {
                    keys.push(new_key());
                    self.next(keys.last_mut().unwrap()).await?;
                }
                8 => {
                    let any = random.below(keys.len());
                    self.next(&mut keys[any]).await?;
                }
                _ => {
                    let any = random.below(keys.len());
                    let Key { id, requests } = &mut keys[any];
                    if !requests.is_empty() {
                        let copy = random.below(requests.len());
                        self.send(*id, &mut requests[copy]).await?;
                    }
                }
            }
        }
        keys.retain(|key| !key.requests.is_empty());
        Ok(keys)
    }

    /// Creates the next version of what is not there, deletes what is.
    async fn next(&self, key: &mut Key) -> Result<(), String> {
        let write = match key.requests.last().map(|request| request.write) {
            None => Write::Create { version: 1 },
            Some(Write::Create { version }) => Write::Delete { version },
            Some(Write::Delete { version }) => Write::Create { version: version + 1 },
        };
        let mut request = Request { write, accepted: 0, unanswered: 0 };
        self.send(key.id, &mut request).await?;
        self.counts.events.fetch_add(write.events(), Ordering::Relaxed);
        key.requests.push(request);
        let mut latest = self.latest.lock().unwrap();
        latest.truncate(LATEST - 1);
        latest.push_front((key.id, write.message_ids(key.id)));
        Ok(())
    }

    /// Sends the request until it is accepted.
    async fn send(&self, id: i32, request: &mut Request) -> Result<(), String> {
        let started = Instant::now();
        let (idempotency_key, body) = (request.write.idempotency_key(id), request.write.body(id));
        loop {
            let url = format!("{}/product-composite", *self.url.borrow());
            let sending = match &body {
                Some(body) => self.http.post(url).header("Content-Type", "application/json").body(body.clone()),
                None => self.http.delete(format!("{url}/{id}")),
            };
            let pause = match self.ask(sending.header("Idempotency-Key", &idempotency_key)).await {
                Ok(answer) if answer.status() == StatusCode::ACCEPTED => {
                    request.accepted += 1;
                    self.counts.answered.fetch_add(1, Ordering::Relaxed);
                    // A body that is not read would cost the connection.
                    let _ = answer.bytes().await;
                    tokio::time::sleep(self.pause).await;
                    return Ok(());
                }
                Ok(answer) if answer.status() == StatusCode::SERVICE_UNAVAILABLE => {
                    if !answer.headers().contains_key("Retry-After") {
                        return Err(format!(
                            "{:?} of {id} was refused, and not told when to come again",
                            request.write
                        ));
                    }
                    request.unanswered += 1;
                    self.counts.refused.fetch_add(1, Ordering::Relaxed);
                    let _ = answer.bytes().await;
                    REFUSED
                }
                Ok(answer) => {
                    let (status, said) = (answer.status(), answer.text().await.unwrap_or_default());
                    return Err(format!("{:?} of {id} was answered {status} {said}", request.write));
                }
                // Nobody there: it was not even sent.
                Err(error) if error.is_connect() => NOBODY,
                Err(_) => {
                    request.unanswered += 1;
                    self.counts.unanswered.fetch_add(1, Ordering::Relaxed);
                    NOBODY
                }
            };
            if started.elapsed() >= ACCEPTED {
                return Err(format!("{:?} of {id} was not accepted within {ACCEPTED:?}", request.write));
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn ask(&self, sending: RequestBuilder) -> reqwest::Result<Response> {
        let sent = Instant::now();
        self.counts.under_way.fetch_add(1, Ordering::Relaxed);
        let answer = sending.send().await;
        self.counts.under_way.fetch_sub(1, Ordering::Relaxed);
        if answer.is_ok() {
            let took = sent.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
            self.counts.slowest.fetch_max(took, Ordering::Relaxed);
        }
        answer
    }
}

/// SplitMix64: the same numbers for the same seed.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// A number from 0 to before `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_client_that_is_answered_what_nobody_may_be_says_so_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let broken = Router::new().fallback(|| async { (StatusCode::INTERNAL_SERVER_ERROR, "broken") });
        tokio::spawn(async { axum::serve(listener, broken).await });
        let clients = Clients::start(Client::builder().no_proxy().build().unwrap(), 2, 1, &url);
        let trouble = clients.trouble().await;
        assert!(trouble.ends_with("was answered 500 Internal Server Error broken"), "{trouble}");
        assert!(clients.mark(1).await.is_err());
    }
}
