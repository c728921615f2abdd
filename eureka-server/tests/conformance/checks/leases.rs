//! What time does.

use crate::lab::{Kind, Lab};
use crate::words::{PRODUCT, product_with};
use eureka_server::settings::Settings;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::eventually;

/// A lease of this many seconds.
fn lease(seconds: u64) -> Value {
    json!({"renewalIntervalInSecs": 1, "durationInSecs": seconds})
}

pub(crate) async fn check_21_a_lease_lasts_once_its_duration_and_twice_after_a_renewal(kind: Kind) {
    let lab = Lab::with(kind, Settings { self_preservation: false, ..Settings::default() }).await;
    let (start, bounds) = (Instant::now(), [3.0, 6.0].map(Duration::from_secs_f64));
    lab.register(product_with(json!({"leaseInfo": lease(3)}))).await;
    // The registry counts from a moment between these.
    let registered = Instant::now();
    assert_eq!(lab.get(PRODUCT).await.status, 200);
    lab.answers(PRODUCT, 404).await;
    assert!(start.elapsed() >= bounds[0] && registered.elapsed() < bounds[1], "{:?}", start.elapsed());
    assert_eq!(lab.hash().await, "UP_1_", "what is over is not evicted yet");

    let renewed = Instant::now();
    assert_eq!(lab.put(PRODUCT).await, 200, "until then it can be renewed");
    let answered = Instant::now();
    assert_eq!(lab.get(PRODUCT).await.status, 200);
    lab.answers(PRODUCT, 404).await;
    assert!(renewed.elapsed() >= bounds[1] && answered.elapsed() < bounds[1] + bounds[0], "{:?}", renewed.elapsed());
}

pub(crate) async fn check_21_what_is_over_is_evicted(kind: Kind) {
    let eviction_interval = Duration::from_secs(1);
    let lab = Lab::with(kind, Settings { self_preservation: false, eviction_interval, ..Settings::default() }).await;
    lab.register(product_with(json!({"leaseInfo": lease(1)}))).await;
    lab.answers("/apps/PRODUCT", 404).await;
    let delta = lab.get("/apps/delta").await.json();
    let told = &delta["applications"]["application"][0]["instance"][0];
    assert_eq!((&told["actionType"], &told["status"]), (&json!("DELETED"), &json!("UP")));
    assert!(told["leaseInfo"]["evictionTimestamp"].as_u64().unwrap() > 0, "{delta}");
    assert_eq!(lab.put(PRODUCT).await, 404);
}

pub(crate) async fn check_22_self_preservation_evicts_only_while_enough_renew(kind: Kind) {
    // With 10 expected, one of which a registry of Spring's takes for granted, 17 renewals in a minute are too few.
    const INSTANCES: usize = 9;
    let eviction_interval = Duration::from_secs(3);
    let settings = Settings { eviction_interval, ..Settings::default() };
    let (few, enough) = (Lab::with(kind, settings.clone()).await, Lab::with(kind, settings).await);
    for (lab, renewals) in [(&few, 17), (&enough, 18)] {
        for number in 0..INSTANCES {
            lab.register(product_with(json!({"instanceId": format!("h{number}"), "leaseInfo": lease(1)}))).await;
        }
        for number in 0..renewals {
            assert_eq!(lab.put(&format!("/apps/PRODUCT/h{}", number % INSTANCES)).await, 200);
        }
    }
    let size = async || {
        let application = &enough.get("/apps").await.json()["applications"]["application"][0];
        application["instance"].as_array().map_or(0, Vec::len)
    };
    let below = async |limit: usize| {
        eventually(Duration::from_secs(100), &format!("fewer than {limit} instances"), async || match size().await {
            size if size < limit => Ok(Instant::now()),
            size => Err(size),
        })
        .await
    };
    let (first, second) = (below(INSTANCES).await, below(INSTANCES - 2).await);
    // A run takes two, for 15 percent are rounded up; whoever looks meanwhile sees one of them still.
    assert!(second - first > eviction_interval / 2, "{:?}", second - first);
    // Its minute began before the other's.
    let kept = few.get("/apps/PRODUCT").await.json();
    assert_eq!(kept["application"]["instance"].as_array().unwrap().len(), INSTANCES);
}
