//! What a choice costs, what it is worth when an instance is slow, and what balanced calls cost beside a plain client.
//!
//! `cargo bench -p shared --bench balancer`. Machines differ and are never quiet: quote the ratios. What is compared is
//! measured in turns.

// A benchmark prints, and ends where something does not work.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::cast_precision_loss, missing_debug_implementations)]

use axum::Router;
use bytes::Bytes;
use futures_util::future::join_all;
use hdrhistogram::Histogram;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use shared::discovery::balancer::{Balancer, Options, Policy};
use shared::discovery::calls::{Calls, TimeLimits};
use shared::discovery::{Endpoint, Endpoints, Source};
use std::hint::black_box;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

const BODY: &str = r#"{"productId":1,"name":"n","weight":1,"serviceAddress":"host/10.0.0.1:80"}"#;
const LIMITS: TimeLimits = TimeLimits { whole: Duration::from_secs(10), each_try: Duration::from_secs(5) };

fn main() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime().block_on(async {
        for count in [2, 5, 100] {
            picks(count);
        }
    });
    // Each with a runtime of its own, so that nothing is left over from the one before.
    let [balanced, robin, random] = [Policy::PeakEwma, Policy::RoundRobin, Policy::Random]
        .map(|policy| runtime().block_on(one_of_five_is_slow(policy)));
    println!("p99 of round robin by that of peak EWMA  {:>8.1}", robin / balanced);
    println!("p99 of random by that of peak EWMA       {:>8.1}", random / balanced);
    runtime().block_on(beside_a_plain_client());
}

fn source(authorities: impl IntoIterator<Item = String>) -> Source {
    let endpoints: Endpoints = authorities.into_iter().map(|authority| Endpoint { authority, zone: None }).collect();
    Source::from(watch::channel(endpoints).1)
}

/// Nanoseconds of a choice alone, and with the answer to it.
fn picks(count: usize) {
    let balancer =
        Balancer::new(source((0..count).map(|at| format!("10.0.0.{at}:80"))), Options::default(), |_| Some(()));
    let (rounds, each) = (200, 5000);
    let (mut choices, mut wholes) = (Vec::new(), Vec::new());
    let mut held = Vec::with_capacity(each);
    for _ in 0..rounds {
        let start = Instant::now();
        for _ in 0..each {
            held.push(black_box(balancer.pick(&[])).unwrap());
        }
        choices.push(start.elapsed());
        held.drain(..).for_each(drop);
        let start = Instant::now();
        for _ in 0..each {
            black_box(balancer.pick(&[])).unwrap().succeeded();
        }
        wholes.push(start.elapsed());
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2].as_nanos() as f64 / each as f64
    };
    let (choice, whole) = (median(&mut choices), median(&mut wholes));
    println!("a pick of {count:>3} instances                {choice:>8.0} ns, {whole:.0} ns with its answer");
}

async fn serve(routes: Router) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    address.to_string()
}

/// The 99th percentile in milliseconds of 400 requests a second, whether or not earlier ones have come back, over five
/// instances that take 2 ms each, but one 40 ms.
async fn one_of_five_is_slow(policy: Policy) -> f64 {
    let mut authorities = Vec::new();
    for instance in 0..5 {
        let takes = Duration::from_millis(if instance == 0 { 40 } else { 2 });
        authorities.push(serve(Router::new().fallback(move || async move { sleep(takes).await })).await);
    }
    let calls = Calls::over(source(authorities), "http://bench", Options { policy, zone: None }, LIMITS);
    let mut tick = interval(Duration::from_micros(2500));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut running = Vec::new();
    for _ in 0..4000 {
        let due = tick.tick().await;
        let calls = calls.clone();
        running.push(tokio::spawn(async move {
            calls.get(PathAndQuery::from_static("/"), &HeaderMap::new()).await.unwrap();
            due.elapsed()
        }));
    }
    let mut times = Histogram::<u64>::new(3).unwrap();
    for took in join_all(running).await {
        times.record(u64::try_from(took.unwrap().as_micros()).unwrap()).unwrap();
    }
    let [p50, p99] = [0.5, 0.99].map(|quantile| times.value_at_quantile(quantile) as f64 / 1000.0);
    println!("one of five is slow, {:<18}  p50 {p50:>8.1} ms, p99 {p99:.1} ms", format!("{policy:?}"));
    p99
}

/// Requests a second of what the composite used to have, a pool over static addresses, and of calls over a balancer: to
/// the same two servers, in turns.
async fn beside_a_plain_client() {
    let routes = || Router::new().fallback(|| async { ([("content-type", "application/json")], BODY) });
    let servers = [serve(routes()).await, serve(routes()).await];
    let calls = Calls::over(source(servers.clone()), "http://bench", Options::default(), LIMITS);
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(LIMITS.each_try));
    let client: Client<HttpConnector, Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
    let plain = |at: usize| {
        let (client, url) = (client.clone(), format!("http://{}/product/1", servers[at % 2]));
        async move {
            let answered = async {
                let mut request = Request::get(&url).body(Empty::new()).unwrap();
                request.headers_mut().insert("accept", HeaderValue::from_static("application/json"));
                client.request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes()
            };
            tokio::time::timeout(LIMITS.whole, answered).await.unwrap()
        }
    };
    let balanced = |_: usize| {
        let (calls, path) = (calls.clone(), format!("/product/{}", 1));
        async move {
            let mut headers = HeaderMap::with_capacity(4);
            headers.insert("accept", HeaderValue::from_static("application/json"));
            calls.get(path.parse().unwrap(), &headers).await.unwrap().body
        }
    };
    let mut ratios = Vec::new();
    let mut rates = Vec::new();
    for round in 0..41 {
        // Whoever is second finds the caches of the first, so they take turns in that too.
        let (one, other) = if round % 2 == 0 {
            let one = rate(plain).await;
            (one, rate(balanced).await)
        } else {
            let other = rate(balanced).await;
            (rate(plain).await, other)
        };
        // The first round makes the connections.
        if round > 0 {
            ratios.push(other / one);
            rates.push(one);
        }
    }
    ratios.sort_unstable_by(f64::total_cmp);
    rates.sort_unstable_by(f64::total_cmp);
    println!("plain client, static addresses           {:>8.0} requests/s", rates[rates.len() / 2]);
    println!(
        "balanced calls by that                   {:>8.3}  (half of the rounds from {:.3} to {:.3})",
        ratios[ratios.len() / 2],
        ratios[ratios.len() / 4],
        ratios[ratios.len() * 3 / 4]
    );
}

/// Requests a second of eight clients that ask three at a time, as a composite does.
async fn rate<F: Future<Output = Bytes> + Send>(ask: impl Fn(usize) -> F) -> f64 {
    let (clients, each) = (8, 50);
    let start = Instant::now();
    let clients_asking = (0..clients).map(|client| {
        let ask = &ask;
        async move {
            for at in 0..each {
                for body in join_all((0..3).map(|part| ask(client + at + part))).await {
                    assert_eq!(body.len(), BODY.len());
                }
            }
        }
    });
    join_all(clients_asking).await;
    (clients * each * 3) as f64 / start.elapsed().as_secs_f64()
}
