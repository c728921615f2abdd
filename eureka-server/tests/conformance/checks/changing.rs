//! Overrides, metadata, leaving, deltas.

use crate::lab::{Kind, Lab};
use crate::words::{EMPTY, PRODUCT, product, product_with};
use eureka_server::settings::Settings;
use proptest::collection::vec;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;
use testkit::{SOON, eventually};

pub(crate) async fn check_10_an_override_outlives_heartbeats_and_registrations(kind: Kind) {
    let lab = Lab::new(kind).await;
    lab.register(product()).await;
    assert_eq!(lab.put(&format!("{PRODUCT}/status?value=OUT_OF_SERVICE")).await, 200);
    let overridden = async |action: &str| {
        let instance = lab.instance(PRODUCT).await;
        assert_eq!(instance["status"], "OUT_OF_SERVICE");
        assert_eq!(instance["overriddenStatus"], "OUT_OF_SERVICE");
        assert_eq!(instance["actionType"], action);
        assert_eq!(lab.hash().await, "OUT_OF_SERVICE_1_");
    };
    overridden("MODIFIED").await;
    assert_eq!(lab.put(&format!("{PRODUCT}?status=UP&lastDirtyTimestamp=1700000000000")).await, 200);
    overridden("MODIFIED").await;
    lab.register(product()).await;
    overridden("ADDED").await;
}

pub(crate) async fn check_11_without_its_override_an_instance_is_unknown_until_it_registers(kind: Kind) {
    let lab = Lab::new(kind).await;
    lab.register(product()).await;
    assert_eq!(lab.put(&format!("{PRODUCT}/status?value=OUT_OF_SERVICE")).await, 200);
    assert_eq!(lab.delete(&format!("{PRODUCT}/status")).await, 200);
    let instance = lab.instance(PRODUCT).await;
    assert_eq!((&instance["status"], &instance["overriddenStatus"]), (&json!("UNKNOWN"), &json!("UNKNOWN")));
    assert_eq!(lab.put(PRODUCT).await, 404);
    lab.register(product()).await;
    assert_eq!(lab.instance(PRODUCT).await["status"], "UP");

    assert_eq!(lab.put(&format!("{PRODUCT}/status?value=OUT_OF_SERVICE")).await, 200);
    assert_eq!(lab.delete(&format!("{PRODUCT}/status?value=UP")).await, 200);
    assert_eq!(lab.instance(PRODUCT).await["status"], "UP");
    assert_eq!(lab.put(PRODUCT).await, 200);
    assert_eq!(lab.delete(&format!("{PRODUCT}/status")).await, 200, "where none is set too");
}

pub(crate) async fn check_12_an_illegal_status_is_500_and_an_unknown_instance_404(kind: Kind) {
    let lab = Lab::new(kind).await;
    lab.register(product()).await;
    for (query, status) in [("?value=BOGUS", 500), ("", 500), ("?value=up", 500), ("?value=UP", 200)] {
        assert_eq!(lab.put(&format!("{PRODUCT}/status{query}")).await, status, "for {query}");
    }
    assert_eq!(lab.put("/apps/PRODUCT/nope/status?value=UP").await, 404);
    assert_eq!(lab.delete("/apps/PRODUCT/nope/status").await, 404);
}

pub(crate) async fn check_13_metadata_is_merged(kind: Kind) {
    let lab = Lab::new(kind).await;
    lab.register(product()).await;
    assert_eq!(lab.put(&format!("{PRODUCT}/metadata?zone=z1&a_b=c")).await, 200);
    let merged = json!({"management.port": "7001", "zone": "z1", "a_b": "c"});
    assert_eq!(lab.instance(PRODUCT).await["metadata"], merged);
    assert!(lab.get_as(PRODUCT, "application/xml").await.text().contains("<a__b>c</a__b>"));
    assert_eq!(lab.put("/apps/PRODUCT/nope/metadata?zone=z1").await, 404);
}

pub(crate) async fn check_14_who_leaves_is_gone(kind: Kind) {
    let lab = Lab::new(kind).await;
    lab.register(product()).await;
    assert_eq!(lab.delete(PRODUCT).await, 200);
    assert_eq!(lab.delete(PRODUCT).await, 404);
    assert_eq!(lab.get(PRODUCT).await.status, 404);
    assert_eq!(lab.get("/apps").await.text(), EMPTY);
    assert_eq!(lab.get("/apps/PRODUCT").await.status, 404);
}

pub(crate) async fn check_15_deltas_tell_each_change_once_and_forget_it(kind: Kind) {
    let times = (Duration::from_secs(12), Duration::from_secs(1));
    let settings = Settings { delta_retention: times.0, delta_sweep: times.1, ..Settings::default() };
    let lab = Lab::with(kind, settings).await;
    let told = async |action: &str, status: &str, hash: &str| {
        let delta = lab.get("/apps/delta").await.json();
        assert_eq!(delta["applications"]["apps__hashcode"], hash);
        let told = delta["applications"]["application"][0]["instance"].as_array().unwrap();
        assert_eq!((told.len(), &told[0]["actionType"], &told[0]["status"]), (1, &json!(action), &json!(status)));
    };
    lab.register(product()).await;
    told("ADDED", "UP", "UP_1_").await;
    assert_eq!(lab.put(&format!("{PRODUCT}/status?value=OUT_OF_SERVICE")).await, 200);
    told("MODIFIED", "OUT_OF_SERVICE", "OUT_OF_SERVICE_1_").await;
    assert_eq!(lab.delete(PRODUCT).await, 200);
    told("DELETED", "OUT_OF_SERVICE", "").await;
    lab.register(product()).await;
    told("ADDED", "UP", "UP_1_").await;
    eventually(SOON, "a delta without changes", async || {
        let delta = lab.get("/apps/delta").await.json()["applications"].clone();
        if delta["application"] == json!([]) { Ok(()) } else { Err(delta) }
    })
    .await;
    assert_eq!(lab.hash().await, "UP_1_");
}

pub(crate) async fn check_16_deltas_lead_to_the_same_hash_as_the_whole_registry(kind: Kind) {
    let lab = Lab::new(kind).await;
    let steps = vec((0..4_u8, 0..5_u8), 60).new_tree(&mut TestRunner::deterministic()).unwrap().current();
    let mut known = BTreeMap::new();
    apply(&mut known, &lab.get("/apps").await.json());
    for (who, what) in steps {
        let id = format!("h{who}");
        let path = format!("/apps/PRODUCT/{id}");
        match what {
            0 => _ = lab.delete(&path).await,
            1 => _ = lab.put(&format!("{path}/status?value=OUT_OF_SERVICE")).await,
            2 => _ = lab.delete(&format!("{path}/status?value=UP")).await,
            3 => lab.register(product_with(json!({"instanceId": id, "status": "DOWN"}))).await,
            _ => lab.register(product_with(json!({"instanceId": id}))).await,
        }
        let delta = lab.get("/apps/delta").await.json();
        apply(&mut known, &delta);
        assert_eq!(delta["applications"]["apps__hashcode"], hash(&known), "after {what} of {who}: {delta}");
        assert_eq!(lab.hash().await, hash(&known));
    }
}

/// What a client makes of an answer.
fn apply(known: &mut BTreeMap<String, String>, answer: &Value) {
    let applications = answer["applications"]["application"].as_array().unwrap();
    for instance in applications.iter().flat_map(|application| application["instance"].as_array().unwrap()) {
        let id = instance["instanceId"].as_str().unwrap().to_owned();
        if instance["actionType"] == "DELETED" {
            known.remove(&id);
        } else {
            known.insert(id, instance["status"].as_str().unwrap().to_owned());
        }
    }
}

fn hash(known: &BTreeMap<String, String>) -> String {
    let mut counts = BTreeMap::<_, usize>::new();
    known.values().for_each(|status| *counts.entry(status).or_default() += 1);
    counts.iter().fold(String::new(), |mut hash, (status, count)| {
        write!(hash, "{status}_{count}_").unwrap();
        hash
    })
}
