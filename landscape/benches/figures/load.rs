//! Requests, as fast as they are answered or as often as was said.

use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// Events of a composite.
pub(crate) const EVENTS: i32 = 7;

/// How long a client of a closed loop waits after a refusal.
const PAUSE: Duration = Duration::from_millis(100);
/// How many requests of an open loop wait for their answers at the most; more are not sent.
const UNANSWERED: usize = 1_000;

/// What came of requests.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) took: Duration,
    /// How many were answered well, and how long that took, in microseconds.
    pub(crate) well: Histogram<u64>,
    /// How many were answered 503, and how long that took.
    pub(crate) refused: Histogram<u64>,
    pub(crate) failed: u64,
}

impl Measured {
    pub(crate) fn new() -> Self {
        let empty = Histogram::new(3).unwrap();
        Self { took: Duration::ZERO, well: empty.clone(), refused: empty, failed: 0 }
    }

    pub(crate) fn add(&mut self, status: Option<StatusCode>, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap();
        match status {
            Some(status) if status.is_success() => self.well.record(micros).unwrap(),
            Some(StatusCode::SERVICE_UNAVAILABLE) => self.refused.record(micros).unwrap(),
            _ => self.failed += 1,
        }
    }

    fn merge(&mut self, other: &Self) {
        self.well.add(&other.well).unwrap();
        self.refused.add(&other.refused).unwrap();
        self.failed += other.failed;
    }

    /// How many were answered well in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.well.len() as f64 / self.took.as_secs_f64()
    }

    /// How long all but a hundredth of those took at the most, in milliseconds.
    pub(crate) fn p99(&self) -> f64 {
        self.well.value_at_quantile(0.99) as f64 / 1000.0
    }
}

static NEXT: AtomicI32 = AtomicI32::new(1);

/// Composites have ids from this one on, which another process does not use.
pub(crate) fn count_from(first_id: i32) {
    NEXT.store(first_id, Ordering::Relaxed);
}

/// A composite of [`EVENTS`] events that nobody has written yet.
pub(crate) fn composite() -> (i32, Bytes) {
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let parts = 1..=(EVENTS - 1) / 2;
    let recommendations: Vec<_> =
        parts.clone().map(|n| json!({"recommendationId": n, "author": "a", "rate": n, "content": "c"})).collect();
    let reviews: Vec<_> =
        parts.map(|n| json!({"reviewId": n, "author": "a", "subject": "s", "content": "c"})).collect();
    let body = json!({"productId": id, "name": "n", "weight": 1, "recommendations": recommendations,
                      "reviews": reviews});
    (id, body.to_string().into())
}

/// A request that writes a new composite to `address`.
pub(crate) fn post(address: SocketAddr) -> Request<Full<Bytes>> {
    let request = Request::builder().method(Method::POST).uri(format!("http://{address}/product-composite"));
    request.header("host", "bench").header("content-type", "application/json").body(composite().1.into()).unwrap()
}

/// A request that reads `path` from `address`.
pub(crate) fn get(address: SocketAddr, path: &str) -> Request<Full<Bytes>> {
    Request::builder().uri(format!("http://{address}{path}")).header("host", "bench").body(Full::default()).unwrap()
}

/// Asks until that is answered well.
pub(crate) async fn until_well(
    address: SocketAddr,
    request: impl Fn() -> Request<Full<Bytes>> + Clone + Send + 'static,
) {
    while closed(address, 1, Duration::ZERO, request.clone()).await.well.is_empty() {}
}

/// Each of `connections` sends the next request as soon as the last is answered.
pub(crate) async fn closed(
    address: SocketAddr,
    connections: usize,
    time: Duration,
    request: impl Fn() -> Request<Full<Bytes>> + Clone + Send + 'static,
) -> Measured {
    let mut clients = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..connections {
        let request = request.clone();
        clients.spawn(async move {
            let (mut measured, mut connection) = (Measured::new(), connect(address).await);
            loop {
                let sent = Instant::now();
                if connection.ready().await.is_err() {
                    connection = connect(address).await;
                    connection.ready().await.unwrap();
                }
                let status = match connection.send_request(request()).await {
                    Ok(answer) => {
                        let status = answer.status();
                        answer.into_body().collect().await.ok().map(|_| status)
                    }
                    Err(_) => None,
                };
                measured.add(status, sent.elapsed());
                if status == Some(StatusCode::SERVICE_UNAVAILABLE) {
                    tokio::time::sleep(PAUSE).await;
                }
                if begun.elapsed() >= time {
                    return measured;
                }
            }
        });
    }
    let mut all = Measured::new();
    while let Some(one) = clients.join_next().await {
        all.merge(&one.unwrap());
    }
    all.took = begun.elapsed();
    all
}

async fn connect(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// So many requests a second, of clients that know nothing of each other, however they are answered. What is sent before
/// `since` is not counted.
pub(crate) async fn open(
    per_second: f64,
    since: Duration,
    time: Duration,
    request: impl Fn() -> Request<Full<Bytes>>,
) -> Measured {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let (mut next, mut answers, begun) = (0.0, JoinSet::new(), Instant::now());
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut measured = Measured::new();
    while begun.elapsed() < time {
        tick.tick().await;
        while next < begun.elapsed().as_secs_f64() {
            // As those of Poisson: at even distances they would never meet, and hardly one would ever wait.
            next -= (1.0 - fastrand::f64()).ln() / per_second;
            if answers.len() >= UNANSWERED {
                continue;
            }
            let (client, request, counts) = (client.clone(), request(), begun.elapsed() >= since);
            let at = Instant::now();
            answers.spawn(async move {
                let status = match client.request(request).await {
                    Ok(answer) => {
                        let status = answer.status();
                        answer.into_body().collect().await.ok().map(|_| status)
                    }
                    Err(_) => None,
                };
                counts.then(|| (status, at.elapsed()))
            });
        }
        while let Some(answer) = answers.try_join_next() {
            if let Some((status, took)) = answer.unwrap() {
                measured.add(status, took);
            }
        }
    }
    measured.took = begun.elapsed() - since;
    while let Some(answer) = answers.join_next().await {
        if let Some((status, took)) = answer.unwrap() {
            measured.add(status, took);
        }
    }
    measured
}
