//! The client of Eureka's registries, before one that fails as the test says.

// Outside the test functions too, a test that cannot go on ends.
#![allow(clippy::unwrap_used, clippy::panic)]

use shared::discovery::Discovered;
use shared::discovery::eureka::Eureka;
use shared::discovery::wire::{Instance, Port};
use std::time::{Duration, Instant};
use testkit::finding::{self, client, found, presence};
use testkit::{Fault, Nobody, Registry, SOON, eventually};

/// An instance of the service `a` on this host, on port 80.
fn instance(host: &str) -> Instance {
    Instance {
        instance_id: host.to_owned(),
        host_name: host.to_owned(),
        app: "A".to_owned(),
        vip_address: Some("a".to_owned()),
        port: Port { number: 80, enabled: true },
        ..Instance::unsaid(0)
    }
}

/// A registry that lists `hosts` as instances of `a`, and a client that found them.
async fn with(hosts: &[&str]) -> (Registry, Eureka, Discovered) {
    let registry = Registry::start().await;
    hosts.iter().for_each(|host| registry.put(instance(host)));
    let eureka = client(&registry.url());
    let discovered = eureka.discovered("a");
    let authorities: Vec<_> = hosts.iter().map(|host| format!("{host}:80")).collect();
    found(&discovered, &authorities.iter().map(String::as_str).collect::<Vec<_>>()).await;
    (registry, eureka, discovered)
}

/// Waits until the registry was asked for `call`, whatever the query, from now on. Returns all that it was asked.
async fn asked(registry: &Registry, call: &str) -> Vec<String> {
    registry.calls();
    let mut all = Vec::new();
    eventually(SOON, call, async || {
        all.extend(registry.calls());
        let is_it = |it: &String| it.split('?').next() == Some(call);
        if all.iter().any(is_it) { Ok(()) } else { Err(format!("{:?} and {} others", all.last(), all.len())) }
    })
    .await;
    all
}

#[tokio::test]
async fn check_27_holds_before_a_registry() {
    let registry = Registry::start().await;
    finding::instances_come_and_go(&registry.url()).await;
    finding::who_was_forgotten_registers_again(&registry.url()).await;
    finding::who_is_out_of_service_is_not_found(&registry.url()).await;
    finding::another_registry_stands_in(&registry.url()).await;
}

#[tokio::test]
async fn the_registry_is_read_once_and_then_its_changes() {
    let (registry, _eureka, discovered) = with(&["h1"]).await;
    let first = registry.calls();
    assert_eq!(first[0], "GET /eureka/apps/");
    registry.put(instance("h2"));
    found(&discovered, &["h1:80", "h2:80"]).await;
    registry.cancel("h1");
    found(&discovered, &["h2:80"]).await;
    let rest = [&first[1..], &registry.calls()].concat();
    assert!(rest.iter().all(|call| call == "GET /eureka/apps/delta"), "{rest:?}");
}

#[tokio::test]
async fn changes_that_tell_nothing_or_do_not_add_up_are_made_up_for_by_the_whole() {
    let faults = [Fault::WrongHash, Fault::Unversioned, Fault::Changes(403), Fault::Changes(404), Fault::Changes(500)];
    for fault in faults {
        let (registry, _eureka, discovered) = with(&["h1"]).await;
        registry.fault(fault);
        let calls = asked(&registry, "GET /eureka/apps/").await;
        assert!(calls.contains(&"GET /eureka/apps/delta".to_owned()), "{fault:?}: {calls:?}");
        registry.put(instance("h2"));
        found(&discovered, &["h1:80", "h2:80"]).await;
    }
}

#[tokio::test]
async fn a_registry_that_fails_or_forgets_takes_nobody_away() {
    let (registry, eureka, mut discovered) = with(&["h1", "h2"]).await;
    discovered.mark_unchanged();
    for fault in [Fault::Status(500), Fault::Status(403), Fault::Gibberish] {
        registry.fault(fault);
        asked(&registry, "GET /eureka/apps/").await;
    }
    registry.fault(Fault::None);
    registry.forget();
    eventually(SOON, "an empty registry", async || {
        if eureka.seen().applications.is_empty() { Ok(()) } else { Err("the old one") }
    })
    .await;
    assert!(!discovered.has_changed().unwrap(), "{discovered:?}");
    // What it says again is gone is gone, and what it says again is there is there.
    registry.put(instance("h1"));
    registry.put(instance("h2"));
    registry.cancel("h2");
    found(&discovered, &["h1:80"]).await;
}

#[tokio::test]
async fn a_reader_learns_that_nobody_has_a_name_once_the_registry_has_answered() {
    let registry = Registry::start().await;
    registry.fault(Fault::Status(503));
    let eureka = client(&registry.url());
    let mut early = eureka.discovered("nobody");
    asked(&registry, "GET /eureka/apps/").await;
    assert!(!early.has_changed().unwrap() && eureka.seen().since.is_none());
    registry.fault(Fault::None);
    tokio::time::timeout(SOON, early.changed()).await.unwrap().unwrap();
    assert!(early.borrow().is_empty() && eureka.discovered("nobody as well").has_changed().unwrap());
}

#[tokio::test]
async fn an_instance_is_registered_renewed_and_gone_after_its_last_word() {
    let (registry, eureka, _) = with(&[]).await;
    let registration = eureka.register(&presence("a", "h 1"));
    let dirty = |body: &serde_json::Value| body["instance"]["lastDirtyTimestamp"].as_str().unwrap().to_owned();
    let calls = asked(&registry, "PUT /eureka/apps/A/h%201:a:80").await;
    let first = registry.registrations();
    let query = format!("?status=UP&lastDirtyTimestamp={}", dirty(&first[0]));
    assert!(calls.last().unwrap().ends_with(&query), "{calls:?}");
    assert_eq!((first.len(), first[0]["instance"]["status"].as_str()), (1, Some("UP")));
    registration.leave().await;
    let calls = registry.calls();
    let last: Vec<_> = calls.iter().filter(|call| !call.starts_with("GET")).rev().take(2).collect();
    assert_eq!(last, ["DELETE /eureka/apps/A/h%201:a:80", "POST /eureka/apps/A"]);
    let last = registry.registrations();
    assert_eq!((last.len(), last[0]["instance"]["status"].as_str()), (1, Some("DOWN")));
    assert!(dirty(&last[0]) > dirty(&first[0]));
    assert_eq!(registry.instance("h 1:a:80"), None);
}

#[tokio::test]
async fn a_registry_that_comes_late_is_waited_for() {
    let registry = Registry::start().await;
    registry.fault(Fault::Status(503));
    let eureka = client(&registry.url());
    let registration = eureka.register(&presence("a", "h1"));
    asked(&registry, "POST /eureka/apps/A").await;
    registry.fault(Fault::None);
    found(&eureka.discovered("a"), &["h1:80"]).await;
    registration.leave().await;
}

#[tokio::test]
async fn who_answers_is_asked_again_and_who_fails_is_left_alone_until_the_others_fail() {
    let (one, two) = (Registry::start().await, Registry::start().await);
    let eureka = client(&format!("{},{}", one.url(), two.url()));
    let registration = eureka.register(&presence("a", "h1"));
    let discovered = eureka.discovered("a");
    found(&discovered, &["h1:80"]).await;
    let (good, other) = if one.instance("h1:a:80").is_some() { (&one, &two) } else { (&two, &one) };
    assert_eq!(other.calls(), [""; 0]);

    good.fault(Fault::Status(500));
    // The other has never heard of it.
    asked(other, "POST /eureka/apps/A").await;
    good.calls();
    asked(other, "PUT /eureka/apps/A/h1:a:80").await;
    assert_eq!(good.calls(), [""; 0], "it was left alone");

    other.fault(Fault::Status(500));
    good.fault(Fault::None);
    asked(good, "PUT /eureka/apps/A/h1:a:80").await;
    registration.leave().await;
    assert_eq!(good.instance("h1:a:80"), None);
}

#[tokio::test]
async fn leaving_takes_two_seconds_where_nobody_answers_and_no_time_where_nobody_is() {
    let (registry, nobody) = (Registry::start().await, Nobody::new());
    registry.fault(Fault::Silence);
    for (url, limit) in [(&registry.url(), 3), (&nobody.url, 1)] {
        let registration = client(url).register(&presence("a", "h1"));
        let begun = Instant::now();
        registration.leave().await;
        assert!(begun.elapsed() < Duration::from_secs(limit), "{url}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn the_user_of_the_url_is_told_to_the_registry_and_to_nobody_else() {
    let registry = Registry::start().await;
    let url = registry.url().replace("http://", "http://me:s%3Acret@");
    let eureka = client(&url);
    asked(&registry, "GET /eureka/apps/").await;
    assert_eq!(registry.authorization().as_deref(), Some("Basic bWU6czpjcmV0"));
    assert!(!format!("{eureka:?}").contains("cret"), "{eureka:?}");
}
