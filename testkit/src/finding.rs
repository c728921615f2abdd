//! Our client before any registry: Netflix's, Spring's or ours, at the URL that the test says.

use crate::{Answer, Nobody, eventually};
use reqwest::{Client, Method};
use shared::discovery::Discovered;
use shared::discovery::eureka::{Eureka, Presence};
use std::time::Duration;

/// How long a registry may take to tell: the original's caches may be 30 seconds old.
const TOLD: Duration = Duration::from_secs(60);

/// How often the client asks here.
const REFRESH: Duration = Duration::from_millis(100);

/// A client of the registries at `urls` that asks often.
pub fn client(urls: &str) -> Eureka {
    Eureka::open(&urls.parse().unwrap(), REFRESH).unwrap()
}

/// An instance of `name` on this host of port 80.
pub fn presence(name: &str, host: &str) -> Presence {
    Presence {
        name: name.to_owned(),
        id: format!("{host}:{name}:80"),
        host_name: host.to_owned(),
        ip_addr: "10.0.0.1".to_owned(),
        port: 80,
        zone: Some("z1".to_owned()),
        renewal: REFRESH,
        duration: Duration::from_secs(15),
    }
}

/// Waits until these are the authorities that were discovered.
pub async fn found(discovered: &Discovered, authorities: &[&str]) {
    eventually(TOLD, &format!("{authorities:?}"), async || {
        let endpoints = discovered.borrow().clone();
        let now: Vec<_> = endpoints.iter().map(|endpoint| endpoint.authority.as_str()).collect();
        if now == authorities { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
}

/// Instances that register are found, and those that leave are not any more.
pub async fn instances_come_and_go(url: &str) {
    let (registrar, reader) = (client(url), client(url));
    let discovered = reader.discovered("Come-And-Go");
    let first = registrar.register(&presence("come-and-go", "h1"));
    found(&discovered, &["h1:80"]).await;
    assert_eq!(discovered.borrow()[0].zone.as_deref(), Some("z1"));
    let second = registrar.register(&presence("come-and-go", "h2"));
    found(&discovered, &["h1:80", "h2:80"]).await;
    first.leave().await;
    found(&discovered, &["h2:80"]).await;
    second.leave().await;
    found(&discovered, &[]).await;
}

/// A registry that forgot an instance learns of it again.
pub async fn who_was_forgotten_registers_again(url: &str) {
    let eureka = client(url);
    let discovered = eureka.discovered("forgotten");
    let registration = eureka.register(&presence("forgotten", "h1"));
    found(&discovered, &["h1:80"]).await;
    let id = "h1:forgotten:80";
    let registered = dirty(url, "FORGOTTEN", id).await.unwrap();
    let forgotten = Client::new().request(Method::DELETE, format!("{url}/apps/FORGOTTEN/{id}"));
    assert_eq!(Answer::to(forgotten).await.status, 200);
    eventually(TOLD, "a younger registration", async || match dirty(url, "FORGOTTEN", id).await {
        Some(again) if again > registered => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    found(&discovered, &["h1:80"]).await;
    registration.leave().await;
    assert_eq!(dirty(url, "FORGOTTEN", id).await, None);
}

/// What an operator takes out of service is not found until he puts it back.
pub async fn who_is_out_of_service_is_not_found(url: &str) {
    let eureka = client(url);
    let discovered = eureka.discovered("overridden");
    let registration = eureka.register(&presence("overridden", "h1"));
    found(&discovered, &["h1:80"]).await;
    let status = format!("{url}/apps/OVERRIDDEN/h1:overridden:80/status");
    for (method, value, authorities) in [(Method::PUT, "OUT_OF_SERVICE", &[][..]), (Method::DELETE, "UP", &["h1:80"])] {
        let set = Client::new().request(method, format!("{status}?value={value}"));
        assert_eq!(Answer::to(set).await.status, 200);
        found(&discovered, authorities).await;
    }
    registration.leave().await;
}

/// Where the first registry is away, the others do.
pub async fn another_registry_stands_in(url: &str) {
    let nobody = Nobody::new();
    let eureka = client(&format!("{},{url}", nobody.url));
    let discovered = eureka.discovered("stand-in");
    let registration = eureka.register(&presence("stand-in", "h1"));
    found(&discovered, &["h1:80"]).await;
    registration.leave().await;
    assert_eq!(dirty(url, "STAND-IN", "h1:stand-in:80").await, None);
}

/// When the instance was registered, if it is.
async fn dirty(url: &str, app: &str, id: &str) -> Option<i64> {
    let request = Client::new().get(format!("{url}/apps/{app}/{id}")).header("accept", "application/json");
    let answer = Answer::to(request).await;
    match answer.status {
        404 => None,
        200 => answer.json()["instance"]["lastDirtyTimestamp"].as_str().unwrap().parse().ok(),
        other => panic!("{other} for an instance"),
    }
}
