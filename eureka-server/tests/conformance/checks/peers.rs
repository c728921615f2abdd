//! What registries tell each other.

use crate::lab::{Kind, Lab};
use crate::words::{PRODUCT, product, product_with};
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use eureka_server::settings::Settings;
use http_body_util::BodyExt;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::{Answer, Neighbour, SOON, eventually, finding};
use tokio::net::TcpListener;

pub(crate) async fn check_23_nothing_is_told_before_peers_were_waited_for(kind: Kind) {
    let lab = Lab::with(kind, Settings { wait_when_empty: Duration::from_secs(15), ..Settings::default() }).await;
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

pub(crate) async fn check_26_what_one_registry_learns_the_other_knows(kind: Kind) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let here = format!("http://{}/eureka/", listener.local_addr().unwrap());
    let there = Lab::with(kind, Settings { peers: vec![here], ..Settings::default() }).await;
    let peers = vec![format!("{}/", there.base)];
    let here = Lab::ours(listener, Settings { peers, ..Settings::default() });
    here.answers("/apps", 200).await;

    let (ours, theirs) = ("/apps/PRODUCT/ours", "/apps/PRODUCT/theirs");
    here.register(product_with(json!({"instanceId": "ours"}))).await;
    there.answers(ours, 200).await;
    there.register(product_with(json!({"instanceId": "theirs"}))).await;
    here.answers(theirs, 200).await;
    assert_eq!(there.put(&format!("{theirs}/status?value=OUT_OF_SERVICE")).await, 200);
    eventually(SOON, "their override here", async || {
        let seen = here.instance(theirs).await["overriddenStatus"].clone();
        if seen == "OUT_OF_SERVICE" { Ok(()) } else { Err(seen) }
    })
    .await;
    // Who forgot an instance gets it again after a renewal at the other.
    let forget = there.request(Method::DELETE, ours).header("x-netflix-discovery-replication", "true");
    assert_eq!(Answer::to(forget).await.status, 200);
    assert_eq!(here.put(&format!("{ours}?status=UP&lastDirtyTimestamp=1700000000000")).await, 200);
    there.answers(ours, 200).await;
    assert_eq!(here.delete(ours).await, 200);
    there.answers(ours, 404).await;
    assert_eq!(there.delete(theirs).await, 200);
    here.answers(theirs, 404).await;
}

pub(crate) async fn check_27_our_client_finds_and_is_found(kind: Kind) {
    // Spring's registry keeps for three minutes what it has rendered in an unlucky moment, unless changes are not kept as long.
    let lab = Lab::with(kind, Settings { delta_retention: Duration::from_secs(179), ..Settings::default() }).await;
    finding::instances_come_and_go(&lab.base).await;
    finding::who_was_forgotten_registers_again(&lab.base).await;
    finding::who_is_out_of_service_is_not_found(&lab.base).await;
    finding::another_registry_stands_in(&lab.base).await;
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
