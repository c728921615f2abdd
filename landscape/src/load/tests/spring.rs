//! The load against answers as a running Spring landscape gave them: status, headers and bodies.

use super::*;
use axum::body::Bytes;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde_json::Value;

/// The products that are there, as they were written; and of which it says that their ids are invalid.
#[derive(Clone, Default)]
struct Spring {
    kept: Arc<Mutex<HashMap<i32, String>>>,
    invalid: Option<i32>,
}

const ACCEPTED: (StatusCode, [(axum::http::HeaderName, &str); 1]) = (StatusCode::ACCEPTED, [(CONTENT_LENGTH, "0")]);

async fn create(State(spring): State<Spring>, body: Bytes) -> impl IntoResponse {
    let composite: Value = serde_json::from_slice(&body).unwrap();
    let id = composite["productId"].as_i64().unwrap().try_into().unwrap();
    spring.kept.lock().unwrap().insert(id, String::from_utf8(body.into()).unwrap());
    ACCEPTED
}

async fn delete(State(spring): State<Spring>, Path(id): Path<i32>) -> impl IntoResponse {
    spring.kept.lock().unwrap().remove(&id);
    ACCEPTED
}

async fn find(State(spring): State<Spring>, Path(id): Path<i32>) -> impl IntoResponse {
    let refused = |message: String, status: StatusCode, error: &str| {
        let number = status.as_u16();
        let body = format!(
            r#"{{"timestamp":"2026-11-23T07:20:13.516423233Z","path":"/product-composite/{id}","message":"{message}","status":{number},"error":"{error}"}}"#
        );
        (status, [(CONTENT_TYPE, "application/json")], body)
    };
    if spring.invalid == Some(id) {
        return refused(format!("Invalid productId: {id}"), StatusCode::UNPROCESSABLE_ENTITY, "Unprocessable Entity");
    }
    match spring.kept.lock().unwrap().get(&id) {
        Some(composite) => {
            let addresses = r#""serviceAddresses":{"cmp":"vm/127.0.0.1:8080","pro":"vm/127.0.0.1:7001","rev":"vm/127.0.0.1:7003","rec":"vm/127.0.0.1:7002"}}"#;
            let body = format!("{},{addresses}", composite.strip_suffix('}').unwrap());
            (StatusCode::OK, [(CONTENT_TYPE, "application/json")], body)
        }
        None => refused(format!("No product found for productId: {id}"), StatusCode::NOT_FOUND, "Not Found"),
    }
}

async fn load(spring: Spring, options: &str) -> Report {
    let routes = Router::new()
        .route("/product-composite", post(create))
        .route("/product-composite/{id}", get(find).delete(delete))
        .with_state(spring);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, routes).await });
    measure(parse(["--url", &url].into_iter().chain(options.split(' '))).unwrap()).await.unwrap()
}

#[tokio::test]
async fn what_spring_answers_is_understood() {
    let report = load(Spring::default(), "--products 100 --concurrency 4 --mix 3,1,2").await;
    report.verdict().unwrap();
    assert!(report.created == 100 && report.deleted > 10 && report.reads > 20, "{report:?}");
    assert_eq!((report.unanswered.count, report.late), (0, 0), "{report:?}");
}

#[tokio::test]
async fn what_spring_refuses_is_told_in_its_words() {
    let spring = Spring { invalid: Some(502), ..Spring::default() };
    let report = load(spring, "--products 5 --concurrency 1 --timeout 1 --first-id 500 --sample 1000").await;
    assert_eq!(faults(&report), [1, 0, 0, 0]);
    let told = &report.faults.lost.first[0];
    assert!(told.starts_with("product 502: GET answers 422 Unprocessable Entity {\"timestamp\":"), "{told}");
    assert!(told.contains("\"message\":\"Invalid productId: 502\""), "{told}");
}
