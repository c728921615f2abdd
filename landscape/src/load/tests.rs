//! The load against a small composite service that keeps its promises, or breaks one.
//!
//! - [`spring`]: one that answers as that of the Spring landscape does

mod spring;

use super::*;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use shared::api::ProductAggregate;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

/// What the service does with the number of a write, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Deed {
    Keep,
    Delay(Duration),
    Lose,
    DoubleReview,
    /// Answers late.
    Stall(Duration),
    /// Does not know its key when it comes again.
    Forget,
    /// Refuses it once.
    Refuse,
    Fail,
    /// Says 200, as the first editions of the Java landscape do.
    Old,
}

struct Fake {
    deed: fn(usize) -> Deed,
    writes: usize,
    kept: HashMap<i32, Kept>,
    keys: HashSet<String>,
}

/// A composite, and how long it is hidden from when somebody first looked for it.
struct Kept {
    composite: ProductAggregate,
    hidden: Duration,
    looked_for: Option<Instant>,
}

type Shared = Arc<Mutex<Fake>>;
/// An answer that nothing comes after.
type Answered = (StatusCode, [(&'static str, &'static str); 1]);

impl Fake {
    /// What becomes of the next write; nothing when it is answered already, by its key or by its deed.
    fn next(&mut self, headers: &HeaderMap) -> Result<(Deed, StatusCode), Answered> {
        let key = headers["idempotency-key"].to_str().unwrap().to_owned();
        if self.keys.contains(&key) {
            return Err((StatusCode::ACCEPTED, [("retry-after", "0")]));
        }
        let deed = (self.deed)(self.writes);
        self.writes += 1;
        match deed {
            Deed::Refuse => return Err((StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")])),
            Deed::Fail => return Err((StatusCode::BAD_GATEWAY, [("retry-after", "0")])),
            Deed::Forget => {}
            _ => drop(self.keys.insert(key)),
        }
        Ok((deed, if deed == Deed::Old { StatusCode::OK } else { StatusCode::ACCEPTED }))
    }
}

async fn create(
    State(fake): State<Shared>,
    headers: HeaderMap,
    Json(mut composite): Json<ProductAggregate>,
) -> Response {
    let next = fake.lock().unwrap().next(&headers);
    let (deed, status) = match next {
        Ok(next) => next,
        Err(answered) => return answered.into_response(),
    };
    if let Deed::Stall(time) = deed {
        tokio::time::sleep(time).await;
    }
    let mut hidden = Duration::ZERO;
    match deed {
        Deed::Delay(time) => hidden = time,
        Deed::Lose => return status.into_response(),
        Deed::DoubleReview => composite.reviews.push(composite.reviews[0].clone()),
        _ => {}
    }
    fake.lock().unwrap().kept.insert(composite.product_id, Kept { composite, hidden, looked_for: None });
    status.into_response()
}

async fn delete(State(fake): State<Shared>, headers: HeaderMap, Path(id): Path<i32>) -> Response {
    let mut fake = fake.lock().unwrap();
    match fake.next(&headers) {
        Ok((deed, status)) => {
            if deed != Deed::Lose {
                fake.kept.remove(&id);
            }
            status.into_response()
        }
        Err(answered) => answered.into_response(),
    }
}

async fn find(State(fake): State<Shared>, Path(id): Path<i32>) -> Result<Json<ProductAggregate>, StatusCode> {
    let mut fake = fake.lock().unwrap();
    let kept = fake.kept.get_mut(&id).ok_or(StatusCode::NOT_FOUND)?;
    if kept.looked_for.get_or_insert_with(Instant::now).elapsed() < kept.hidden {
        return Err(StatusCode::NOT_FOUND);
    }
    Ok(Json(kept.composite.clone()))
}

#[derive(clap::Parser, Debug)]
struct Cli {
    #[command(flatten)]
    load: LoadArgs,
}

fn parse<'a>(options: impl IntoIterator<Item = &'a str>) -> Result<LoadArgs, clap::Error> {
    <Cli as clap::Parser>::try_parse_from(["load"].into_iter().chain(options)).map(|cli| cli.load)
}

async fn load(deed: fn(usize) -> Deed, options: &str) -> Report {
    let fake: Shared = Arc::new(Mutex::new(Fake { deed, writes: 0, kept: HashMap::new(), keys: HashSet::new() }));
    let routes = Router::new()
        .route("/product-composite", post(create))
        .route("/product-composite/{id}", get(find).delete(delete))
        .with_state(fake);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, routes).await });
    measure(parse(["--url", &url].into_iter().chain(options.split(' '))).unwrap()).await.unwrap()
}

/// Lost, doubled, stale, wrong.
fn faults(report: &Report) -> [u64; 4] {
    report.faults.by_name().map(|(_, named)| named.count)
}

#[tokio::test]
async fn everything_that_is_accepted_is_verified() {
    let report = load(|_| Deed::Keep, "--products 200 --concurrency 8 --sample 10").await;
    report.verdict().unwrap();
    assert!(report.text().unwrap().contains("created   200 of 200"), "{}", report.text().unwrap());
    let mut json = Vec::new();
    report.write(true, &mut json).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!((&json["accepted"], &json["events"], &json["late"]), (&200.into(), &1400.into(), &0.into()));
    assert_eq!((&json["lost"]["count"], &json["rate"]), (&0.into(), &serde_json::Value::Null));
    assert!(json["eventsPerSecond"].as_f64().unwrap() > 0.0, "{json}");
    assert!(json["visibleMillis"]["samples"].as_u64().unwrap() >= 10, "{json}");
}

#[tokio::test]
async fn a_mix_at_a_rate_with_repeated_requests_is_verified() {
    let options = "--products 300 --concurrency 8 --rate 2000 --mix 70,20,10 --duplicate 30% --sample 5";
    let report = load(|number| if number % 50 == 7 { Deed::Refuse } else { Deed::Keep }, options).await;
    report.verdict().unwrap();
    assert_eq!((report.created, report.accepted), (300, 300 + report.deleted));
    assert!(report.deleted > 40 && report.reads > 10 && report.repeated > 10 && report.refused > 3, "{report:?}");
    let text = report.text().unwrap();
    assert!(text.contains("\nDELETE ") && text.contains(" of 2000/s asked for"), "{text}");
}

#[tokio::test]
async fn a_landscape_that_forgets_keys_is_caught_by_repeated_requests() {
    // The same requests in the same order each time.
    let options = "--products 200 --concurrency 1 --first-id 1000 --mix 60,40,0 --timeout 1 --sample 1000";
    load(|_| Deed::Forget, options).await.verdict().unwrap();
    let report = load(|_| Deed::Forget, &format!("{options} --duplicate 20%")).await;
    let [lost, doubled, stale, wrong] = faults(&report);
    assert!(lost > 0 && stale > 0 && doubled + wrong == 0, "{report:?}");
}

#[tokio::test]
async fn repetitions_without_deletes_would_show_nothing_and_are_refused() {
    let options = ["--products", "1", "--concurrency", "1", "--duplicate", "5%"];
    let refused = measure(parse(options).unwrap()).await.unwrap_err().to_string();
    assert_eq!(
        refused,
        "--duplicate repeats a write behind the next one of its product: --mix needs deletes, as in 70,10,20"
    );
}

#[tokio::test]
async fn latencies_count_from_when_a_request_was_due() {
    // Twenty requests are due within 200 ms, and the first holds up the one connection for 300.
    let stall = |number| if number == 0 { Deed::Stall(Duration::from_millis(300)) } else { Deed::Keep };
    let report = load(stall, "--products 20 --concurrency 1 --rate 100").await;
    report.verdict().unwrap();
    assert!(report.post_millis.p50 > 100.0, "{report:?}");
}

#[tokio::test]
async fn one_that_is_lost_fails_the_run_and_is_named() {
    let lose = |number| if number == 30 { Deed::Lose } else { Deed::Keep };
    let report = load(lose, "--products 100 --concurrency 4 --timeout 1 --first-id 500").await;
    assert!(report.verdict().is_err());
    assert_eq!((faults(&report), report.seconds), ([1, 0, 0, 0], None));
    assert!(report.faults.lost.first[0].contains("404"), "{:?}", report.faults);
    assert!(report.text().unwrap().contains("1 lost:\n  product 5"), "{}", report.text().unwrap());
}

#[tokio::test]
async fn deletions_that_are_lost_leave_what_is_stale() {
    // With three creations to a deletion, many of those that are kept are still there when the losses begin.
    let lose = |number| if number >= 40 { Deed::Lose } else { Deed::Keep };
    let report =
        load(lose, "--products 60 --concurrency 1 --first-id 1000 --timeout 1 --mix 3,1,0 --sample 1000").await;
    let [lost, doubled, stale, wrong] = faults(&report);
    assert!(lost > 0 && stale > 0 && doubled + wrong == 0, "{report:?}");
    let verdict = report.verdict().unwrap_err().to_string();
    assert!(verdict.contains(&format!("{lost} lost, 0 doubled, {stale} stale, 0 wrong")), "{verdict}");
}

#[tokio::test]
async fn a_review_that_is_there_twice_fails_the_run() {
    let double = |number| if number == 30 { Deed::DoubleReview } else { Deed::Keep };
    let report = load(double, "--products 100 --concurrency 4").await;
    assert!(report.verdict().is_err());
    assert_eq!(faults(&report), [0, 1, 0, 0]);
    assert!(report.faults.doubled.first[0].contains("4 of 3 reviews"), "{:?}", report.faults);
}

#[tokio::test]
async fn one_that_comes_late_moves_the_time() {
    let delay = |number| if number == 0 { Deed::Delay(Duration::from_millis(700)) } else { Deed::Keep };
    let report = load(delay, "--products 40 --concurrency 4").await;
    report.verdict().unwrap();
    assert_eq!(report.late, 1);
    assert!(report.seconds.unwrap() >= 0.7, "{report:?}");
}

#[tokio::test]
async fn the_first_editions_of_java_are_understood() {
    let report = load(|_| Deed::Old, "--products 50 --concurrency 4 --mix 3,1,1").await;
    report.verdict().unwrap();
}

#[tokio::test]
async fn another_answer_is_reported_and_many_end_the_run() {
    let report = load(|_| Deed::Fail, "--products 1000 --concurrency 4").await;
    assert!(report.verdict().is_err());
    assert!((100..110).contains(&report.failed.count), "{:?}", report.failed);
    assert_eq!((report.accepted, report.failed.first.len()), (0, 10));
    assert!(report.failed.first[0].contains("502 Bad Gateway"), "{:?}", report.failed);
}

#[tokio::test]
async fn a_landscape_that_is_not_there_is_named() {
    let options = ["--products", "1", "--concurrency", "1", "--url", "http://127.0.0.1:9"];
    let error = measure(parse(options).unwrap()).await.unwrap_err().to_string();
    assert!(error.starts_with("http://127.0.0.1:9/product-composite cannot be reached: "), "{error}");
}

#[tokio::test]
async fn an_address_with_tls_is_refused() {
    let options = ["--products", "1", "--concurrency", "1", "--url", "https://localhost:8443"];
    let error = measure(parse(options).unwrap()).await.unwrap_err().to_string();
    assert_eq!(error, "--url https://localhost:8443/ cannot be loaded: only http:// can, without TLS");
}

#[test]
fn an_option_that_cannot_be_is_named_with_its_value() {
    for (option, value) in [("--rate", "0"), ("--mix", "0,1,1"), ("--duplicate", "200%"), ("--timeout", "x")] {
        let options = ["--products", "1", "--concurrency", "1", option, value];
        let said = parse(options).unwrap_err().to_string();
        assert!(said.contains(option) && said.contains(&format!("'{value}'")), "{said}");
    }
}
