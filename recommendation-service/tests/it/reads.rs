//! What the service answers, and how it refuses.

use crate::start;
use reqwest::Method;
use testkit::{Answer, Sandbox};

#[tokio::test]
async fn a_product_without_recommendations_has_an_empty_list() {
    let sandbox = Sandbox::new().await;
    let service = start(&sandbox).await;
    let answer = service.get("/recommendation?productId=99").await;
    assert_eq!((answer.status, answer.text()), (200, "[]"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    service.stop().await;
}

#[tokio::test]
async fn each_failure_has_its_sentence_in_the_one_body() {
    let sandbox = Sandbox::new().await;
    let service = start(&sandbox).await;
    let invalid = r#""Invalid productId: -1","details":{"field":"productId","value":-1}}"#;
    let missing = r#""Required query parameter 'productId' is not present."}"#;
    for (path, query, status, error, rest) in [
        ("/recommendation", "", 400, "Bad Request", missing),
        ("/recommendation", "?product=1", 400, "Bad Request", missing),
        ("/recommendation", "?productId=", 400, "Bad Request", r#""Type mismatch."}"#),
        ("/recommendation", "?productId=abc", 400, "Bad Request", r#""Type mismatch."}"#),
        ("/recommendation", "?productId=2147483648", 400, "Bad Request", r#""Type mismatch."}"#),
        ("/recommendation", "?productId=../1", 400, "Bad Request", r#""Type mismatch."}"#),
        ("/recommendation", "?productId=-1", 422, "Unprocessable Entity", invalid),
        ("/recommendation/1", "", 404, "Not Found", "null}"),
        ("/recommendation/../nope", "", 404, "Not Found", "null}"),
        ("/nope", "", 404, "Not Found", "null}"),
    ] {
        let answer = service.get_as_is(&format!("{path}{query}")).await;
        let expected = format!(r#"{{"path":"{path}","status":{status},"error":"{error}","message":{rest}"#);
        assert_eq!((answer.status, answer.failure()), (status, expected), "{path}{query}");
    }
    let answer = Answer::to(service.request(Method::DELETE, "/recommendation?productId=1")).await;
    let sentence = "Request method 'DELETE' is not supported.";
    let expected =
        format!(r#"{{"path":"/recommendation","status":405,"error":"Method Not Allowed","message":"{sentence}"}}"#);
    assert_eq!((answer.status, answer.failure(), answer.header("allow")), (405, expected, Some("GET,HEAD")));
    service.stop().await;
}

#[tokio::test]
async fn the_actuator_knows_this_service() {
    let sandbox = Sandbox::new().await;
    let service = start(&sandbox).await;
    let health = service.answers("/actuator/health", 200).await.json();
    let components: Vec<&str> = health["components"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(components, ["binders", "db", "deadLetters", "diskSpace", "livenessState", "ping", "readinessState"]);
    assert_eq!(service.get("/actuator/info").await.json()["build"]["name"], "recommendation");
    let links = service.get("/actuator").await.json();
    assert!(links["_links"]["deadletters"]["href"].as_str().unwrap().ends_with("/actuator/deadletters"), "{links}");
    service.stop().await;
}
