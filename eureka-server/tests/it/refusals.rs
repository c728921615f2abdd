//! What nobody should send.

use crate::lab::{ask, client, hash, instance, registry};
use eureka_server::settings::Settings;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Method;
use std::io::Write as _;
use testkit::Answer;

#[tokio::test]
async fn a_body_that_is_no_instance_is_refused() {
    let registry = registry(Settings::default()).await;
    let deep_json = format!(r#"{{"instance":{}"#, r#"{"a":"#.repeat(10_000));
    let deep_xml = format!("<instance>{}", "<a>".repeat(10_000));
    let laughs = "<!DOCTYPE l [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]><instance><app>&b;</app></instance>";
    let large = format!(r#"{{"instance":{{"app":"A","metadata":{{"k":"{}"}}}}}}"#, "v".repeat(10 << 20));
    for (content_type, body, status) in [
        ("application/json", "{bad", 400),
        ("application/json", "", 400),
        ("application/json", r#"{"foo":{}}"#, 400),
        ("application/json", deep_json.as_str(), 400),
        ("application/json", large.as_str(), 413),
        ("application/xml", "", 400),
        ("application/xml", "<instance>", 400),
        ("application/xml", laughs, 400),
        ("application/xml", deep_xml.as_str(), 400),
        ("text/plain", "{}", 415),
    ] {
        let request = registry.request(Method::POST, "/eureka/apps/A").header("content-type", content_type);
        let answer = Answer::to(request.body(body.to_owned())).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    assert_eq!(hash(&registry).await, "");
    registry.stop().await;
}

#[tokio::test]
async fn a_compressed_body_is_read_and_a_bomb_is_not() {
    let registry = registry(Settings::default()).await;
    let packed = |body: &[u8]| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(body).unwrap();
        gzip.finish().unwrap()
    };
    let bomb = vec![b' '; 50 << 20];
    let body = instance("A", "1").to_string();
    for (body, status) in [(packed(body.as_bytes()), 204), (packed(&bomb), 413), (b"no gzip".to_vec(), 400)] {
        let request = registry.request(Method::POST, "/eureka/apps/A").header("content-type", "application/json");
        assert_eq!(Answer::to(request.header("content-encoding", "gzip").body(body)).await.status, status);
    }
    registry.stop().await;
}

#[tokio::test]
async fn paths_and_methods_that_are_none_have_empty_answers() {
    let registry = registry(Settings::default()).await;
    for (method, path, status) in [
        (Method::GET, "/nope", 404),
        (Method::GET, "/eureka/nope", 404),
        (Method::GET, "/eureka/apps/NOPE", 404),
        (Method::GET, "/eureka/instances/x", 404),
        (Method::PATCH, "/eureka/apps", 405),
        (Method::DELETE, "/eureka/apps/A", 405),
        (Method::PUT, "/eureka/asg/a/status?value=ENABLED", 400),
        (Method::PUT, "/eureka/apps/A/1?lastDirtyTimestamp=99999999999999999999", 404),
    ] {
        let answer = ask(&registry, method, path).await;
        assert_eq!((answer.status, answer.text()), (status, ""), "{path}");
    }
    registry.stop().await;
}

#[tokio::test]
async fn renewals_from_the_future_and_from_nowhere_are_answered() {
    let registry = registry(Settings::default()).await;
    crate::lab::register(&registry, "A", "1").await;
    for (time, status) in [("9223372036854775807", 404), ("-1", 200), ("99999999999999999999", 500), ("x", 500)] {
        let path = format!("/eureka/apps/A/1?status=UP&lastDirtyTimestamp={time}");
        assert_eq!(ask(&registry, Method::PUT, &path).await.status, status, "{time}");
    }
    registry.stop().await;
}

#[tokio::test]
async fn names_of_any_characters_are_kept_as_they_are() {
    let registry = registry(Settings::default()).await;
    let (id, host) = ("a b/ä:1", "\u{1}<script>alert(1)</script>\"");
    let mut body = instance("A", id);
    body["instance"]["hostName"] = host.into();
    body["instance"]["metadata"] = serde_json::json!({"k\u{7}ey": "v\u{0}al]]>ue"});
    assert_eq!(registry.post("/eureka/apps/A", body.to_string()).await.status, 204);
    let path = "/eureka/apps/A/a%20b%2F%C3%A4:1";
    let seen = ask(&registry, Method::GET, path).await.json();
    assert_eq!((&seen["instance"]["hostName"], &seen["instance"]["instanceId"]), (&host.into(), &id.into()));
    assert_eq!(seen["instance"]["metadata"]["k\u{7}ey"], "v\u{0}al]]>ue");
    let xml = Answer::to(client().get(format!("{}{path}", registry.url))).await;
    assert!(xml.text().contains("<k_.0007ey>v?al]]&gt;ue</k_.0007ey>"), "{xml:?}");
    registry.stop().await;
}
