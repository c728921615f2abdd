//! The health of the composite, which is that of its core services too.

use crate::Landscape;
use crate::fakes::{between, saying, silent};
use serde_json::json;
use testkit::Sandbox;

const CORES: &str = "/actuator/health/coreServices";

#[tokio::test]
async fn the_core_services_are_shown_as_the_java_landscape_shows_them() {
    let landscape = Landscape::start().await;
    let composite = &landscape.composite;
    let answer = composite.answers(CORES, 200).await;
    let expected = r#"{"status":"UP","components":{"product":{"status":"UP"},"recommendation":{"status":"UP"},"review":{"status":"UP"}}}"#;
    assert_eq!(answer.text(), expected);
    let health = composite.answers("/actuator/health", 200).await.json();
    let components: Vec<&str> = health["components"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(components, ["binders", "coreServices", "diskSpace", "livenessState", "ping", "readinessState"]);
    assert_eq!(composite.get("/actuator/health/coreServices/review").await.text(), r#"{"status":"UP"}"#);
    assert_eq!(composite.get("/actuator/info").await.json()["build"]["name"], "product-composite");
    assert_eq!(composite.get("/actuator/deadletters").await.status, 404);
    landscape.stop().await;
}

#[tokio::test]
async fn a_core_service_that_is_not_well_makes_the_composite_down() {
    let Landscape { sandbox, product, recommendation, review, composite } = Landscape::start().await;
    composite.answers(CORES, 200).await;
    let url = review.url.clone();
    review.stop().await;
    let health = composite.answers("/actuator/health", 503).await.json();
    let cores = &health["components"]["coreServices"];
    assert_eq!((&health["status"], &cores["status"]), (&json!("DOWN"), &json!("DOWN")));
    assert_eq!(cores["components"]["product"], json!({"status": "UP"}));
    let error = format!("503 Service Unavailable from GET {url}/actuator/health");
    assert_eq!(cores["components"]["review"], json!({"status": "DOWN", "details": {"error": error}}));
    // It can still answer, in part: who balances over composites must not take it out.
    assert_eq!(composite.get("/actuator/health/readiness").await.status, 200);
    sandbox.settled().await;
    composite.stop().await;
    product.stop().await;
    recommendation.stop().await;
}

#[tokio::test]
async fn a_core_service_is_as_well_as_its_own_health_says() {
    let sandbox = Sandbox::with([("READ_TIMEOUT_MS", "1000")]).await;
    let up = || saying(200, r#"{"status":"UP"}"#);
    let (service, cores) = between(&sandbox, [saying(503, r#"{"status":"DOWN"}"#), silent(), up()]).await;
    let answer = service.answers(CORES, 503).await.json();
    let down = |error: String| json!({"status": "DOWN", "details": {"error": error}});
    let [product, recommendation] = [0, 1].map(|at| format!("GET {}/actuator/health", cores[at].url));
    let late = "Did not observe any item or terminal signal within 1000ms";
    let expected = json!({"status": "DOWN", "components": {
        "product": down(format!("503 Service Unavailable from {product}")),
        "recommendation": down(format!("{late} from {recommendation}")),
        "review": {"status": "UP"}
    }});
    assert_eq!(answer, expected);
    service.stop().await;
}
