#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::error::{ApiError, error_bodies};
use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use http::{Request, header};
use serde_json::{Value, json};
use tower::ServiceExt;

const V2: &str = "application/vnd.spring-boot.actuator.v2+json";
const V3: &str = "application/vnd.spring-boot.actuator.v3+json";

/// Always says the same.
struct Fixed(Health);

#[async_trait]
impl Indicator for Fixed {
    async fn check(&self) -> anyhow::Result<Health> {
        Ok(self.0.clone())
    }
}

struct Stuck;

#[async_trait]
impl Indicator for Stuck {
    async fn check(&self) -> anyhow::Result<Health> {
        std::future::pending().await
    }
}

struct Erring;

#[async_trait]
impl Indicator for Erring {
    async fn check(&self) -> anyhow::Result<Health> {
        Err(anyhow::anyhow!("refused").context("cannot connect"))
    }
}

struct Panicking;

#[async_trait]
impl Indicator for Panicking {
    async fn check(&self) -> anyhow::Result<Health> {
        panic!("on purpose")
    }
}

fn actuator(readiness: &Readiness) -> Actuator {
    Actuator::new(Info { artifact: "product-service", name: "product", version: "0.1.0" }, readiness)
}

fn accepting() -> Actuator {
    let readiness = Readiness::default();
    readiness.accepting();
    actuator(&readiness)
}

/// The health of a composite as it was captured, as far as indicators of a service can say it.
fn captured() -> Actuator {
    let services = || json!(["product-composite", "product", "review", "recommendation"]);
    let rabbit = || Health::up().with("version", "3.10.8");
    let eureka = Health::up().described("Remote status from Eureka server").with("applications", json!({"REVIEW": 1}));
    accepting()
        .indicator("rabbit", Fixed(rabbit()))
        .readiness_indicator("binders", Fixed(Health::composite([("rabbit", rabbit())])))
        .indicator(
            "coreServices",
            Fixed(Health::composite(["review", "product", "recommendation"].map(|name| (name, Health::up())))),
        )
        .indicator(
            "discoveryComposite",
            Fixed(Health::composite([
                ("eureka", eureka),
                ("discoveryClient", Health::up().with("services", services())),
            ])),
        )
        .indicator("db", Fixed(Health::up().with("database", "MySQL").with("aValidationQuery", "isValid()")))
        .indicator("reactive", Fixed(Health::composite([("Simple Client", Health::up().with("services", json!([])))])))
}

async fn ask(actuator: Actuator, uri: &str, accept: &str) -> (u16, String, String) {
    let request = Request::get(uri).header(header::ACCEPT, accept).header(header::HOST, "localhost:8080");
    let response = actuator.routes().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let media = response.headers().get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, media.unwrap_or_default(), String::from_utf8(body.to_vec()).unwrap())
}

async fn body(actuator: Actuator, path: &str) -> (u16, String) {
    let (status, _, body) = ask(actuator, &format!("/actuator/{path}"), "*/*").await;
    (status, body)
}

#[tokio::test]
async fn health_has_the_shape_of_spring_boot_3() {
    let (status, media, body) = ask(captured(), "/actuator/health", "*/*").await;
    assert_eq!((status, media.as_str()), (200, V3));
    let expected = concat!(
        r#"{"status":"UP","components":{"#,
        r#""binders":{"status":"UP","components":{"rabbit":{"status":"UP","details":{"version":"3.10.8"}}}},"#,
        r#""coreServices":{"status":"UP","components":{"#,
        r#""product":{"status":"UP"},"recommendation":{"status":"UP"},"review":{"status":"UP"}}},"#,
        r#""db":{"status":"UP","details":{"database":"MySQL","aValidationQuery":"isValid()"}},"#,
        r#""discoveryComposite":{"status":"UP","components":{"discoveryClient":{"status":"UP","#,
        r#""details":{"services":["product-composite","product","review","recommendation"]}},"#,
        r#""eureka":{"description":"Remote status from Eureka server","status":"UP","#,
        r#""details":{"applications":{"REVIEW":1}}}}},"#,
        r#""livenessState":{"status":"UP"},"ping":{"status":"UP"},"#,
        r#""rabbit":{"status":"UP","details":{"version":"3.10.8"}},"#,
        r#""reactive":{"status":"UP","components":{"Simple Client":{"status":"UP","details":{"services":[]}}}},"#,
        r#""readinessState":{"status":"UP"}},"groups":["liveness","readiness"]}"#,
    );
    assert_eq!(body, expected);
}

#[tokio::test]
async fn the_old_dialect_says_details_at_every_level() {
    let (_, _, new) = ask(captured(), "/actuator/health", "*/*").await;
    let (status, media, old) = ask(captured(), "/actuator/health", V2).await;
    assert_eq!((status, media.as_str()), (200, V2));
    assert_eq!(old, new.replace(r#""components""#, r#""details""#));
}

#[tokio::test]
async fn plain_json_has_the_new_shape() {
    let (_, media, body) = ask(captured(), "/actuator/health/coreServices", "application/json").await;
    assert_eq!(media, "application/json");
    assert!(body.starts_with(r#"{"status":"UP","components":{"product":"#), "{body}");
}

#[tokio::test]
async fn a_path_leads_to_any_depth() {
    let core = r#"{"status":"UP","components":{"product":{"status":"UP"},"recommendation":{"status":"UP"},"review":{"status":"UP"}}}"#;
    assert_eq!(body(captured(), "health/coreServices").await, (200, core.to_owned()));
    assert_eq!(body(captured(), "health/coreServices/review").await, (200, r#"{"status":"UP"}"#.to_owned()));
    let spaces = r#"{"status":"UP","details":{"services":[]}}"#;
    assert_eq!(body(captured(), "health/reactive/Simple%20Client").await, (200, spaces.to_owned()));
}

#[tokio::test]
async fn an_unknown_component_is_404_without_a_body() {
    for path in ["nope", "db/nope", "coreServices/nope", "db/", "readiness/readinessState", "liveness/livenessState"] {
        let app = error_bodies(Router::new()).merge(captured().routes());
        let request = Request::get(format!("/actuator/health/{path}")).body(Body::empty()).unwrap();
        let response = app.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 404, "{path}");
        assert!(to_bytes(response.into_body(), 99).await.unwrap().is_empty(), "{path}");
    }
}

#[tokio::test]
async fn what_is_down_is_503_for_the_whole_and_for_itself_only() {
    let broken = || captured().indicator("db", Fixed(Health::down("no route to host")));
    let (status, whole) = body(broken(), "health").await;
    assert_eq!(status, 503);
    assert!(whole.starts_with(r#"{"status":"DOWN","components":{"binders":{"status":"UP""#), "{whole}");
    let db = r#"{"status":"DOWN","details":{"error":"no route to host"}}"#;
    assert_eq!(body(broken(), "health/db").await, (503, db.to_owned()));
    for path in ["health/ping", "health/liveness", "health/readiness"] {
        assert_eq!(body(broken(), path).await, (200, r#"{"status":"UP"}"#.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn an_unknown_status_does_no_harm() {
    let actuator = || accepting().indicator("x", Fixed(Health::unknown()));
    assert_eq!(body(actuator(), "health/x").await, (200, r#"{"status":"UNKNOWN"}"#.to_owned()));
    assert!(body(actuator(), "health").await.1.starts_with(r#"{"status":"UP""#));
}

#[tokio::test]
async fn readiness_follows_the_handle_and_its_indicators() {
    let readiness = Readiness::default();
    let refused = r#"{"status":"OUT_OF_SERVICE"}"#;
    assert_eq!(body(actuator(&readiness), "health/readiness").await, (503, refused.to_owned()));
    let why = r#"{"status":"OUT_OF_SERVICE","details":{"reason":"starting"}}"#;
    assert_eq!(body(actuator(&readiness), "health/readinessState").await, (503, why.to_owned()));
    assert_eq!(body(actuator(&readiness), "health/liveness").await, (200, r#"{"status":"UP"}"#.to_owned()));

    readiness.clone().accepting();
    assert!(readiness.is_accepting());
    assert_eq!(body(actuator(&readiness), "health/readiness").await, (200, r#"{"status":"UP"}"#.to_owned()));
    let unbound = actuator(&readiness).readiness_indicator("binders", Fixed(Status::Down.into()));
    assert_eq!(body(unbound, "health/readiness").await, (503, r#"{"status":"DOWN"}"#.to_owned()));

    readiness.refusing("stopping");
    assert_eq!(body(actuator(&readiness), "health/readiness").await, (503, refused.to_owned()));
}

#[tokio::test]
async fn an_indicator_that_errs_panics_or_hangs_is_down_and_the_others_answer() {
    let started = std::time::Instant::now();
    let actuator = || {
        let limit = Duration::from_millis(50);
        let bad = accepting().time_limit(limit).indicator("erring", Erring).indicator("panicking", Panicking);
        (0..20).fold(bad, |actuator, n| actuator.indicator(format!("stuck{n}"), Stuck))
    };
    let (status, whole) = body(actuator(), "health").await;
    // Side by side they take one limit, not twenty.
    assert!(started.elapsed() < Duration::from_millis(900));
    let whole: Value = serde_json::from_str(&whole).unwrap();
    let components = &whole["components"];
    assert_eq!(status, 503);
    assert_eq!(components["ping"], json!({"status": "UP"}));
    assert_eq!(components["erring"], json!({"status": "DOWN", "details": {"error": "cannot connect: refused"}}));
    assert_eq!(components["panicking"], json!({"status": "DOWN", "details": {"error": "the check panicked"}}));
    assert_eq!(components["stuck0"], json!({"status": "DOWN", "details": {"error": "no answer within 50ms"}}));
}

#[tokio::test]
async fn disk_space_says_what_spring_says() {
    let folder = tempfile::tempdir().unwrap();
    let (status, disk) =
        body(accepting().indicator("diskSpace", DiskSpace::new(folder.path())), "health/diskSpace").await;
    assert_eq!(status, 200, "{disk}");
    let names: Vec<_> = disk.split('"').skip(1).step_by(2).collect();
    let path = folder.path().to_str().unwrap();
    assert_eq!(names, ["status", "UP", "details", "total", "free", "threshold", "path", path, "exists"]);
    assert!(disk.contains(r#""threshold":10485760,"#) && disk.ends_with(r#""exists":true}}"#), "{disk}");
}

#[tokio::test]
async fn the_list_names_every_endpoint_as_the_client_reaches_it() {
    const LINKS: [(&str, &str); 2] = [("letters", "letters"), ("letters-id", "letters/{id}")];
    let (status, media, list) = ask(accepting().endpoint(LINKS, Router::new()), "/actuator", "*/*").await;
    assert_eq!((status, media.as_str()), (200, V3));
    let expected = concat!(
        r#"{"_links":{"self":{"href":"http://localhost:8080/actuator","templated":false},"#,
        r#""health":{"href":"http://localhost:8080/actuator/health","templated":false},"#,
        r#""health-path":{"href":"http://localhost:8080/actuator/health/{*path}","templated":true},"#,
        r#""info":{"href":"http://localhost:8080/actuator/info","templated":false},"#,
        r#""letters":{"href":"http://localhost:8080/actuator/letters","templated":false},"#,
        r#""letters-id":{"href":"http://localhost:8080/actuator/letters/{id}","templated":true}}}"#,
    );
    assert_eq!(list, expected);
}

#[tokio::test]
async fn an_endpoint_may_have_the_error_bodies_of_the_services_own_routes() {
    let own = || error_bodies(Router::new().route("/product", get(|| async { "product" })));
    let gone = || async { ApiError::NotFound("No letter found".to_owned()) };
    let letters = || error_bodies(Router::new().route("/actuator/letters", get(gone)));
    for (uri, message) in [("/actuator/letters", json!("No letter found")), ("/actuator/nope", json!(null))] {
        let app = own().merge(accepting().endpoint([], letters()).routes());
        let response = app.oneshot(Request::get(uri).body(Body::empty()).unwrap()).await.unwrap();
        let body: Value = serde_json::from_slice(&to_bytes(response.into_body(), 999).await.unwrap()).unwrap();
        assert_eq!((&body["status"], &body["message"]), (&json!(404), &message), "{uri}");
    }
}

#[tokio::test]
async fn info_names_the_build() {
    let build = r#"{"build":{"artifact":"product-service","name":"product","version":"0.1.0"}}"#;
    assert_eq!(ask(accepting(), "/actuator/info", "*/*").await, (200, V3.to_owned(), build.to_owned()));
}

#[tokio::test]
async fn head_has_no_body() {
    let request = Request::head("/actuator/health").body(Body::empty()).unwrap();
    let response = accepting().routes().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(to_bytes(response.into_body(), 99).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_health_without_details_is_one_word() {
    let terse = || accepting().without_details();
    assert_eq!(ask(terse(), "/actuator/health", "*/*").await.2, r#"{"status":"UP"}"#);
    assert_eq!(ask(terse(), "/actuator/health/readiness", "*/*").await.2, r#"{"status":"UP"}"#);
    assert_eq!(ask(terse(), "/actuator/health/ping", "*/*").await.0, 404);
}
