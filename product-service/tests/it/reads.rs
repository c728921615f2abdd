//! What the service answers, and how it refuses.

use crate::{product, shown, start};
use reqwest::Method;
use shared::api::PRODUCTS;
use testkit::{Answer, Sandbox};

#[tokio::test]
async fn a_product_is_shown_with_the_instance_that_answers() {
    let sandbox = Sandbox::new().await;
    let service = start(&sandbox).await;
    sandbox.create(PRODUCTS, 1, product(1, "n")).await;
    service.shows("/product/1", &shown(1, "n", &service)).await;
    let answer = service.get("/product/1?more=1").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let port = service.url.rsplit(':').next().unwrap();
    assert!(service.address.ends_with(&format!(":{port}")) && service.address.contains('/'), "{}", service.address);
    service.stop().await;
}

#[tokio::test]
async fn each_failure_has_its_sentence_in_the_one_body() {
    let sandbox = Sandbox::new().await;
    let service = start(&sandbox).await;
    for (path, status, error, rest) in [
        ("/product/13", 404, "Not Found", r#""No product found for productId: 13"}"#),
        ("/product/abc", 400, "Bad Request", r#""Type mismatch."}"#),
        ("/product/2147483648", 400, "Bad Request", r#""Type mismatch."}"#),
        ("/product/%FF", 400, "Bad Request", r#""Type mismatch."}"#),
        ("/product/..%2F1", 400, "Bad Request", r#""Type mismatch."}"#),
        (
            "/product/-1",
            422,
            "Unprocessable Entity",
            r#""Invalid productId: -1","details":{"field":"productId","value":-1}}"#,
        ),
        (
            "/product/0",
            422,
            "Unprocessable Entity",
            r#""Invalid productId: 0","details":{"field":"productId","value":0}}"#,
        ),
        ("/product", 404, "Not Found", "null}"),
        ("/product/", 404, "Not Found", "null}"),
        ("/product/1/", 404, "Not Found", "null}"),
        ("/product/1/../2", 404, "Not Found", "null}"),
        ("/../../etc/passwd", 404, "Not Found", "null}"),
        ("//product/1", 404, "Not Found", "null}"),
        ("/nope", 404, "Not Found", "null}"),
        ("/actuator/nope", 404, "Not Found", "null}"),
    ] {
        let answer = service.get_as_is(path).await;
        let expected = format!(r#"{{"path":"{path}","status":{status},"error":"{error}","message":{rest}"#);
        assert_eq!((answer.status, answer.failure()), (status, expected));
    }
    service.stop().await;
}

#[tokio::test]
async fn the_service_is_changed_by_events_only() {
    let sandbox = Sandbox::new().await;
    let service = start(&sandbox).await;
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = Answer::to(service.request(method.clone(), "/product/1")).await;
        let sentence = format!("Request method '{method}' is not supported.");
        let expected =
            format!(r#"{{"path":"/product/1","status":405,"error":"Method Not Allowed","message":"{sentence}"}}"#);
        assert_eq!((answer.status, answer.failure()), (405, expected));
        assert_eq!(answer.header("allow"), Some("GET,HEAD"));
    }
    service.stop().await;
}
