//! Clients that create and delete over many keys, and remember what they were promised.
//!
//! Each key belongs to one client, which sends its next request only after the one before was accepted: the order of a
//! key is known. A request whose answer never comes is sent again with its `Idempotency-Key` until it is accepted; and
//! now and then a copy of a request that was accepted long ago is sent once more. Neither may do harm.

use crate::process::{SOON, client};
use reqwest::{Client, StatusCode};
use serde_json::json;
use shared::messaging::ids::MessageIds;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A key with its requests, in the order in which they were accepted.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) id: i32,
    pub(crate) requests: Vec<Request>,
}

/// A request that was accepted.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) write: Write,
    /// How often it was answered with 202.
    pub(crate) accepted: u32,
    /// How often it was sent and nobody knows what came of it.
    pub(crate) unanswered: u32,
}

/// What a request asks for. A key has a new version whenever it is created.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Write {
    Create { version: u32 },
    Delete { version: u32 },
}

/// How many recommendations and reviews a version has: the next one has others.
pub(crate) fn recommendations(version: u32) -> u32 {
    version % 3
}

pub(crate) fn reviews(version: u32) -> u32 {
    (version + 1) % 4
}

/// The text that names a version, in the product and in each of its parts.
pub(crate) fn text(version: u32) -> String {
    format!("v{version}")
}

impl Write {
    fn idempotency_key(self, id: i32) -> String {
        format!("{id} {self:?}")
    }

    fn body(self, id: i32) -> Option<String> {
        let Self::Create { version } = self else { return None };
        let text = text(version);
        let recommendations: Vec<_> = (1..=recommendations(version))
            .map(|number| json!({"recommendationId": number, "author": "a", "rate": 1, "content": text}))
            .collect();
        let reviews: Vec<_> = (1..=reviews(version))
            .map(|number| json!({"reviewId": number, "author": "a", "subject": "s", "content": text}))
            .collect();
        let body = json!({
            "productId": id, "name": text, "weight": version, "recommendations": recommendations, "reviews": reviews
        });
        Some(body.to_string())
    }

    /// The ids that its messages have, by topic.
    pub(crate) fn message_ids(self, id: i32) -> BTreeMap<&'static str, Vec<String>> {
        let key = self.idempotency_key(id);
        let (ids, counts) = match self {
            Self::Create { version } => {
                let body = self.body(id).unwrap();
                let ids = MessageIds::of_request(&key, "POST", "/product-composite", body.as_bytes());
                (ids, [1, recommendations(version), reviews(version)])
            }
            Self::Delete { .. } => {
                let ids = MessageIds::of_request(&key, "DELETE", &format!("/product-composite/{id}"), b"");
                (ids, [1, 1, 1])
            }
        };
        let mut positions = 0..;
        ["products", "recommendations", "reviews"]
            .into_iter()
            .zip(counts)
            .map(|(topic, count)| {
                (topic, positions.by_ref().take(count as usize).map(|at| ids.id(topic, at)).collect())
            })
            .collect()
    }
}

/// The clients at work.
pub(crate) struct Clients {
    shared: Arc<Shared>,
    tasks: JoinSet<Vec<Key>>,
    enough: CancellationToken,
}

struct Shared {
    http: Client,
    /// Where the composite service is; it moves.
    url: watch::Sender<String>,
    answered: AtomicU64,
    unanswered: AtomicU64,
}

impl Clients {
    pub(crate) fn start(count: u64, seed: u64, url: &str) -> Self {
        let (answered, unanswered) = (AtomicU64::new(0), AtomicU64::new(0));
        let url = watch::Sender::new(url.to_owned());
        let shared = Arc::new(Shared { http: client(), url, answered, unanswered });
        let enough = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for number in 0..count {
            // No client writes the keys of another.
            let ids = (1..).map(move |n| n * i32::try_from(count).unwrap() + i32::try_from(number).unwrap());
            let random = Random(seed ^ (number << 32));
            tasks.spawn(shared.clone().work(ids, random, enough.clone()));
        }
        Self { shared, tasks, enough }
    }

    /// The landscape answers at another address from now on.
    pub(crate) fn go_on_at(&self, url: &str) {
        self.shared.url.send_replace(url.to_owned());
    }

    /// How many requests were answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// How many requests broke off so far.
    pub(crate) fn unanswered(&self) -> u64 {
        self.shared.unanswered.load(Ordering::Relaxed)
    }

    /// Waits until all clients have an answer to their last request.
    pub(crate) async fn finish(self) -> Vec<Key> {
        self.enough.cancel();
        self.tasks.join_all().await.into_iter().flatten().collect()
    }
}

impl Shared {
    async fn work(
        self: Arc<Self>,
        mut ids: impl Iterator<Item = i32>,
        mut random: Random,
        enough: CancellationToken,
    ) -> Vec<Key> {
        let mut new_key = || Key { id: ids.next().unwrap(), requests: Vec::new() };
        // The first two are hot; most others are created once and stay.
        let mut keys = vec![new_key(), new_key()];
        while !enough.is_cancelled() {
            match random.below(10) {
                0..5 => self.next(&mut keys[random.below(2)]).await,
                5..8 => {
                    keys.push(new_key());
                    self.next(keys.last_mut().unwrap()).await;
                }
                8 => {
                    let any = random.below(keys.len());
                    self.next(&mut keys[any]).await;
                }
                _ => {
                    let any = random.below(keys.len());
                    let Key { id, requests } = &mut keys[any];
                    if !requests.is_empty() {
                        let copy = random.below(requests.len());
                        self.send(*id, &mut requests[copy]).await;
                    }
                }
            }
        }
        keys.retain(|key| !key.requests.is_empty());
        keys
    }

    /// Creates the next version of what is not there, deletes what is.
    async fn next(&self, key: &mut Key) {
        let write = match key.requests.last().map(|request| request.write) {
            None => Write::Create { version: 1 },
            Some(Write::Create { version }) => Write::Delete { version },
            Some(Write::Delete { version }) => Write::Create { version: version + 1 },
        };
        let mut request = Request { write, accepted: 0, unanswered: 0 };
        self.send(key.id, &mut request).await;
        key.requests.push(request);
    }

    /// Sends the request until it is accepted.
    async fn send(&self, id: i32, request: &mut Request) {
        let started = Instant::now();
        let (idempotency_key, body) = (request.write.idempotency_key(id), request.write.body(id));
        loop {
            let url = format!("{}/product-composite", *self.url.borrow());
            let sending = match &body {
                Some(body) => self.http.post(url).header("Content-Type", "application/json").body(body.clone()),
                None => self.http.delete(format!("{url}/{id}")),
            };
            match sending.header("Idempotency-Key", &idempotency_key).send().await {
                Ok(answer) if answer.status() == StatusCode::ACCEPTED => {
                    request.accepted += 1;
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    // A body that is not read would cost the connection.
                    let _ = answer.bytes().await;
                    return;
                }
                Ok(answer) if answer.status() == StatusCode::SERVICE_UNAVAILABLE => request.unanswered += 1,
                Ok(answer) => panic!("{:?} of {id} was answered {answer:?}", request.write),
                // Nobody there: it was not even sent.
                Err(error) if error.is_connect() => {}
                Err(_) => {
                    request.unanswered += 1;
                    self.unanswered.fetch_add(1, Ordering::Relaxed);
                }
            }
            assert!(started.elapsed() < SOON, "{:?} of {id} is not accepted", request.write);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// SplitMix64: the same numbers for the same seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }
}
