//! Whom a registry believes.

use crate::lab::{Kind, Lab};
use crate::words::{PRODUCT, product, product_with};
use reqwest::Method;
use serde_json::json;
use testkit::Answer;

pub(crate) async fn check_07_a_heartbeat_is_404_only_when_the_client_should_register_again(kind: Kind) {
    let lab = Lab::new(kind).await;
    lab.register(product()).await;
    let at = |timestamp: i64| format!("{PRODUCT}?status=UP&lastDirtyTimestamp={timestamp}");
    let unknown = "/apps/PRODUCT/nope?status=UP&lastDirtyTimestamp=1".to_owned();
    let (equal, older, newer) = (at(1_700_000_000_000), at(1_600_000_000_000), at(1_700_000_000_001));
    let bare = PRODUCT.to_owned();
    for (path, status) in [(bare, 200), (equal, 200), (older, 200), (newer, 404), (unknown, 404)] {
        let answer = Answer::to(lab.request(Method::PUT, &path)).await;
        assert_eq!((answer.status, answer.text()), (status, ""), "at {path}");
    }
    assert_eq!(lab.put(&format!("{PRODUCT}?status=UP&lastDirtyTimestamp=soon")).await, 500);
}

pub(crate) async fn check_08_a_peer_with_an_older_record_is_told_the_newer_one(kind: Kind) {
    let lab = Lab::new(kind).await;
    lab.register(product()).await;
    let peer = async |path: String| {
        let request = lab.request(Method::PUT, &path).header("x-netflix-discovery-replication", "true");
        Answer::to(request.header("accept", "application/json")).await
    };
    let older = peer(format!("{PRODUCT}?status=UP&lastDirtyTimestamp=1600000000000")).await;
    assert_eq!(older.status, 409);
    assert_eq!(older.json()["instance"]["lastDirtyTimestamp"], "1700000000000");
    assert_eq!(peer(format!("{PRODUCT}?status=UP&lastDirtyTimestamp=1700000000000")).await.status, 200);
    assert_eq!(peer(format!("{PRODUCT}?status=UP&lastDirtyTimestamp=1700000000001")).await.status, 404);
    assert_eq!(peer("/apps/PRODUCT/nope?status=UP&lastDirtyTimestamp=1".to_owned()).await.status, 404);
}

pub(crate) async fn check_09_an_older_record_does_not_replace_a_newer_one(kind: Kind) {
    let lab = Lab::new(kind).await;
    lab.register(product()).await;
    lab.register(product_with(json!({"hostName": "h9", "lastDirtyTimestamp": "1600000000000"}))).await;
    let kept = lab.instance(PRODUCT).await;
    assert_eq!((&kept["hostName"], &kept["lastDirtyTimestamp"]), (&json!("h1"), &json!("1700000000000")));
    lab.register(product_with(json!({"hostName": "h9"}))).await;
    assert_eq!(lab.instance(PRODUCT).await["hostName"], "h9");
}

pub(crate) async fn check_20_whose_status_is_believed(kind: Kind) {
    let lab = Lab::new(kind).await;
    let steps = [
        ("UP", "UP"),
        ("OUT_OF_SERVICE", "UP"),
        ("DOWN", "DOWN"),
        ("OUT_OF_SERVICE", "OUT_OF_SERVICE"),
        ("UP", "OUT_OF_SERVICE"),
        ("STARTING", "STARTING"),
        ("UP", "UP"),
        ("UNKNOWN", "UNKNOWN"),
        ("nonsense", "UNKNOWN"),
    ];
    for (step, (sent, served)) in steps.into_iter().enumerate() {
        let timestamp = (1_700_000_000_000 + i64::try_from(step).unwrap()).to_string();
        lab.register(product_with(json!({"status": sent, "lastDirtyTimestamp": timestamp}))).await;
        assert_eq!(lab.instance(PRODUCT).await["status"], served, "after step {step}, {sent}");
    }
    assert_eq!(lab.put(PRODUCT).await, 404, "an unknown status asks for a registration");
    let other = json!({"instanceId": "h2:product:7001", "overriddenstatus": "OUT_OF_SERVICE"});
    lab.register(product_with(other)).await;
    assert_eq!(lab.instance("/apps/PRODUCT/h2:product:7001").await["status"], "OUT_OF_SERVICE");
}
