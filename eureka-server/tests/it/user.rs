//! A registry that wants to know who asks.

use crate::lab::{place, register, registry, registry_at};
use eureka_server::settings::Settings;
use reqwest::Method;
use testkit::{Answer, SOON, eventually};

#[tokio::test]
async fn whoever_does_not_know_the_password_learns_nothing() {
    let user = Some(("u".to_owned(), "p".to_owned()));
    let registry = registry(Settings { user, ..Settings::default() }).await;
    for path in ["/eureka/apps", "/", "/dashboard/state", "/dashboard/script.js", "/nope"] {
        assert_eq!(registry.get(path).await.status, 401, "{path}");
        let wrong = registry.request(Method::GET, path).basic_auth("u", Some("q"));
        assert_eq!(Answer::to(wrong).await.status, 401, "{path}");
    }
    assert_eq!(registry.get("/eureka/apps").await.header("www-authenticate"), Some("Basic realm=\"Realm\""));
    let right = registry.request(Method::GET, "/eureka/apps").basic_auth("u", Some("p"));
    assert_eq!(Answer::to(right).await.status, 200);
    // Who watches over containers needs no password.
    assert_eq!(registry.get("/actuator/health").await.text(), r#"{"status":"UP"}"#);
    registry.stop_unseen().await;
}

#[tokio::test]
async fn a_peer_takes_the_password_from_the_url() {
    let (listener, url) = place().await;
    let user = Some(("u".to_owned(), "p".to_owned()));
    let guarded = registry_at(listener, Settings { user, ..Settings::default() }).await;
    let peer = url.replace("http://", "http://u:p@");
    let open = registry(Settings { peers: vec![peer], ..Settings::default() }).await;
    register(&open, "A", "1").await;
    eventually(SOON, "the instance at the peer", async || {
        let asked = guarded.request(Method::GET, "/eureka/apps/A/1").basic_auth("u", Some("p"));
        let answer = Answer::to(asked).await;
        if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
    open.stop().await;
    guarded.stop_unseen().await;
}
