//! What registries tell each other.

use crate::lab::{Kind, Lab};
use crate::words::{PRODUCT, product, product_with};
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use eureka_server::settings::Settings;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::{Neighbour, SOON, eventually};

pub(crate) async fn check_23_nothing_is_told_before_peers_were_waited_for(kind: Kind) {
    let lab = Lab::with(kind, Settings { wait_when_empty: Duration::from_secs(10), ..Settings::default() }).await;
    let told = ["/apps", "/apps/delta", "/apps/PRODUCT", "/vips/product", "/svips/product"];
    lab.register(product()).await;
    assert_eq!(lab.put(PRODUCT).await, 200);
    assert_eq!(lab.get(PRODUCT).await.status, 200);
    for path in told {
        assert_eq!(lab.get(path).await.status, 403, "at {path}");
    }
    for path in told {
        lab.answers(path, 200).await;
    }
}

pub(crate) async fn check_24_a_batch_is_answered_item_by_item_and_not_forwarded(kind: Kind) {
    let heard = Arc::new(Mutex::new(String::new()));
    let peer = Neighbour::serve(deaf(heard.clone())).await;
    let peers = vec![format!("{}/eureka/", peer.url)];
    let lab = Lab::with(kind, Settings { peers, ..Settings::default() }).await;

    let item = |action: &str, id: &str, timestamp: i64, more: Value| {
        let mut item = json!({"appName": "PRODUCT", "id": id, "lastDirtyTimestamp": timestamp, "action": action});
        item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        item
    };
    let (id, equal) = ("h1:product:7001", 1_700_000_000_000);
    let instance = json!({"status": "UP", "instanceInfo": product()["instance"]});
    let (up, out) = (json!({"status": "UP"}), json!({"status": "OUT_OF_SERVICE"}));
    let register = json!({"replicationList": [item("Register", id, equal, instance.clone())]});
    let registered = lab.post("/peerreplication/batch/", register).await;
    assert_eq!(registered.text(), r#"{"responseList":[{"statusCode":200}]}"#);

    let items = json!({"replicationList": [
        item("Heartbeat", id, equal, up.clone()),
        item("Heartbeat", id, 1_600_000_000_000, up.clone()),
        item("Heartbeat", id, equal + 1, up.clone()),
        item("Heartbeat", "nope", equal, up.clone()),
        item("Register", id, equal, instance),
        item("StatusUpdate", id, equal, out),
        item("DeleteStatusOverride", id, equal, up),
        item("Cancel", id, equal, json!({})),
        item("Cancel", id, equal, json!({})),
    ]});
    let answer = lab.post("/peerreplication/batch", items).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let answers = answer.json()["responseList"].as_array().unwrap().clone();
    let codes: Vec<_> = answers.iter().map(|answer| answer["statusCode"].as_u64().unwrap()).collect();
    assert_eq!(codes, [200, 409, 404, 404, 200, 200, 200, 200, 404]);
    assert_eq!(answers[1]["responseEntity"]["lastDirtyTimestamp"], "1700000000000");

    // What a client says is forwarded; whatever was to be forwarded before it, would have been by then.
    lab.register(product_with(json!({"instanceId": "last", "hostName": "last"}))).await;
    eventually(SOON, "what the client said, at the peer", async || {
        let heard = heard.lock().unwrap().clone();
        if heard.contains("last") { Ok(()) } else { Err(heard) }
    })
    .await;
    assert!(!heard.lock().unwrap().contains(id), "{heard:?}");
}

/// A peer that keeps what it hears and knows nobody.
fn deaf(heard: Arc<Mutex<String>>) -> Router {
    Router::new().fallback(async move |request: Request| {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let line = format!("{} {} {}\n", head.method, head.uri, String::from_utf8_lossy(&body));
        heard.lock().unwrap().push_str(&line);
        StatusCode::NOT_FOUND
    })
}
