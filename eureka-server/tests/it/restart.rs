//! A registry that keeps what it knows over a restart.

use crate::lab::{ask, hash, register, registry};
use eureka_server::settings::Settings;
use reqwest::Method;
use std::fs;
use testkit::{SOON, eventually};

#[tokio::test]
async fn a_restart_wipes_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registry.json");
    let settings = || Settings { snapshot: Some(file.clone()), ..Settings::default() };
    let first = registry(settings()).await;
    register(&first, "PRODUCT", "1").await;
    register(&first, "REVIEW", "1").await;
    assert_eq!(ask(&first, Method::PUT, "/eureka/apps/REVIEW/1/status?value=OUT_OF_SERVICE").await.status, 200);
    first.stop().await;

    let second = registry(settings()).await;
    assert_eq!(hash(&second).await, "OUT_OF_SERVICE_1_UP_1_");
    assert_eq!(ask(&second, Method::PUT, "/eureka/apps/PRODUCT/1?lastDirtyTimestamp=1700000000000").await.status, 200);
    // It is written while it runs too: a kill comes without notice.
    register(&second, "LATE", "1").await;
    eventually(SOON, "the late one in the file", async || {
        let text = fs::read_to_string(&file).unwrap();
        if text.contains("LATE") { Ok(()) } else { Err(text) }
    })
    .await;
    second.stop().await;
}

#[tokio::test]
async fn a_file_that_is_no_snapshot_ends_the_start_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registry.json");
    fs::write(&file, "{bad").unwrap();
    let limits = shared::service::config::Limits::read(&shared::service::config::Variables::default()).unwrap();
    let error = eureka_server::service(Settings { snapshot: Some(file), ..Settings::default() }, &limits).unwrap_err();
    let error = format!("{error:#}");
    assert!(error.starts_with("SNAPSHOT_FILE cannot be used: ") && error.contains("is no snapshot"), "{error}");
}
