//! The commands against small services that answer as ours do.

mod deciding;

use super::look::{list, show};
use super::*;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use std::collections::HashMap;

/// How many letters the service has.
const LETTERS: i64 = 2500;

fn letter(sequence: i64) -> Value {
    json!({
        "sequence": sequence, "id": format!("id/{sequence}"), "destination": "products", "partition": 1,
        "key": if sequence == 1 { None } else { Some(sequence) }, "kind": "failed", "cause": "a\u{1b}b ".repeat(60),
        "attempts": 3, "generation": 0, "state": "waiting", "wanted": null, "createdAt": "2026-01-02T03:04:05Z",
    })
}

async fn page(Query(query): Query<HashMap<String, i64>>) -> Json<Value> {
    let first = query["after"] + 1;
    let last = (query["after"] + query["limit"]).min(LETTERS);
    let letters: Vec<Value> = (first..=last).map(letter).collect();
    Json(json!({ "deadLetters": letters, "total": LETTERS, "next": (last < LETTERS).then_some(last) }))
}

async fn one(Path(id): Path<String>) -> Result<Json<Value>, StatusCode> {
    if id != "id/7" {
        return Err(StatusCode::NOT_FOUND);
    }
    let mut letter = letter(7);
    letter["headers"] = json!({ "contentType": "application/json" });
    letter["origin"] = json!({});
    letter["body"] = json!({ "key": 7 });
    Ok(Json(letter))
}

async fn serve(routes: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, routes).await });
    url
}

async fn addresses() -> Vec<(&'static str, String)> {
    let routes = Router::new().route("/actuator/deadletters", get(page)).route("/actuator/deadletters/{id}", get(one));
    let empty = Router::new()
        .route("/actuator/deadletters", get(|| async { Json(json!({ "deadLetters": [], "total": 0, "next": null })) }));
    vec![("product", serve(routes).await), ("review", serve(empty).await)]
}

fn all_of(addresses: &[(&str, String)]) -> Services {
    Services::new(addresses, &[]).unwrap()
}

async fn services() -> Services {
    all_of(&addresses().await)
}

#[tokio::test]
async fn all_pages_are_listed() {
    let mut out = Vec::new();
    list(&services().await, &Filter::default(), false, &mut out).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.lines().count(), 1 + 2500, "{text}");
    assert!(text.starts_with("SERVICE  SEQUENCE  ID "), "{text}");
    let first: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().take(7).collect();
    assert_eq!(first, ["product", "1", "id/1", "products/1", "-", "failed", "3"]);
    assert!(!text.contains('\u{1b}') && text.contains('…'), "{text}");

    let mut out = Vec::new();
    list(&services().await, &Filter::default(), true, &mut out).await.unwrap();
    let lines: Vec<Value> =
        out.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert_eq!(lines.len(), 2500);
    assert_eq!((&lines[2499]["service"], &lines[2499]["sequence"]), (&"product".into(), &2500.into()));
}

#[tokio::test]
async fn one_letter_is_shown_whole() {
    let services = services().await;
    let mut out = Vec::new();
    show(&services, "id/7", true, &mut out).await.unwrap();
    let shown: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((&shown["service"], &shown["key"], &shown["body"]["key"]), (&"product".into(), &7.into(), &7.into()));

    let mut out = Vec::new();
    show(&services, "id/7", false, &mut out).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("partition    1\n") && text.ends_with("body {\n  \"key\": 7\n}\n"), "{text}");

    let error = show(&services, "id/8", false, &mut Vec::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "no service has a dead letter with the id \"id/8\"");
}

#[tokio::test]
async fn a_service_that_is_away_is_named_and_the_others_are_listed() {
    let mut services = addresses().await;
    services.insert(0, ("recommendation", "http://127.0.0.1:9".to_owned()));
    services.push(("other", serve(Router::new().fallback(|| async { StatusCode::BAD_GATEWAY })).await));
    let mut out = Vec::new();
    let error = list(&all_of(&services), &Filter::default(), true, &mut out).await.unwrap_err().to_string();
    assert_eq!(out.split(|byte| *byte == b'\n').count(), 2501);
    let (first, second) = error.split_once('\n').unwrap();
    assert!(first.starts_with("recommendation at http://127.0.0.1:9 cannot be reached: Connection refused"), "{error}");
    assert!(second.ends_with("answers 502 Bad Gateway"), "{error}");
}
