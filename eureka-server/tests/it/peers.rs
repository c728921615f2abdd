//! Registries that tell each other.

use crate::lab::{ask, hash, instance, place, register, registry, registry_at};
use eureka_server::settings::Settings;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{Answer, Nobody, Running, SOON, eventually};

fn beside(peers: &[&String]) -> Settings {
    Settings { peers: peers.iter().map(|peer| (*peer).clone()).collect(), ..Settings::default() }
}

async fn knows(registry: &Running, path: &str, status: u16, within: Duration) -> Value {
    eventually(within, &format!("{status} at {path}"), async || {
        let answer = ask(registry, Method::GET, path).await;
        if answer.status != status {
            return Err(format!("{answer:?}"));
        }
        Ok(if status == 200 { answer.json() } else { Value::Null })
    })
    .await
}

#[tokio::test]
async fn what_one_learns_all_know() {
    let ((here, a), (there, b)) = (place().await, place().await);
    // Each has the whole list, itself included.
    let (a, b) = (registry_at(here, beside(&[&a, &b])).await, registry_at(there, beside(&[&a, &b])).await);
    register(&a, "PRODUCT", "h1:product:7001").await;
    let one = "/eureka/apps/PRODUCT/h1:product:7001";
    knows(&b, one, 200, SOON).await;

    let overridden = ask(&b, Method::PUT, &format!("{one}/status?value=OUT_OF_SERVICE")).await;
    assert_eq!(overridden.status, 200);
    eventually(SOON, "the override at the other", async || {
        let seen = ask(&a, Method::GET, one).await.json()["instance"]["overriddenStatus"].clone();
        if seen == "OUT_OF_SERVICE" { Ok(()) } else { Err(seen) }
    })
    .await;
    assert_eq!(ask(&b, Method::DELETE, &format!("{one}/status?value=UP")).await.status, 200);
    assert_eq!(ask(&b, Method::PUT, &format!("{one}/metadata?zone=z1")).await.status, 200);
    eventually(SOON, "status and metadata at the other", async || {
        let seen = ask(&a, Method::GET, one).await.json()["instance"].clone();
        if seen["status"] == "UP" && seen["metadata"]["zone"] == "z1" { Ok(()) } else { Err(seen) }
    })
    .await;
    assert_eq!(ask(&a, Method::DELETE, one).await.status, 200);
    knows(&b, one, 404, SOON).await;
    // Neither counts itself among its peers.
    for registry in [&a, &b] {
        eventually(SOON, "one peer, which answers", async || {
            let state = registry.get("/dashboard/state").await.json();
            let peers = (state["peers"].as_array().unwrap().len(), state["unreachable"].as_array().unwrap().len());
            if peers == (1, 0) { Ok(()) } else { Err(state) }
        })
        .await;
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_registry_that_was_away_is_told_by_its_peers() {
    let ((here, a), (there, b)) = (place().await, place().await);
    let socket = there.local_addr().unwrap();
    let (first, second) = (registry_at(here, beside(&[&b])).await, registry_at(there, beside(&[&a])).await);
    register(&first, "PRODUCT", "1").await;
    knows(&second, "/eureka/apps/PRODUCT/1", 200, SOON).await;
    second.stop().await;
    register(&first, "PRODUCT", "2").await;

    // It takes over what its peer knows before it answers.
    let there = tokio::net::TcpListener::bind(socket).await.unwrap();
    let second = registry_at(there, beside(&[&a])).await;
    eventually(SOON, "both", async || {
        let answer = ask(&second, Method::GET, "/eureka/apps").await;
        assert!([200, 403].contains(&answer.status));
        if answer.status == 200 { Ok(answer) } else { Err(answer.status) }
    })
    .await;
    assert_eq!(hash(&second).await, "UP_2_");

    // One that forgot an instance gets it whole after its next renewal.
    let forgot = Answer::to(
        second.request(Method::DELETE, "/eureka/apps/PRODUCT/1").header("x-netflix-discovery-replication", "true"),
    );
    assert_eq!(forgot.await.status, 200);
    assert_eq!(hash(&first).await, "UP_2_");
    assert_eq!(ask(&first, Method::PUT, "/eureka/apps/PRODUCT/1?status=UP").await.status, 200);
    knows(&second, "/eureka/apps/PRODUCT/1", 200, SOON).await;
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn without_peers_that_tell_something_it_waits_before_it_tells() {
    let nobody = Nobody::new();
    let gone = format!("{}/eureka/", nobody.url);
    let settings = Settings { wait_when_empty: Duration::from_secs(2), ..beside(&[&gone]) };
    let registry = registry(settings).await;
    let json = "application/json";
    for path in ["/eureka/apps", "/eureka/apps/delta", "/eureka/apps/PRODUCT", "/eureka/vips/x"] {
        let answer = Answer::to(registry.request(Method::GET, path).header("accept", json)).await;
        assert_eq!((answer.status, answer.text()), (403, ""), "{path}");
    }
    // It listens meanwhile.
    register(&registry, "PRODUCT", "1").await;
    assert_eq!(ask(&registry, Method::PUT, "/eureka/apps/PRODUCT/1").await.status, 200);
    assert_eq!(ask(&registry, Method::GET, "/eureka/apps/PRODUCT/1").await.status, 200);
    eventually(SOON, "an open registry", async || {
        let answer = ask(&registry, Method::GET, "/eureka/apps").await;
        if answer.status == 200 { Ok(()) } else { Err(answer.status) }
    })
    .await;
    registry.stop().await;
}

#[tokio::test]
async fn a_batch_answers_each_change_and_goes_no_further() {
    let ((here, a), (there, b)) = (place().await, place().await);
    let (first, second) = (registry_at(here, beside(&[&b])).await, registry_at(there, beside(&[&a])).await);
    let info = instance("PRODUCT", "9")["instance"].clone();
    let of = |action: &str, id: &str, last_dirty: i64| json!({"appName": "PRODUCT", "id": id, "lastDirtyTimestamp": last_dirty, "status": "UP", "action": action});
    let mut register = of("Register", "9", 1_700_000_000_000);
    register["instanceInfo"] = info;
    let mut invalid = register.clone();
    invalid["instanceInfo"]["hostName"] = Value::Null;
    let known = 1_700_000_000_000;
    let list = json!([
        register,
        invalid,
        of("Heartbeat", "9", known),
        of("Heartbeat", "9", known - 1),
        of("Heartbeat", "9", known + 1),
        of("Heartbeat", "0", known),
        of("StatusUpdate", "9", known),
        of("DeleteStatusOverride", "9", known),
        of("Cancel", "9", known),
        of("Cancel", "9", known),
    ]);
    let answer = first.post("/eureka/peerreplication/batch/", json!({"replicationList": list}).to_string()).await;
    let answers = answer.json()["responseList"].clone();
    let codes: Vec<_> = answers.as_array().unwrap().iter().map(|it| it["statusCode"].as_u64().unwrap()).collect();
    assert_eq!(codes, [200, 200, 200, 409, 404, 404, 200, 200, 200, 404]);
    assert_eq!(answers[3]["responseEntity"]["instanceId"], "9");

    // Something that is told comes after what would have been.
    crate::lab::register(&first, "LAST", "1").await;
    knows(&second, "/eureka/apps/LAST/1", 200, SOON).await;
    let recent = second.get("/dashboard/state").await.json()["recent"]["registered"].clone();
    assert!(recent.as_array().unwrap().iter().all(|it| it["app"] == "LAST"), "{recent}");
    for bad in ["{bad", "{}", r#"{"replicationList":[{"action":"Dance","appName":"A","id":"1"}]}"#] {
        assert_eq!(first.post("/eureka/peerreplication/batch", bad).await.status, 500);
    }
    first.stop().await;
    second.stop().await;
}
