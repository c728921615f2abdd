//! Composites as they are read when core services fail.

use crate::fakes::{PRODUCT, RECOMMENDATIONS, REVIEWS, between, saying, silent};
use crate::{composite, cores};
use axum::Router;
use std::time::{Duration, Instant};
use testkit::{Answer, Neighbour, Nobody, Sandbox};

/// Waits for core services no longer than a test has patience.
async fn impatient() -> Sandbox {
    Sandbox::with([("READ_TIMEOUT_MS", "1000")]).await
}

/// Core services that fail in every way they can.
fn failing() -> Vec<(&'static str, Router)> {
    vec![
        ("broken", saying(500, r#"{"message":"secret"}"#)),
        ("unavailable", saying(503, "")),
        ("of another kind", saying(404, "")),
        ("garbled", saying(200, "no json")),
        ("cut off", saying(200, "[{")),
        ("of another shape", saying(200, r#"[{"recommendationId":"x","reviewId":"x"}]"#)),
        ("of nothing", saying(200, "")),
        ("silent", silent()),
    ]
}

fn assert_partial(answer: &Answer, what: &str, missing: &str, lists: &str, addresses: &str) {
    let (pro, cmp) = (r#""pro":"p""#, answer.json()["serviceAddresses"]["cmp"].to_string());
    let expected = format!(
        r#"{{"productId":1,"name":"n","weight":1,{lists},"serviceAddresses":{{"cmp":{cmp},{pro},{addresses}}}}}"#
    );
    assert_eq!((answer.status, answer.text()), (200, expected.as_str()), "{what}");
    assert_eq!(answer.header("x-missing-parts"), Some(missing), "{what}");
}

const NO_RECOMMENDATIONS: &str =
    r#""recommendations":[],"reviews":[{"reviewId":1,"author":"a","subject":"s","content":"c"}]"#;
const NO_REVIEWS: &str =
    r#""recommendations":[{"recommendationId":1,"author":"a","rate":1,"content":"c"}],"reviews":[]"#;

#[tokio::test]
async fn a_list_that_cannot_be_read_is_empty_and_named() {
    for (what, failing) in failing() {
        let sandbox = impatient().await;
        let (service, _cores) = between(&sandbox, [saying(200, PRODUCT), failing.clone(), saying(200, REVIEWS)]).await;
        let answer = service.get("/product-composite/1").await;
        assert_partial(&answer, what, "recommendations", NO_RECOMMENDATIONS, r#""rev":"v","rec":"""#);
        service.stop().await;

        let (service, _cores) = between(&sandbox, [saying(200, PRODUCT), saying(200, RECOMMENDATIONS), failing]).await;
        let answer = service.get("/product-composite/1").await;
        assert_partial(&answer, what, "reviews", NO_REVIEWS, r#""rev":"","rec":"r""#);
        service.stop().await;
    }
}

#[tokio::test]
async fn a_product_whose_lists_are_both_away_is_still_a_product() {
    let sandbox = impatient().await;
    let (product, nobody) = (Neighbour::serve(saying(200, PRODUCT)).await, Nobody::new());
    let url = &nobody.url;
    let cores = cores([&product.url, url, url]);
    let service = composite(&sandbox, sandbox.platform.binder.clone(), cores).await;
    let answer = service.get("/product-composite/1").await;
    let lists = r#""recommendations":[],"reviews":[]"#;
    assert_partial(&answer, "nobody", "recommendations, reviews", lists, r#""rev":"","rec":"""#);
    service.stop().await;
}

#[tokio::test]
async fn a_product_service_that_fails_is_500_and_no_inner_cause_is_told() {
    let sandbox = impatient().await;
    for (what, failing) in failing() {
        let (service, cores) = between(&sandbox, [failing, saying(200, RECOMMENDATIONS), saying(200, REVIEWS)]).await;
        let answer = service.get("/product-composite/1").await;
        let url = format!("{}/product/1", cores[0].url);
        let message = match what {
            "broken" => format!("500 Internal Server Error from GET {url}"),
            "of another kind" => format!("404 Not Found from GET {url}"),
            "silent" => format!("Did not observe any item or terminal signal within 1000ms from GET {url}"),
            _ => format!("503 Service Unavailable from GET {url}"),
        };
        // A list of products is read as no product, whatever stands in it.
        let expected = format!(
            r#"{{"path":"/product-composite/1","status":500,"error":"Internal Server Error","message":"{message}"}}"#
        );
        assert_eq!((answer.status, answer.failure()), (500, expected), "{what}");
        service.stop().await;
    }
}

#[tokio::test]
async fn a_product_service_that_is_away_is_500() {
    let sandbox = impatient().await;
    let nobody = Nobody::new();
    let url = &nobody.url;
    let cores = cores([url; 3]);
    let service = composite(&sandbox, sandbox.platform.binder.clone(), cores).await;
    let answer = service.get("/product-composite/1").await;
    let message = format!("503 Service Unavailable from GET {url}/product/1");
    let expected = format!(
        r#"{{"path":"/product-composite/1","status":500,"error":"Internal Server Error","message":"{message}"}}"#
    );
    assert_eq!((answer.status, answer.failure()), (500, expected));
    service.stop().await;
}

#[tokio::test]
async fn an_unknown_product_waits_for_nobody_else() {
    // Far more patience than the answer may take.
    let sandbox = Sandbox::with([("READ_TIMEOUT_MS", "15000")]).await;
    let unknown = r#"{"status":404,"message":"No product found for productId: 1"}"#;
    let (service, _cores) = between(&sandbox, [saying(404, unknown), silent(), silent()]).await;
    let start = Instant::now();
    let answer = service.get("/product-composite/1").await;
    assert_eq!((answer.status, &answer.json()["message"]), (404, &"No product found for productId: 1".into()));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    service.stop().await;
}
