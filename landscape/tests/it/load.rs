//! The load beside a running landscape: one that keeps its promises, and one behind a front that breaks them.

use crate::commands::{create, running, sentence};
use crate::process::{Ended, LANDSCAPE, Landscape, Process, client};
use crate::verdict;
use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

fn report(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error} in {ended:?}"))
}

#[tokio::test]
async fn a_load_is_accepted_and_verified() {
    let (folder, landscape) = running().await;
    let load = ["load", "--products", "200", "--concurrency", "8", "--json", "--url", landscape.composite()];
    let ended = landscape.command(folder.path(), &load).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&report["accepted"], &report["events"]), (&200.into(), &1400.into()));
    for count in ["failed", "lost", "wrong"] {
        assert_eq!(report[count]["count"], 0, "{report:#}");
    }
    assert!(report["eventsPerSecond"].as_f64().unwrap() > 0.0, "{report:#}");
}

#[tokio::test]
async fn a_load_over_what_is_there_is_refused() {
    let (folder, landscape) = running().await;
    create(&landscape, 1, "before").await;
    verdict::all_settled(&landscape, folder.path()).await;
    let load = ["load", "--products", "2", "--concurrency", "1", "--first-id", "1", "--url", landscape.composite()];
    let ended = landscape.command(folder.path(), &load).await;
    assert_eq!(sentence(&ended), "product 1 is there already: choose another --first-id");
}

#[tokio::test]
async fn a_mix_of_writes_and_reads_with_repeated_requests_is_verified() {
    let (folder, landscape) = running().await;
    let load = "load --products 400 --concurrency 8 --rate 2000 --mix 50,30,20 --duplicate 20% --json --url";
    let load: Vec<&str> = load.split(' ').chain([landscape.composite()]).collect();
    let ended = landscape.command(folder.path(), &load).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = report(&ended);
    assert_eq!((&report["created"], &report["rate"]), (&400.into(), &2000.0.into()));
    for count in ["deleted", "reads", "repeated"] {
        assert!(report[count].as_u64().unwrap() > 50, "{report:#}");
    }
    let none = landscape.command(folder.path(), &["dead-letters", "list"]).await;
    assert_eq!(none.stdout, "There are no dead letters.\n");
}

#[tokio::test]
async fn a_terminal_shows_how_far_a_load_is() {
    let (_folder, landscape) = running().await;
    // Long enough for the line to be written anew.
    let load = format!("{LANDSCAPE} load --products 600 --concurrency 4 --rate 400 --url {}", landscape.composite());
    let ended = Process::start("/usr/bin/script", &["-qec", &load, "/dev/null"], &[("TERM", "xterm")]).ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let measured = |line: &&str| line.contains("/600 accepted ") && !line.contains("accepted 0/s");
    let line = ended.stdout.split('\r').rfind(measured).unwrap_or_default();
    for part in ["/s p50 ", " p99 ", " ms, visible "] {
        assert!(line.contains(part), "no {part:?} in {:?}", ended.stdout);
    }
    assert!(ended.stdout.contains("/600 verified"), "{:?}", ended.stdout);
}

/// A front of the composite service that lies about every request of which the number is a multiple of `every`.
struct Front {
    composite: String,
    lie: Lie,
    every: u32,
    number: AtomicU32,
}

#[derive(Clone, Copy, PartialEq)]
enum Lie {
    /// Takes a composite and forgets it.
    Lose,
    /// Takes a deletion and forgets it.
    Undelete,
    /// Shows a review twice.
    Double,
    /// Knows no `Idempotency-Key`.
    Forget,
}

async fn front(State(front): State<Arc<Front>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let lied_about = match front.lie {
        Lie::Lose => Method::POST,
        Lie::Undelete => Method::DELETE,
        Lie::Double | Lie::Forget => Method::GET,
    };
    let lies = parts.method == lied_about && front.number.fetch_add(1, Ordering::Relaxed).is_multiple_of(front.every);
    if lies && lied_about != Method::GET {
        return StatusCode::ACCEPTED.into_response();
    }
    if front.lie == Lie::Forget {
        parts.headers.remove("idempotency-key");
    }
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let url = format!("{}{}", front.composite, parts.uri.path());
    let answer = client().request(parts.method, url).headers(parts.headers).body(body).send().await.unwrap();
    let (status, mut body): (_, Bytes) = (answer.status(), answer.bytes().await.unwrap());
    if lies && front.lie == Lie::Double && status == StatusCode::OK {
        let mut composite: Value = serde_json::from_slice(&body).unwrap();
        let reviews = composite["reviews"].as_array_mut().unwrap();
        reviews.extend(reviews.first().cloned());
        body = composite.to_string().into();
    }
    (status, body).into_response()
}

/// What a load reports through such a front, and the sentence with which it ends.
async fn load_through(landscape: &Landscape, lie: Lie, every: u32, mix: &[&str]) -> (Value, String) {
    let lying = Front { composite: landscape.composite().to_owned(), lie, every, number: AtomicU32::new(0) };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = Router::new().fallback(front).with_state(Arc::new(lying));
    let serving = tokio::spawn(async { axum::serve(listener, routes).await });
    let load = "load --products 100 --concurrency 4 --sample 1000 --timeout 3 --json";
    let load = [&load.split(' ').collect::<Vec<_>>(), mix, &["--url", &url]].concat();
    let ended = landscape.command(std::path::Path::new("."), &load).await;
    serving.abort();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    (report(&ended), ended.stderr)
}

#[tokio::test]
async fn a_landscape_that_lies_is_caught_and_what_it_did_is_named() {
    let (_folder, landscape) = running().await;
    // A later write hides the lie about an earlier one, so there are enough of either that some stay.
    let writes = ["--mix", "70,50,20", "--duplicate", "50%"];
    let lies = [
        (Lie::Lose, 20, &["--mix", "70,0,30"][..], "lost"),
        (Lie::Undelete, 2, &writes, "stale"),
        (Lie::Double, 2, &writes, "doubled"),
        (Lie::Forget, 1, &writes, "stale"),
    ];
    for (lie, every, mix, kind) in lies {
        let (report, said) = load_through(&landscape, lie, every, mix).await;
        let count = report[kind]["count"].as_u64().unwrap();
        assert!(count > 0 && said.contains(&format!("{count} {kind}")), "{said}{report:#}");
        assert!(report[kind]["first"][0].as_str().unwrap().starts_with("product "), "{report:#}");
    }
}
