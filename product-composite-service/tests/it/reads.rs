//! Composites as they are read when all is well.

use crate::fakes::{PRODUCT, RECOMMENDATIONS, REVIEWS, between, saying};
use crate::{Landscape, aggregate, shown};
use axum::Router;
use axum::http::HeaderMap;
use reqwest::Method;
use std::sync::{Arc, Mutex};
use testkit::{Answer, Sandbox};

#[tokio::test]
async fn a_composite_is_read_with_all_its_parts_in_order() {
    let landscape = Landscape::start().await;
    let composite = &landscape.composite;
    let sent = r#"{"productId":1,"name":"n","weight":9,"recommendations":[{"recommendationId":2,"author":"b","rate":2,"content":"d"},{"recommendationId":1,"author":null,"rate":1,"content":null}],"reviews":[{"reviewId":3,"author":"é\n","subject":"s","content":""},{"reviewId":2,"author":"a","subject":null,"content":"c"}]}"#;
    assert_eq!(composite.post("/product-composite", sent).await.status, 202);
    let [cmp, pro, rev, rec] =
        [composite, &landscape.product, &landscape.review, &landscape.recommendation].map(|service| &service.address);
    let parts = r#"{"productId":1,"name":"n","weight":9,"recommendations":[{"recommendationId":1,"author":null,"rate":1,"content":null},{"recommendationId":2,"author":"b","rate":2,"content":"d"}],"reviews":[{"reviewId":2,"author":"a","subject":null,"content":"c"},{"reviewId":3,"author":"é\n","subject":"s","content":""}]"#;
    let addresses = format!(r#"{{"cmp":"{cmp}","pro":"{pro}","rev":"{rev}","rec":"{rec}"}}"#);
    composite.shows("/product-composite/1", &format!(r#"{parts},"serviceAddresses":{addresses}}}"#)).await;
    let answer = composite.get("/product-composite/1").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("x-missing-parts"), None);
    landscape.stop().await;
}

#[tokio::test]
async fn an_unknown_product_is_404_with_the_sentence_of_its_service() {
    let landscape = Landscape::start().await;
    let composite = &landscape.composite;
    composite.post("/product-composite", aggregate(1, "n")).await;
    composite.shows("/product-composite/1", &shown(1, "n", &landscape)).await;
    let answer = composite.get("/product-composite/13").await;
    let sentence = "No product found for productId: 13";
    let expected =
        format!(r#"{{"path":"/product-composite/13","status":404,"error":"Not Found","message":"{sentence}"}}"#);
    assert_eq!((answer.status, answer.failure()), (404, expected));
    landscape.stop().await;
}

#[tokio::test]
async fn connections_to_the_core_services_are_kept() {
    let sandbox = Sandbox::new().await;
    let cores = [saying(200, PRODUCT), saying(200, RECOMMENDATIONS), saying(200, REVIEWS)];
    let (service, neighbours) = between(&sandbox, cores).await;
    for _ in 0..50 {
        assert_eq!(service.get("/product-composite/1").await.status, 200);
    }
    for neighbour in neighbours {
        assert_eq!(neighbour.connections(), 1);
    }
    service.stop().await;
}

#[tokio::test]
async fn the_trace_of_a_request_goes_on_in_all_reads() {
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let listening = |body: &'static str| {
        let seen = seen.clone();
        Router::new().fallback(move |headers: HeaderMap| async move {
            seen.lock().unwrap().push(headers["traceparent"].to_str().unwrap().to_owned());
            body
        })
    };
    let sandbox = Sandbox::new().await;
    let cores = [listening(PRODUCT), listening(RECOMMENDATIONS), listening(REVIEWS)];
    let (service, _neighbours) = between(&sandbox, cores).await;
    let (trace, span) = ("00-0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let request = service.request(Method::GET, "/product-composite/1");
    let answer = Answer::to(request.header("traceparent", format!("{trace}-{span}-01"))).await;
    assert_eq!(answer.status, 200);
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 3);
    for header in seen {
        assert!(header.starts_with(trace) && header.ends_with("-01") && !header.contains(span), "{header}");
    }
    service.stop().await;
}
