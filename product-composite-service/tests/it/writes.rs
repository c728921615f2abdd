//! What becomes of a request that is accepted.

use crate::{Landscape, aggregate, alone, shown};
use reqwest::Method;
use serde_json::{Value, json};
use shared::api::{PRODUCTS, RECOMMENDATIONS, REVIEWS};
use testkit::{Answer, Sandbox};

#[tokio::test]
async fn what_is_accepted_is_seen_until_it_is_deleted() {
    let landscape = Landscape::start().await;
    let composite = &landscape.composite;
    let created = composite.post("/product-composite", aggregate(1, "n")).await;
    assert_eq!((created.status, created.text(), created.header("content-length")), (202, "", Some("0")));
    composite.shows("/product-composite/1", &shown(1, "n", &landscape)).await;

    let deleted = composite.delete("/product-composite/1").await;
    assert_eq!((deleted.status, deleted.text(), deleted.header("content-length")), (202, "", Some("0")));
    composite.answers("/product-composite/1", 404).await;
    landscape.review.shows("/review?productId=1", "[]").await;
    landscape.recommendation.shows("/recommendation?productId=1", "[]").await;
    assert_eq!(composite.delete("/product-composite/1").await.status, 202);
    landscape.stop().await;
}

#[tokio::test]
async fn missing_lists_are_empty_and_unknown_fields_are_ignored() {
    let landscape = Landscape::start().await;
    let composite = &landscape.composite;
    for (id, lists) in
        [(1, ""), (2, r#","recommendations":null,"reviews":null"#), (3, r#","recommendations":[],"more":{}"#)]
    {
        let sent = format!(r#"{{"productId":{id},"name":"n"{lists}}}"#);
        assert_eq!(composite.post("/product-composite", sent).await.status, 202);
        let (cmp, pro) = (&composite.address, &landscape.product.address);
        let addresses = format!(r#"{{"cmp":"{cmp}","pro":"{pro}","rev":"","rec":""}}"#);
        let seen = format!(
            r#"{{"productId":{id},"name":"n","weight":0,"recommendations":[],"reviews":[],"serviceAddresses":{addresses}}}"#
        );
        let path = format!("/product-composite/{id}");
        composite.shows(&path, &seen).await;
        assert_eq!(composite.get(&path).await.header("x-missing-parts"), None);
    }
    landscape.stop().await;
}

#[tokio::test]
async fn a_request_becomes_one_event_for_each_part() {
    let sandbox = Sandbox::new().await;
    let composite = alone(&sandbox).await;
    let sent = json!({
        "productId": 7, "name": "n", "weight": 2,
        "recommendations": [{"recommendationId": 2, "author": "a", "rate": 3, "content": "c"}, {"recommendationId": 1}],
        "reviews": [{"reviewId": 1, "author": "a", "subject": "s", "content": "c"}],
        "serviceAddresses": {"cmp": "somebody", "pro": "", "rev": "", "rec": ""}
    });
    assert_eq!(composite.post("/product-composite", sent.to_string()).await.status, 202);
    assert_eq!(composite.delete("/product-composite/7").await.status, 202);
    for (destination, events) in [
        (PRODUCTS, vec![r#""CREATE","key":7,"data":{"productId":7,"name":"n","weight":2,"serviceAddress":null}"#]),
        (
            RECOMMENDATIONS,
            vec![
                r#""CREATE","key":7,"data":{"productId":7,"recommendationId":2,"author":"a","rate":3,"content":"c","serviceAddress":null}"#,
                r#""CREATE","key":7,"data":{"productId":7,"recommendationId":1,"author":null,"rate":0,"content":null,"serviceAddress":null}"#,
            ],
        ),
        (
            REVIEWS,
            vec![
                r#""CREATE","key":7,"data":{"productId":7,"reviewId":1,"author":"a","subject":"s","content":"c","serviceAddress":null}"#,
            ],
        ),
    ] {
        let bodies = sandbox.sent(destination).await.into_iter().map(|message| message.body);
        let bodies: Vec<String> = bodies.map(|body| String::from_utf8(body.to_vec()).unwrap()).collect();
        let expected = events.into_iter().chain([r#""DELETE","key":7,"data":null"#]);
        let expected: Vec<String> =
            expected.map(|event| format!(r#"{{"eventType":{event},"eventCreatedAt":""#)).collect();
        assert_eq!(bodies.len(), expected.len(), "{bodies:?}");
        for (body, expected) in bodies.iter().zip(expected) {
            assert!(body.starts_with(&expected) && body.ends_with("Z\"}"), "{body}");
        }
    }
    composite.stop().await;
}

#[tokio::test]
async fn the_trace_of_a_request_goes_on_in_its_events() {
    let sandbox = Sandbox::new().await;
    let composite = alone(&sandbox).await;
    let (trace, span) = ("00-0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let request = composite.request(Method::POST, "/product-composite").header("content-type", "application/json");
    let request = request.header("traceparent", format!("{trace}-{span}-01"));
    assert_eq!(Answer::to(request.body(aggregate(1, "n"))).await.status, 202);
    for destination in [PRODUCTS, RECOMMENDATIONS, REVIEWS] {
        let [message] = &sandbox.sent(destination).await[..] else { panic!("one message in {}", destination.name) };
        let header = message.headers.get("traceparent").and_then(Value::as_str).unwrap();
        assert!(header.starts_with(trace) && header.ends_with("-01") && !header.contains(span), "{header}");
    }
    composite.stop().await;
}
