//! The load against a small composite service that keeps its promises, or breaks one.

use super::*;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use shared::api::ProductAggregate;
use std::collections::HashMap;
use std::sync::Mutex;

/// What the service does with the number of a POST, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Deed {
    Keep,
    Delay(Duration),
    Lose,
    DoubleReview,
    /// Refuses it once.
    Refuse,
    Fail,
}

struct Fake {
    deed: fn(usize) -> Deed,
    posts: usize,
    kept: HashMap<i32, (Instant, ProductAggregate)>,
}

type Shared = Arc<Mutex<Fake>>;

async fn create(State(fake): State<Shared>, Json(mut composite): Json<ProductAggregate>) -> StatusCode {
    let mut fake = fake.lock().unwrap();
    let deed = (fake.deed)(fake.posts);
    fake.posts += 1;
    let mut visible_at = Instant::now();
    match deed {
        Deed::Keep => {}
        Deed::Delay(time) => visible_at += time,
        Deed::Lose => return StatusCode::ACCEPTED,
        Deed::DoubleReview => composite.reviews.push(composite.reviews[0].clone()),
        Deed::Refuse => return StatusCode::SERVICE_UNAVAILABLE,
        Deed::Fail => return StatusCode::BAD_GATEWAY,
    }
    fake.kept.insert(composite.product_id, (visible_at, composite));
    StatusCode::ACCEPTED
}

async fn find(State(fake): State<Shared>, Path(id): Path<i32>) -> Result<Json<ProductAggregate>, StatusCode> {
    match fake.lock().unwrap().kept.get(&id) {
        Some((visible_at, composite)) if *visible_at <= Instant::now() => Ok(Json(composite.clone())),
        _ => Err(StatusCode::NOT_FOUND),
    }
}

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    load: LoadArgs,
}

async fn load(deed: fn(usize) -> Deed, options: &str) -> Report {
    let fake: Shared = Arc::new(Mutex::new(Fake { deed, posts: 0, kept: HashMap::new() }));
    let routes = Router::new()
        .route("/product-composite", post(create))
        .route("/product-composite/{id}", get(find))
        .with_state(fake);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, routes).await });
    let options = ["load", "--url", &url].into_iter().chain(options.split(' '));
    measure(<Cli as clap::Parser>::parse_from(options).load).await.unwrap()
}

#[tokio::test]
async fn everything_that_is_accepted_is_verified() {
    let report = load(|_| Deed::Keep, "--products 200 --concurrency 8 --sample 10").await;
    report.verdict().unwrap();
    assert!(report.text().contains("accepted             200 of 200"), "{}", report.text());
    let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
    assert_eq!((&json["accepted"], &json["events"], &json["late"]), (&200.into(), &1400.into(), &0.into()));
    assert!(json["eventsPerSecond"].as_f64().unwrap() > 0.0, "{json}");
    assert!(json["visibleMillis"]["samples"].as_u64().unwrap() >= 10, "{json}");
}

#[tokio::test]
async fn one_that_is_lost_fails_the_run_and_is_named() {
    let lose = |number| if number == 30 { Deed::Lose } else { Deed::Keep };
    let report = load(lose, "--products 100 --concurrency 4 --timeout 1 --first-id 500").await;
    assert!(report.verdict().is_err());
    assert_eq!((report.lost.count, report.wrong.count, report.seconds), (1, 0, None));
    assert!(report.lost.first[0].contains("404"), "{:?}", report.lost);
}

#[tokio::test]
async fn a_review_that_is_there_twice_fails_the_run() {
    let double = |number| if number == 30 { Deed::DoubleReview } else { Deed::Keep };
    let report = load(double, "--products 100 --concurrency 4").await;
    assert!(report.verdict().is_err());
    assert_eq!((report.lost.count, report.wrong.count), (0, 1));
    assert!(report.wrong.first[0].contains("4 of 3 reviews"), "{:?}", report.wrong);
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
async fn a_refused_composite_is_sent_again() {
    let refuse = |number| if number % 10 == 3 { Deed::Refuse } else { Deed::Keep };
    let report = load(refuse, "--products 20 --concurrency 2").await;
    report.verdict().unwrap();
    assert_eq!((report.accepted, report.refused), (20, 2));
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
    let options = ["load", "--products", "1", "--concurrency", "1", "--url", "http://127.0.0.1:9"];
    let error = measure(<Cli as clap::Parser>::parse_from(options).load).await.unwrap_err().to_string();
    assert!(error.starts_with("http://127.0.0.1:9/product-composite cannot be reached: "), "{error}");
}
