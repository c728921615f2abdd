//! The actuator of a service that owns a database.

use crate::{product, shown, start};
use serde_json::json;
use shared::api::PRODUCTS;
use testkit::{Answer, Running, Sandbox};

const V3: &str = "application/vnd.spring-boot.actuator.v3+json";
const V2: &str = "application/vnd.spring-boot.actuator.v2+json";

#[tokio::test]
async fn health_shows_what_the_service_needs() {
    let sandbox = Sandbox::new().await;
    let service = start(&sandbox).await;
    let answer = service.answers("/actuator/health", 200).await;
    assert_eq!(answer.header("content-type"), Some(V3));
    let mut health = answer.json();
    let disk = health["components"]["diskSpace"]["details"].take();
    for field in ["total", "free", "threshold", "path", "exists"] {
        assert!(disk.get(field).is_some(), "{disk}");
    }
    let version = health["components"]["binders"]["components"]["embedded"]["details"]["version"].take();
    assert!(version.as_str().is_some_and(|version| version.starts_with("3.")), "{version}");
    let expected = json!({
        "status": "UP",
        "components": {
            "binders": {"status": "UP", "components": {"embedded": {"status": "UP", "details": {"version": null}}}},
            "db": {"status": "UP", "details": {"database": "SQLite", "validationQuery": "isValid()"}},
            "deadLetters": {"status": "UP", "details": {
                "open": 0, "failed": 0, "parked": 0, "invalid": 0, "foreign": 0, "parkedKeys": 0, "oldestAgeSeconds": 0
            }},
            "diskSpace": {"status": "UP", "details": null},
            "livenessState": {"status": "UP"},
            "ping": {"status": "UP"},
            "readinessState": {"status": "UP"}
        },
        "groups": ["liveness", "readiness"]
    });
    assert_eq!(health, expected);
    service.stop().await;
}

#[tokio::test]
async fn health_is_shown_part_by_part() {
    let sandbox = Sandbox::new().await;
    let service = start(&sandbox).await;
    service.answers("/actuator/health/readiness", 200).await;
    for (path, body) in [
        ("db", r#"{"status":"UP","details":{"database":"SQLite","validationQuery":"isValid()"}}"#),
        ("ping", r#"{"status":"UP"}"#),
        ("liveness", r#"{"status":"UP"}"#),
        ("readiness", r#"{"status":"UP"}"#),
    ] {
        let answer = service.get(&format!("/actuator/health/{path}")).await;
        assert_eq!((answer.status, answer.text()), (200, body), "{path}");
        assert_eq!(answer.header("content-type"), Some(V3));
    }
    assert_eq!(service.get("/actuator/health/binders/embedded").await.json()["status"], "UP");
    for path in ["nope", "db/nope", "binders/rabbit", "coreServices"] {
        let answer = service.get(&format!("/actuator/health/{path}")).await;
        assert_eq!((answer.status, answer.text()), (404, ""), "{path}");
    }
    service.stop().await;
}

#[tokio::test]
async fn the_client_chooses_the_dialect_of_its_edition() {
    let sandbox = Sandbox::new().await;
    let service = start(&sandbox).await;
    let ask = async |accept: &str| {
        let request = service.request(reqwest::Method::GET, "/actuator/health").header("accept", accept);
        Answer::to(request).await
    };
    let old = ask(V2).await;
    assert_eq!((old.status, old.header("content-type")), (200, Some(V2)));
    assert_eq!(old.json()["details"]["binders"]["details"]["embedded"]["status"], "UP");
    let plain = ask("application/json").await;
    assert_eq!((plain.status, plain.header("content-type")), (200, Some("application/json")));
    assert_eq!(plain.json()["components"]["db"]["status"], "UP");
    service.stop().await;
}

#[tokio::test]
async fn the_actuator_lists_what_there_is() {
    let sandbox = Sandbox::new().await;
    let service = start(&sandbox).await;
    let info = service.get("/actuator/info").await;
    let version = env!("CARGO_PKG_VERSION");
    let expected = json!({"build": {"artifact": "product-service", "name": "product", "version": version}});
    assert_eq!((info.status, info.json()), (200, expected));
    let base = format!("{}/actuator", service.url);
    let link = |path: &str| json!({"href": format!("{base}{path}"), "templated": path.contains('{')});
    let expected = json!({"_links": {
        "self": link(""), "health": link("/health"), "health-path": link("/health/{*path}"), "info": link("/info"),
        "deadletters": link("/deadletters"), "deadletters-id": link("/deadletters/{id}"),
        "deadletters-replay": link("/deadletters/replay"), "deadletters-drop": link("/deadletters/drop"),
        "deadletters-import": link("/deadletters/import"),
        "metrics": link("/metrics"), "metrics-requiredMetricName": link("/metrics/{requiredMetricName}")
    }});
    assert_eq!(service.get("/actuator").await.json(), expected);
    service.stop().await;
}

/// Takes a table away, or puts it back, under the feet of the service.
async fn rename(sandbox: &Sandbox, from: &str, to: &str) {
    let database = sandbox.platform.database("product", &sqlx::migrate!()).await.unwrap();
    let mut transaction = database.begin().await.unwrap();
    let rename = sqlx::AssertSqlSafe(format!("ALTER TABLE {from} RENAME TO {to}"));
    sqlx::raw_sql(rename).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    database.close().await;
}

async fn statuses(service: &Running) -> [u16; 4] {
    let mut statuses = [0; 4];
    for (status, path) in statuses.iter_mut().zip(["", "/db", "/readiness", "/liveness"]) {
        *status = service.get(&format!("/actuator/health{path}")).await.status;
    }
    statuses
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_down_until_it_is_back() {
    let sandbox = Sandbox::new().await;
    let service = start(&sandbox).await;
    service.answers("/actuator/health/readiness", 200).await;
    rename(&sandbox, "inbox", "away").await;
    assert_eq!(statuses(&service).await, [503, 503, 503, 200]);
    let health = service.get("/actuator/health").await.json();
    let db = &health["components"]["db"];
    assert_eq!((&health["status"], &db["status"]), (&json!("DOWN"), &json!("DOWN")));
    assert!(db["details"]["error"].as_str().is_some_and(|error| error.contains("inbox")), "{db}");

    // Meanwhile events are held, and none of them is given up.
    sandbox.create(PRODUCTS, 1, product(1, "held")).await;
    service.answers("/product/1", 404).await;
    rename(&sandbox, "away", "inbox").await;
    assert_eq!(statuses(&service).await, [200; 4]);
    service.shows("/product/1", &shown(1, "held", &service)).await;
    service.stop().await;
}

#[tokio::test]
async fn who_reads_from_a_database_that_does_not_answer_may_ask_again() {
    let sandbox = Sandbox::new().await;
    let service = start(&sandbox).await;
    for (table, path) in [("products", "/product/1"), ("dead_letters", "/actuator/deadletters")] {
        rename(&sandbox, table, "away").await;
        let answer = service.get(path).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
        let sentence = "The database cannot be reached";
        let expected =
            format!(r#"{{"path":"{path}","status":503,"error":"Service Unavailable","message":"{sentence}"}}"#);
        assert_eq!(answer.failure(), expected);
        rename(&sandbox, "away", table).await;
    }
    service.stop().await;
}
