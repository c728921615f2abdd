//! The same request sent again, known by its `Idempotency-Key`.

use crate::{Landscape, aggregate, alone, shown};
use reqwest::header::HeaderValue;
use reqwest::{Method, RequestBuilder};
use shared::api::{PRODUCTS, RECOMMENDATIONS, REVIEWS};
use testkit::{Answer, Running, Sandbox};

fn post(service: &Running, key: &str, body: String) -> RequestBuilder {
    let request = service.request(Method::POST, "/product-composite").header("content-type", "application/json");
    request.header("idempotency-key", key).body(body)
}

async fn ids(sandbox: &Sandbox) -> Vec<String> {
    let mut ids = Vec::new();
    for destination in [PRODUCTS, RECOMMENDATIONS, REVIEWS] {
        ids.extend(sandbox.sent(destination).await.into_iter().map(|message| message.id));
    }
    ids.sort();
    ids
}

#[tokio::test]
async fn the_same_request_has_the_same_message_ids_and_every_other_has_others() {
    let sandbox = Sandbox::new().await;
    let service = alone(&sandbox).await;
    let distinct = async || {
        let mut ids = ids(&sandbox).await;
        let all = ids.len();
        ids.dedup();
        (all, ids.len())
    };
    let delete = |path: &str| service.request(Method::DELETE, path).header("idempotency-key", "k");
    for (request, expected) in [
        (post(&service, "k", aggregate(1, "n")), (3, 3)),
        (post(&service, "k", aggregate(1, "n")), (6, 3)),
        (post(&service, "k", aggregate(1, "other")), (9, 6)),
        (post(&service, "k2", aggregate(1, "n")), (12, 9)),
        (delete("/product-composite/1"), (15, 12)),
        (delete("/product-composite/1"), (18, 12)),
        (delete("/product-composite/2"), (21, 15)),
    ] {
        assert_eq!(Answer::to(request).await.status, 202);
        assert_eq!(distinct().await, expected);
    }
    for _ in 0..2 {
        service.post("/product-composite", aggregate(1, "n")).await;
    }
    assert_eq!(distinct().await, (27, 21), "without a key every request is a new one");
    service.stop().await;
}

#[tokio::test]
async fn a_request_that_comes_again_takes_effect_once() {
    let landscape = Landscape::start().await;
    let composite = &landscape.composite;
    assert_eq!(Answer::to(post(composite, "k", aggregate(1, "n"))).await.status, 202);
    composite.shows("/product-composite/1", &shown(1, "n", &landscape)).await;
    assert_eq!(composite.delete("/product-composite/1").await.status, 202);
    composite.answers("/product-composite/1", 404).await;
    // A second effect would bring the product back.
    assert_eq!(Answer::to(post(composite, "k", aggregate(1, "n"))).await.status, 202);
    landscape.sandbox.settled().await;
    assert_eq!(composite.get("/product-composite/1").await.status, 404);
    assert_eq!(landscape.review.get("/review?productId=1").await.text(), "[]");
    assert_eq!(landscape.recommendation.get("/recommendation?productId=1").await.text(), "[]");

    assert_eq!(Answer::to(post(composite, "k", aggregate(1, "another request"))).await.status, 202);
    composite.shows("/product-composite/1", &shown(1, "another request", &landscape)).await;
    landscape.stop().await;
}

#[tokio::test]
async fn a_key_that_cannot_be_one_is_refused() {
    let sandbox = Sandbox::new().await;
    let service = alone(&sandbox).await;
    let long = "k".repeat(256);
    let keys = [
        HeaderValue::from_static(""),
        HeaderValue::from_str(&long).unwrap(),
        HeaderValue::from_bytes(b"\xff").unwrap(),
    ];
    for key in keys {
        for (method, path) in [(Method::POST, "/product-composite"), (Method::DELETE, "/product-composite/1")] {
            let request = service.request(method, path).header("content-type", "application/json");
            let answer = Answer::to(request.header("idempotency-key", key.clone()).body(aggregate(1, "n"))).await;
            let sentence = "Invalid Idempotency-Key: allowed are 1 to 255 visible characters";
            let expected = format!(r#"{{"path":"{path}","status":400,"error":"Bad Request","message":"{sentence}"}}"#);
            assert_eq!((answer.status, answer.failure()), (400, expected));
        }
    }
    assert_eq!(sandbox.count().await, 0);
    assert_eq!(Answer::to(post(&service, &long[1..], aggregate(1, "n"))).await.status, 202);
    service.stop().await;
}
