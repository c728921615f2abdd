//! A server that comes late, refuses us, or is killed: what the service makes of it.

use crate::{product, shown, start};
use serde_json::json;
use shared::api::PRODUCTS;
use std::time::Duration;
use testkit::servers::{Own, Postgres, found, postgres};
use testkit::{Running, SOON, Sandbox, eventually};

const DB: &str = "/actuator/health/db";

/// A service whose database is on this server, and its sandbox.
async fn start_on(server: &Postgres, database: &str) -> (Sandbox, Running) {
    // Short, so that whoever waits for a server that is away soon says so.
    let variables = [("DATABASE_URL", &*server.named(database)), ("DATABASE_WAIT_MS", "1000")];
    let sandbox = Sandbox::with(variables).await;
    let service = start(&sandbox).await;
    (sandbox, service)
}

#[tokio::test]
async fn health_names_the_product() {
    let Some(server) = found(postgres().await) else { return };
    let sandbox = Sandbox::with([("DATABASE_URL", server.database().await.as_str())]).await;
    let service = start(&sandbox).await;
    let db = json!({"status": "UP", "details": {"database": "PostgreSQL", "validationQuery": "isValid()"}});
    assert_eq!(service.answers(DB, 200).await.json(), db);
    service.stop().await;
}

#[tokio::test]
async fn several_instances_start_on_an_empty_database_at_once() {
    let Some(server) = found(postgres().await) else { return };
    let url = server.database().await;
    let sandbox = Sandbox::with([("DATABASE_URL", url.as_str())]).await;
    let (one, two, three) = tokio::join!(start(&sandbox), start(&sandbox), start(&sandbox));
    sandbox.create(PRODUCTS, 1, product(1, "a")).await;
    for service in [&one, &two, &three] {
        service.shows("/product/1", &shown(1, "a", service)).await;
    }
    for service in [one, two, three] {
        service.stop().await;
    }
}

#[tokio::test]
async fn a_server_that_comes_late_is_waited_for() {
    let Some(own) = found(Own::postgres().await) else { return };
    let (sandbox, service) = start_on(&own.server, "postgres").await;
    sandbox.create(PRODUCTS, 1, product(1, "early")).await;
    eventually(SOON, "the reason is told", async || {
        let health = service.answers(DB, 503).await.json();
        let said = health["details"]["error"].as_str().unwrap();
        assert!(!said.contains("secret"), "{said}");
        if said.contains("refused") { Ok(()) } else { Err(said.to_owned()) }
    })
    .await;
    assert_eq!(service.get("/actuator/health/readiness").await.status, 503);
    assert_eq!(service.get("/actuator/health/liveness").await.status, 200);
    assert_eq!(service.get("/product/1").await.status, 503);
    own.start().await;
    service.answers("/actuator/health/readiness", 200).await;
    service.shows("/product/1", &shown(1, "early", &service)).await;
    service.stop().await;
}

#[tokio::test]
async fn a_service_that_never_met_its_server_stops_in_time() {
    let Some(own) = found(Own::postgres().await) else { return };
    let (_sandbox, service) = start_on(&own.server, "postgres").await;
    service.answers(DB, 503).await;
    service.stop_unseen().await;
}

#[tokio::test]
async fn a_server_that_refuses_us_is_one_sentence() {
    let Some(server) = found(postgres().await) else { return };
    let missing = server.named("nowhere");
    let wrong = server.named_with_password("nowhere", "wr0ng-secret");
    for (url, sentence) in
        [(&missing, "database \"nowhere\" does not exist"), (&wrong, "password authentication failed for user")]
    {
        let sandbox = Sandbox::with([("DATABASE_URL", url.as_str())]).await;
        let wired = product_service::service(sandbox.platform.clone(), "here".into()).await;
        let error = format!("{:#}", wired.unwrap_err());
        assert!(error.starts_with("DATABASE_URL cannot be used: ") && error.contains(sentence), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_database_that_is_missing_when_the_server_comes_is_shown_until_it_is_made() {
    let Some(own) = found(Own::postgres().await) else { return };
    let (sandbox, service) = start_on(&own.server, "product").await;
    sandbox.create(PRODUCTS, 1, product(1, "early")).await;
    own.start().await;
    eventually(SOON, "the reason in the health", async || {
        let health = service.get(DB).await;
        if health.text().contains(r#"database \"product\" does not exist"#) {
            Ok(())
        } else {
            Err(health.text().to_owned())
        }
    })
    .await;
    own.server.execute("CREATE DATABASE product").await;
    service.shows("/product/1", &shown(1, "early", &service)).await;
    service.stop().await;
}

#[tokio::test]
async fn events_are_held_while_the_server_is_killed_and_started_again() {
    let Some(own) = found(Own::postgres().await) else { return };
    own.start().await;
    let (sandbox, service) = start_on(&own.server, "postgres").await;
    let mut key = 0;
    for round in 0..3 {
        // In the midst of events, and before the connections have rested: they are all broken then.
        for _ in 0..20 {
            key += 1;
            sandbox.create(PRODUCTS, key, product(key, "n")).await;
        }
        own.kill().await;
        service.answers(DB, 503).await;
        key += 1;
        sandbox.create(PRODUCTS, key, product(key, "held")).await;
        own.start().await;
        service.shows(&format!("/product/{key}"), &shown(key, "held", &service)).await;
        service.answers(DB, 200).await;
        assert_eq!(service.get(&format!("/product/{}", key - 1)).await.status, 200, "in round {round}");
    }
    sandbox.settled().await;
    for key in 1..=key {
        assert_eq!(service.get(&format!("/product/{key}")).await.status, 200, "product {key}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_frozen_server_costs_time_and_no_event() {
    let Some(own) = found(Own::postgres().await) else { return };
    own.start().await;
    let (sandbox, service) = start_on(&own.server, "postgres").await;
    sandbox.create(PRODUCTS, 1, product(1, "before")).await;
    service.shows("/product/1", &shown(1, "before", &service)).await;
    own.freeze().await;
    sandbox.create(PRODUCTS, 2, product(2, "meanwhile")).await;
    service.answers(DB, 503).await;
    // Longer than a session may idle in a transaction, and than a connection waits in the pool.
    tokio::time::sleep(Duration::from_secs(7)).await;
    own.thaw().await;
    service.shows("/product/2", &shown(2, "meanwhile", &service)).await;
    service.answers(DB, 200).await;
    service.stop().await;
}

#[tokio::test]
async fn a_text_that_the_database_cannot_hold_is_invalid_and_its_letter_is_written() {
    let Some(server) = found(postgres().await) else { return };
    let sandbox = Sandbox::with([("DATABASE_URL", server.database().await.as_str())]).await;
    let mut service = start(&sandbox).await;
    sandbox.create(PRODUCTS, 1, product(1, "no\0name")).await;
    sandbox.create(PRODUCTS, 1, product(1, "name")).await;
    service.shows("/product/1", &shown(1, "name", &service)).await;
    let letter = service.letters(1).await.remove(0);
    assert_eq!((&letter["kind"], &letter["attempts"]), (&"invalid".into(), &1.into()));
    let id = letter["id"].as_str().unwrap();
    let whole = service.get(&format!("/actuator/deadletters/{id}")).await.json();
    assert_eq!(whole["body"]["data"]["name"], "no\0name");
    service.stop().await;
}
