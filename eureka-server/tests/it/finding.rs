//! Our client before our registry, when that comes back without a memory.

use crate::lab::{hash, place, registry_at};
use eureka_server::settings::Settings;
use testkit::finding::{client, found, presence};
use testkit::{SOON, eventually};
use tokio::net::TcpListener;

#[tokio::test]
async fn a_restart_without_a_memory_takes_nobody_away_and_everybody_comes_back() {
    let (listener, url) = place().await;
    let socket = listener.local_addr().unwrap();
    let first = registry_at(listener, Settings::default()).await;
    let eureka = client(&url);
    let registrations = ["h1", "h2", "h3"].map(|host| eureka.register(&presence("shop", host)));
    let mut discovered = eureka.discovered("shop");
    found(&discovered, &["h1:80", "h2:80", "h3:80"]).await;
    discovered.mark_unchanged();
    first.stop().await;

    let second = registry_at(TcpListener::bind(socket).await.unwrap(), Settings::default()).await;
    eventually(SOON, "all of them again", async || {
        let seen = hash(&second).await;
        if seen == "UP_3_" { Ok(()) } else { Err(seen) }
    })
    .await;
    eventually(SOON, "a client that sees them", async || {
        let seen = eureka.seen().applications;
        if seen.get("SHOP") == Some(&3) { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    assert!(!discovered.has_changed().unwrap(), "{discovered:?}");
    for registration in registrations {
        registration.leave().await;
    }
    found(&discovered, &[]).await;
    second.stop().await;
}
