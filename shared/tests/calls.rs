//! Requests to real servers, which die, come back, hang and fail.

// Outside the test functions too, a test that cannot go on ends.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use axum::Router;
use axum::routing::get;
use http::uri::PathAndQuery;
use http::{HeaderMap, StatusCode};
use shared::discovery::balancer::Options;
use shared::discovery::calls::{Answer, CallError, Calls, TimeLimits};
use shared::discovery::location::Location;
use shared::discovery::{Endpoint, Endpoints, Source};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use testkit::{Killable, Neighbour, Nobody, SOON};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

const LIMITS: TimeLimits = TimeLimits { whole: SOON, each_try: Duration::from_secs(5) };

fn calls_to(locations: &[&str], limits: TimeLimits) -> Calls {
    let location: Location = locations.join(",").parse().unwrap();
    Calls::over(location.discover(None), &location.url(), Options::default(), limits)
}

async fn ask(calls: &Calls) -> Result<Answer, CallError> {
    calls.get(PathAndQuery::from_static("/a?b=c"), &HeaderMap::new()).await
}

fn saying(status: u16) -> Router {
    let status = StatusCode::from_u16(status).unwrap();
    Router::new().fallback(move || async move { status })
}

/// Who has answered so many requests, one after the other. Every one must be well.
async fn answered(calls: &Calls, count: usize) -> HashSet<String> {
    let mut instances = HashSet::new();
    for _ in 0..count {
        let answer = ask(calls).await.unwrap();
        assert_eq!(answer.status, 200);
        instances.insert(answer.instance.to_string());
    }
    instances
}

#[tokio::test]
async fn every_instance_answers_on_a_connection_that_is_kept() {
    let (a, b) = (Neighbour::serve(saying(200)).await, Neighbour::serve(saying(200)).await);
    let calls = calls_to(&[&a.url, &b.url], LIMITS);
    assert_eq!(answered(&calls, 20).await.len(), 2);
    assert_eq!((a.connections(), b.connections()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_is_killed_fails_no_request_and_is_used_again_when_it_is_back() {
    let slow = || {
        Router::new().fallback(|| async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            "here"
        })
    };
    let mut servers = [Killable::serve(slow()).await, Killable::serve(slow()).await, Killable::serve(slow()).await];
    let victim = servers[0].address.to_string();
    let urls = servers.each_ref().map(|server| format!("http://{}", server.address));
    let calls = calls_to(&urls.each_ref().map(String::as_str), LIMITS);
    let (stop, answers) = (Arc::new(tokio_util::sync::CancellationToken::new()), Arc::<AtomicUsize>::default());
    let readers: Vec<_> = (0..20)
        .map(|_| {
            let (calls, stop, answers) = (calls.clone(), stop.clone(), answers.clone());
            tokio::spawn(async move {
                while !stop.is_cancelled() {
                    assert_eq!(ask(&calls).await.unwrap().status, 200, "no request fails");
                    answers.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let more = async |count: usize| {
        let until = answers.load(Ordering::SeqCst) + count;
        testkit::eventually(SOON, "more answers", async || match answers.load(Ordering::SeqCst) {
            now if now >= until => Ok(()),
            now => Err(now),
        })
        .await;
    };
    more(500).await;
    servers[0].kill();
    more(300).await;
    servers[0].start(slow()).await;
    testkit::eventually(3 * SOON, "the instance is used again", async || {
        let answer = ask(&calls).await.unwrap();
        if answer.instance == victim { Ok(()) } else { Err(answer.instance) }
    })
    .await;
    stop.cancel();
    for reader in readers {
        reader.await.unwrap();
    }
}

#[tokio::test]
async fn a_dead_instance_is_asked_once_a_second_at_most() {
    // Accepts, and closes at once: everybody who tries is counted.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let dead = format!("http://{}", listener.local_addr().unwrap());
    let tries = Arc::<AtomicUsize>::default();
    let counted = tries.clone();
    tokio::spawn(async move {
        loop {
            drop(listener.accept().await);
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let well = Neighbour::serve(saying(200)).await;
    let calls = calls_to(&[&dead, &well.url], LIMITS);
    let start = Instant::now();
    answered(&calls, 200).await;
    // Until it is left alone five have failed; each may have been tried again on a fresh connection by the pool.
    let most = 10 + 2 * usize::try_from(start.elapsed().as_secs()).unwrap();
    assert!((1..=most).contains(&tries.load(Ordering::SeqCst)), "{tries:?} of {most}");
}

#[tokio::test]
async fn an_instance_that_refuses_is_left_alone_at_once_and_doubted() {
    let (nobody, well) = (Nobody::new(), Neighbour::serve(saying(200)).await);
    let urls = [&nobody.url, &well.url];
    let instances = urls.map(|url| url.strip_prefix("http://").unwrap().to_owned());
    let endpoints: Endpoints = instances.map(|authority| Endpoint { authority, zone: None }).into();
    let source = Source::from(watch::channel(endpoints).1);
    let doubts = source.doubts.clone();
    let calls = Calls::over(source, "http://review", Options::default(), LIMITS);
    assert_eq!(answered(&calls, 20).await.len(), 1);
    tokio::time::timeout(SOON, doubts.notified()).await.unwrap();
}

#[tokio::test]
async fn an_instance_that_never_answers_costs_one_try() {
    let silent = Neighbour::serve(Router::new().fallback(std::future::pending::<()>)).await;
    let well = Neighbour::serve(saying(200)).await;
    let limits = TimeLimits { whole: SOON, each_try: Duration::from_secs(1) };
    let calls = calls_to(&[&silent.url, &well.url], limits);
    let start = Instant::now();
    assert_eq!(answered(&calls, 20).await.len(), 1);
    assert!(start.elapsed() < 10 * limits.each_try, "{:?}", start.elapsed());
}

#[tokio::test]
async fn the_only_instance_has_all_the_time() {
    let slow = Router::new().fallback(|| tokio::time::sleep(Duration::from_millis(200)));
    let slow = Neighbour::serve(slow).await;
    let limits = TimeLimits { whole: SOON, each_try: Duration::from_millis(10) };
    assert_eq!(ask(&calls_to(&[&slow.url], limits)).await.unwrap().status, 200);
    let whole = Duration::from_millis(50);
    let error = ask(&calls_to(&[&slow.url], TimeLimits { whole, each_try: whole })).await.unwrap_err();
    assert_eq!(error.to_string(), format!("no answer within 50 ms from {}/a?b=c", slow.url));
}

#[tokio::test]
async fn answers_that_another_instance_may_better_are_asked_for_there() {
    for (status, tried_again) in [(502, true), (503, true), (504, true), (500, false), (404, false)] {
        let (bad, well) = (Neighbour::serve(saying(status)).await, Neighbour::serve(saying(200)).await);
        let calls = calls_to(&[&bad.url, &well.url], LIMITS);
        let mut seen = HashSet::new();
        for _ in 0..4 {
            seen.insert(ask(&calls).await.unwrap().status.as_u16());
        }
        assert_eq!(seen.contains(&status), !tried_again, "{status}: {seen:?}");
        // Where nobody has a better one, it is what is answered.
        let alone = calls_to(&[&bad.url], LIMITS);
        assert_eq!(ask(&alone).await.unwrap().status, status);
    }
}

#[tokio::test]
async fn retries_stay_within_the_budget() {
    let asked = Arc::<AtomicUsize>::default();
    let overloaded = || {
        let asked = asked.clone();
        Router::new().fallback(move || async move {
            asked.fetch_add(1, Ordering::SeqCst);
            StatusCode::SERVICE_UNAVAILABLE
        })
    };
    let servers = [Neighbour::serve(overloaded()).await, Neighbour::serve(overloaded()).await];
    let calls = calls_to(&[&servers[0].url, &servers[1].url], LIMITS);
    let (start, requests) = (Instant::now(), 1000);
    for _ in 0..requests {
        assert_eq!(ask(&calls).await.unwrap().status, 503);
    }
    let retries = asked.load(Ordering::SeqCst) - requests;
    let floor = 100 + 10 * usize::try_from(start.elapsed().as_secs() + 1).unwrap();
    assert!((200..=200 + floor).contains(&retries), "{retries}");
}

#[tokio::test]
async fn no_instance_is_said_at_once_when_the_source_knows_and_else_when_the_time_is_over() {
    let limits = TimeLimits { whole: Duration::from_millis(300), ..LIMITS };
    let (sender, endpoints) = watch::channel(Endpoints::default());
    let over = |limits| Calls::over(endpoints.clone().into(), "http://review", Options::default(), limits);
    let calls = over(limits);
    let start = Instant::now();
    let error = ask(&calls).await.unwrap_err();
    assert_eq!(error.to_string(), "no instance of http://review is known");
    assert!(start.elapsed() >= limits.whole, "it might have been said");
    let patient = over(LIMITS);
    let waiting = tokio::spawn(async move {
        let start = Instant::now();
        assert!(matches!(ask(&patient).await, Err(CallError::NoInstance { .. })));
        assert!(matches!(ask(&patient).await, Err(CallError::NoInstance { .. })));
        assert!(start.elapsed() < LIMITS.whole);
        patient
    });
    sender.send_replace(Endpoints::default());
    let patient = waiting.await.unwrap();
    let well = Neighbour::serve(saying(200)).await;
    let authority = well.url.strip_prefix("http://").unwrap().to_owned();
    sender.send_replace([Endpoint { authority, zone: None }].into());
    testkit::eventually(SOON, "an answer", async || ask(&patient).await.map(drop)).await;
}

#[tokio::test]
async fn a_kept_connection_that_the_only_instance_has_closed_fails_no_request() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // Answers once as if it kept the connection, then reads the next request and hangs up.
            tokio::spawn(async move {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                let _ = stream.read(&mut request).await;
            });
        }
    });
    answered(&calls_to(&[&url], LIMITS), 20).await;
}

#[tokio::test]
async fn an_instance_that_leaves_with_a_request_in_hand_answers_it() {
    let (entered, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (entering, going) = (entered.clone(), go.clone());
    let held = Router::new().fallback(async || ()).route(
        "/held",
        get(move || async move {
            entering.notify_one();
            going.notified().await;
        }),
    );
    let held = Neighbour::serve(held).await;
    let authority = held.url.strip_prefix("http://").unwrap().to_owned();
    let (sender, endpoints) = watch::channel(Endpoints::default());
    sender.send_replace([Endpoint { authority, zone: None }].into());
    let calls = Calls::over(endpoints.into(), "http://review", Options::default(), LIMITS);
    let asking = calls.clone();
    let request = tokio::spawn(async move { asking.get(PathAndQuery::from_static("/held"), &HeaderMap::new()).await });
    entered.notified().await;
    sender.send_replace(Endpoints::default());
    testkit::eventually(SOON, "the instance has left", async || match ask(&calls).await {
        Err(CallError::NoInstance { .. }) => Ok(()),
        answer => Err(format!("{answer:?}")),
    })
    .await;
    go.notify_one();
    assert_eq!(request.await.unwrap().unwrap().status, 200);
}
