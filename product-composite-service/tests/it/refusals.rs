//! Requests that are refused: each with its sentence, and none leaves anything behind.

use crate::{aggregate, alone};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Answer, Sandbox};

const PATH: &str = "/product-composite";

fn failed(path: &str, status: u16, error: &str, message: &str) -> String {
    format!(r#"{{"path":"{path}","status":{status},"error":"{error}","message":{message}"#)
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_400_and_publishes_nothing() {
    let sandbox = Sandbox::new().await;
    let service = alone(&sandbox).await;
    let unreadable = r#""Failed to read HTTP message""#;
    let whole = aggregate(1, "n");
    for (body, message) in [
        ("", r#""No request body""#),
        (" \n", r#""No request body""#),
        ("{bad", unreadable),
        (&whole[..whole.len() - 1], unreadable),
        (&format!("{whole}{whole}"), unreadable),
    ] {
        let answer = service.post(PATH, body.to_owned()).await;
        let expected = failed(PATH, 400, "Bad Request", message) + "}";
        assert_eq!((answer.status, answer.failure()), (400, expected), "{body}");
    }
    let not_unicode = service.post(PATH, &b"{\"productId\":1,\"name\":\"\xff\"}"[..]).await;
    assert_eq!((not_unicode.status, &not_unicode.json()["message"]), (400, &json!("Failed to read HTTP message")));
    assert_eq!(sandbox.count().await, 0);
    service.stop().await;
}

#[tokio::test]
async fn a_value_of_the_wrong_type_is_named_and_publishes_nothing() {
    let sandbox = Sandbox::new().await;
    let service = alone(&sandbox).await;
    for (body, field, value) in [
        (r#"{"productId":2147483648,"name":"n"}"#, "productId", json!(2_147_483_648_i64)),
        (r#"{"productId":-2147483649,"name":"n"}"#, "productId", json!(-2_147_483_649_i64)),
        (r#"{"productId":"one","name":"n"}"#, "productId", json!("one")),
        (r#"{"productId":1,"name":{}}"#, "name", json!({})),
        (r#"{"productId":1,"name":"n","weight":3000000000}"#, "weight", json!(3_000_000_000_i64)),
        (r#"{"productId":1,"name":"n","reviews":{}}"#, "reviews", json!({})),
        (r#"{"productId":1,"name":"n","reviews":[1]}"#, "reviews[0]", json!(1)),
        (r#"{"productId":1,"name":"n","reviews":[[1,"a","s","c"]]}"#, "reviews[0]", json!([1, "a", "s", "c"])),
        (
            r#"{"productId":1,"name":"n","recommendations":[{},{"recommendationId":9999999999}]}"#,
            "recommendations[1].recommendationId",
            json!(9_999_999_999_i64),
        ),
        (r#"[7,"n",1]"#, ".", json!([7, "n", 1])),
        ("null", ".", json!(null)),
        ("7", ".", json!(7)),
    ] {
        let answer = service.post(PATH, body).await;
        let expected = failed(PATH, 400, "Bad Request", r#""Failed to read HTTP message","details":{"#);
        assert!(answer.failure().starts_with(&expected), "{body} gave {answer:?}");
        let details = &answer.json()["details"];
        assert_eq!((&details["field"], &details["value"]), (&json!(field), &value), "{body}");
        assert!(details["problem"].is_string(), "{details}");
    }
    assert_eq!(sandbox.count().await, 0);
    service.stop().await;
}

#[tokio::test]
async fn a_composite_that_may_not_be_is_422_and_publishes_nothing() {
    let sandbox = Sandbox::new().await;
    let service = alone(&sandbox).await;
    let of = |lists: Value| {
        let mut body = json!({"productId": 1, "name": "n"});
        body.as_object_mut().unwrap().extend(lists.as_object().unwrap().clone());
        body
    };
    let recommendations = |ids: [i32; 2]| {
        let list: Vec<Value> = ids.iter().map(|id| json!({"recommendationId": id, "author": "a"})).collect();
        of(json!({"recommendations": list}))
    };
    let reviews = |ids: [i32; 2]| {
        let list: Vec<Value> = ids.iter().map(|id| json!({"reviewId": id, "author": "a"})).collect();
        of(json!({"reviews": list}))
    };
    for (body, field, value) in [
        (json!({"name": "n"}), "productId", json!(0)),
        (json!({"productId": 0, "name": "n"}), "productId", json!(0)),
        (json!({"productId": null, "name": "n"}), "productId", json!(0)),
        (json!({"productId": -1, "name": "n"}), "productId", json!(-1)),
        (json!({"productId": 1}), "name", json!(null)),
        (json!({"productId": 1, "name": null}), "name", json!(null)),
        (recommendations([1, 0]), "recommendations[1].recommendationId", json!(0)),
        (recommendations([-7, 1]), "recommendations[0].recommendationId", json!(-7)),
        (recommendations([5, 5]), "recommendations[1].recommendationId", json!(5)),
        (reviews([1, 0]), "reviews[1].reviewId", json!(0)),
        (reviews([-7, 1]), "reviews[0].reviewId", json!(-7)),
        (reviews([5, 5]), "reviews[1].reviewId", json!(5)),
        (of(json!({"reviews": [{"author": "a"}]})), "reviews[0].reviewId", json!(0)),
    ] {
        let answer = service.post(PATH, body.to_string()).await;
        let name = field.rsplit('.').next().unwrap();
        let rest = format!(r#""Invalid {name}: {value}","details":{{"field":"{field}","value":{value}}}}}"#);
        let expected = failed(PATH, 422, "Unprocessable Entity", &rest);
        assert_eq!((answer.status, answer.failure()), (422, expected), "{body}");
    }
    assert_eq!(sandbox.count().await, 0);
    service.stop().await;
}

#[tokio::test]
async fn another_content_type_is_415_and_publishes_nothing() {
    let sandbox = Sandbox::new().await;
    let service = alone(&sandbox).await;
    for content_type in
        ["text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "application/xml"]
    {
        let request = service.request(Method::POST, PATH).header("content-type", content_type);
        let answer = Answer::to(request.body(aggregate(1, "n"))).await;
        let message = format!(r#""Content type '{content_type}' not supported"}}"#);
        let expected = failed(PATH, 415, "Unsupported Media Type", &message);
        assert_eq!((answer.status, answer.failure()), (415, expected));
    }
    // Bytes, since a text would bring its content type along.
    let answer = Answer::to(service.request(Method::POST, PATH).body(aggregate(1, "n").into_bytes())).await;
    let expected = failed(PATH, 415, "Unsupported Media Type", r#""Content type '' not supported"}"#);
    assert_eq!((answer.status, answer.failure()), (415, expected));
    assert_eq!(sandbox.count().await, 0);
    let request = service.request(Method::POST, PATH).header("content-type", "application/json;charset=UTF-8");
    assert_eq!(Answer::to(request.body(aggregate(1, "n"))).await.status, 202);
    service.stop().await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_publishes_nothing() {
    let sandbox = Sandbox::new().await;
    let service = alone(&sandbox).await;
    let sized = |bytes: usize| {
        let body = aggregate(1, "n");
        body.clone() + &" ".repeat(bytes - body.len())
    };
    for bytes in [(1 << 20) + 1, 3 << 20] {
        let answer = service.post(PATH, sized(bytes)).await;
        let message = r#""The request body is larger than 1048576 bytes"}"#;
        assert_eq!((answer.status, answer.failure()), (413, failed(PATH, 413, "Payload Too Large", message)));
    }
    assert_eq!(sandbox.count().await, 0);
    assert_eq!(service.post(PATH, sized(1 << 20)).await.status, 202);
    service.stop().await;
}

#[tokio::test]
async fn a_bad_id_has_its_sentence_and_deletes_nothing() {
    let sandbox = Sandbox::new().await;
    let service = alone(&sandbox).await;
    let invalid = |id: i32| format!(r#""Invalid productId: {id}","details":{{"field":"productId","value":{id}}}}}"#);
    let mismatch = r#""Type mismatch."}"#.to_owned();
    for (id, status, error, message) in [
        ("-1", 422, "Unprocessable Entity", invalid(-1)),
        ("0", 422, "Unprocessable Entity", invalid(0)),
        ("-2147483648", 422, "Unprocessable Entity", invalid(i32::MIN)),
        ("2147483648", 400, "Bad Request", mismatch.clone()),
        ("abc", 400, "Bad Request", mismatch.clone()),
        ("1.5", 400, "Bad Request", mismatch.clone()),
        ("%20", 400, "Bad Request", mismatch.clone()),
        ("..%2F1", 400, "Bad Request", mismatch),
    ] {
        let path = format!("{PATH}/{id}");
        for method in [Method::GET, Method::DELETE] {
            let answer = Answer::to(service.request(method, &path)).await;
            assert_eq!((answer.status, answer.failure()), (status, failed(&path, status, error, &message)));
        }
    }
    assert_eq!(sandbox.count().await, 0);
    service.stop().await;
}

#[tokio::test]
async fn unknown_routes_and_wrong_methods_have_the_one_body() {
    let sandbox = Sandbox::new().await;
    let service = alone(&sandbox).await;
    for path in
        ["/", "/nope", "/product-composite/", "/product-composite/1/", "/product-composite/1/../2", "/product/1"]
    {
        let answer = service.get_as_is(path).await;
        assert_eq!((answer.status, answer.failure()), (404, failed(path, 404, "Not Found", "null}")));
    }
    for (method, path, allowed) in [
        (Method::PUT, "/product-composite/1", "GET,HEAD,DELETE"),
        (Method::POST, "/product-composite/1", "GET,HEAD,DELETE"),
        (Method::GET, PATH, "POST"),
        (Method::DELETE, PATH, "POST"),
    ] {
        let answer = Answer::to(service.request(method.clone(), path)).await;
        let message = format!(r#""Request method '{method}' is not supported."}}"#);
        assert_eq!((answer.status, answer.failure()), (405, failed(path, 405, "Method Not Allowed", &message)));
        let mut found: Vec<&str> = answer.header("allow").unwrap().split(',').collect();
        let mut allowed: Vec<&str> = allowed.split(',').collect();
        found.sort_unstable();
        allowed.sort_unstable();
        assert_eq!(found, allowed, "{method} {path}");
    }
    assert_eq!(sandbox.count().await, 0);
    service.stop().await;
}
