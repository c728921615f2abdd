//! A service with a registry: found when it runs, gone before it stops, and well without.

// Outside the test functions too, a test that cannot go on ends.
#![allow(clippy::unwrap_used, clippy::panic)]

use axum::Router;
use http::Method;
use serde_json::{Value, json};
use shared::actuator::Info;
use shared::discovery::wire::{Instance, Status};
use shared::service::Service;
use shared::service::config::Limits;
use shared::service::platform::Platform;
use std::time::Duration;
use testkit::{Fault, Registry, Running, SOON, Sandbox, eventually};

const INFO: Info = Info { artifact: "shop-service", name: "shop", version: "1" };

/// A service without routes.
async fn start(platform: Platform) -> Running {
    Running::start(platform, async |platform, _| Ok(Service::new(INFO, &platform, Router::new()))).await
}

/// A registry, and what a service needs to be found through it.
async fn surroundings() -> (Registry, Sandbox) {
    let registry = Registry::start().await;
    let sandbox = Sandbox::with([
        ("EUREKA_URL", registry.url().as_str()),
        ("EUREKA_CLIENT_REGISTRYFETCHINTERVALSECONDS", "1"),
        ("EUREKA_INSTANCE_METADATAMAP_ZONE", "z1"),
    ])
    .await;
    (registry, sandbox)
}

/// Waits until the registry lists the service, and returns its entry.
async fn registered(registry: &Registry) -> Instance {
    eventually(SOON, "a registration", async || match registry.registrations().pop() {
        Some(body) => Ok(serde_json::from_value(body["instance"].clone()).unwrap()),
        None => Err("nobody"),
    })
    .await
}

/// Waits until the health shows this `discoveryComposite`.
async fn shows(running: &Running, composite: Value) {
    eventually(SOON, &composite.to_string(), async || {
        let answer = running.get("/actuator/health").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let now = answer.json()["components"]["discoveryComposite"].clone();
        if now == composite { Ok(()) } else { Err(now) }
    })
    .await;
}

fn composite(client: &Value, eureka: &Value, description: Option<&str>) -> Value {
    let mut composite = json!({ "status": "UP", "components": { "discoveryClient": client, "eureka": eureka } });
    if let Some(description) = description {
        composite["description"] = description.into();
    }
    composite
}

#[tokio::test]
async fn a_service_is_found_when_it_runs_and_gone_before_it_stops() {
    let (registry, sandbox) = surroundings().await;
    let running = start(sandbox.platform.clone()).await;
    let found = registered(&registry).await;
    let port = running.url.rsplit(':').next().unwrap();
    assert!(found.instance_id.ends_with(&format!(":shop:{port}")), "{found:?}");
    assert_eq!((found.host_name.as_str(), found.ip_addr.as_str()), ("127.0.0.1", "127.0.0.1"));
    assert_eq!((found.app.as_str(), found.vip_address.as_deref()), ("SHOP", Some("shop")));
    assert_eq!(found.health_check_url, Some(format!("{}/actuator/health", running.url)));
    assert_eq!((found.lease.renewal_interval_s, found.lease.duration_s), (5, 15));
    assert_eq!(found.metadata, [("management.port", port), ("zone", "z1")].map(|(k, v)| (k.into(), v.into())).into());
    running.stop().await;
    assert_eq!(registry.instance(found.id()), None);
}

#[tokio::test]
async fn health_shows_what_springs_does_and_a_registry_that_is_away_harms_nobody() {
    let (registry, sandbox) = surroundings().await;
    registry.fault(Fault::Status(503));
    let running = start(sandbox.platform.clone()).await;
    let away = "Eureka discovery client has not yet successfully connected to a Eureka server";
    let unknown = json!({ "description": "Discovery Client not initialized", "status": "UNKNOWN" });
    let eureka = json!({ "description": away, "status": "UP", "details": { "applications": {} } });
    shows(&running, composite(&unknown, &eureka, Some(away))).await;

    registry.fault(Fault::None);
    let client = json!({ "status": "UP", "details": { "services": ["shop"] } });
    let remote = "Remote status from Eureka server";
    let applications = json!({ "SHOP": 1 });
    let eureka = json!({ "description": remote, "status": "UP", "details": { "applications": applications } });
    shows(&running, composite(&client, &eureka, None)).await;

    registry.fault(Fault::Status(500));
    let failing = "Eureka discovery client is reporting failures to connect to a Eureka server";
    let details = json!({ "renewalPeriod": 5, "failCount": 2, "applications": applications });
    let eureka = json!({ "description": failing, "status": "UP", "details": details });
    shows(&running, composite(&client, &eureka, None)).await;

    // What an operator says of this instance is no fault of the registry.
    registry.fault(Fault::None);
    let found = registered(&registry).await;
    registry.put(Instance { status: Status::OutOfService, ..found });
    running.answers("/actuator/health", 503).await;
    assert_eq!(running.get("/actuator/health/readiness").await.status, 200);
    running.stop().await;
}

#[tokio::test]
async fn a_service_stops_in_time_though_its_registry_is_silent() {
    let (registry, sandbox) = surroundings().await;
    let running = start(sandbox.platform.clone()).await;
    registered(&registry).await;
    registry.fault(Fault::Silence);
    let stopped = tokio::time::timeout(Duration::from_secs(5), running.stop());
    assert!(stopped.await.is_ok());
}

#[tokio::test]
async fn without_a_registry_or_plain_nothing_is_shown_or_told() {
    let sandbox = Sandbox::new().await;
    let running = start(sandbox.platform.clone()).await;
    assert_eq!(running.get("/actuator/health/discoveryComposite").await.status, 404);
    running.stop().await;

    let (registry, sandbox) = surroundings().await;
    let limits: Limits = sandbox.platform.config.limits.clone();
    let plain = async |_, _| Ok(Service::plain(INFO, &limits, Router::new()));
    let running = Running::start(sandbox.platform.clone(), plain).await;
    assert_eq!(running.request(Method::GET, "/actuator/health").send().await.unwrap().status(), 200);
    running.stop().await;
    assert_eq!(registry.registrations(), [Value::Null; 0]);
}
