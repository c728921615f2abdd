//! Numbers of a service, as Spring Boot shows Micrometer's: `GET /actuator/metrics` names them,
//! `/actuator/metrics/{name}?tag=KEY:VALUE` tells one.

use super::media::Media;
use async_trait::async_trait;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

/// How these routes are listed in `/actuator`.
pub const LINKS: &[(&str, &str)] =
    &[("metrics", "metrics"), ("metrics-requiredMetricName", "metrics/{requiredMetricName}")];

/// Who knows numbers.
#[async_trait]
pub trait Meter: Send + Sync + 'static {
    /// All of them, as they are now; none where they cannot be told.
    async fn metrics(&self) -> Vec<Metric>;
}

/// What a number says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Statistic {
    /// How something is now.
    Value,
    /// How often something has happened since the start.
    Count,
}

/// A number.
#[derive(Debug, Clone)]
pub struct Metric {
    /// Its name, in Micrometer's form: `dead.letters.open`.
    pub name: &'static str,
    /// What it counts, for people.
    pub description: &'static str,
    /// Its unit, where it is no count; such as `seconds`.
    pub unit: Option<&'static str>,
    /// What tells it from others of its name: key and value.
    pub tag: Option<(&'static str, &'static str)>,
    /// What it says.
    pub statistic: Statistic,
    /// The number.
    pub value: f64,
}

/// `process.uptime`: how long the service has run.
#[derive(Debug)]
pub struct Uptime(pub Instant);

#[async_trait]
impl Meter for Uptime {
    async fn metrics(&self) -> Vec<Metric> {
        let (name, description, value) =
            ("process.uptime", "The uptime of the service", self.0.elapsed().as_secs_f64());
        vec![Metric { name, description, unit: Some("seconds"), tag: None, statistic: Statistic::Value, value }]
    }
}

type Meters = Arc<[Box<dyn Meter>]>;

/// The routes over these numbers.
pub fn routes(meters: Vec<Box<dyn Meter>>) -> Router {
    Router::new()
        .route("/actuator/metrics", get(list))
        .route("/actuator/metrics/{name}", get(show))
        .with_state(Meters::from(meters))
}

async fn all(meters: &Meters) -> Vec<Metric> {
    let read = meters.iter().map(|meter| meter.metrics());
    futures_util::future::join_all(read).await.into_iter().flatten().collect()
}

async fn list(State(meters): State<Meters>, headers: HeaderMap) -> Response {
    #[derive(Serialize)]
    struct Names {
        names: BTreeSet<&'static str>,
    }
    let names = all(&meters).await.iter().map(|metric| metric.name).collect();
    Media::wanted(&headers).response(StatusCode::OK, &Names { names })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    name: &'static str,
    description: &'static str,
    base_unit: Option<&'static str>,
    measurements: [Measurement; 1],
    available_tags: Vec<Tag>,
}

#[derive(Serialize)]
struct Measurement {
    statistic: Statistic,
    value: f64,
}

#[derive(Serialize)]
struct Tag {
    tag: &'static str,
    values: BTreeSet<&'static str>,
}

async fn show(
    State(meters): State<Meters>,
    Path(name): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    let asked = query.iter().filter(|(name, _)| name == "tag").map(|(_, tag)| tag.split_once(':'));
    let Some(asked) = asked.collect::<Option<Vec<_>>>() else { return StatusCode::BAD_REQUEST.into_response() };
    let mut named = all(&meters).await;
    named.retain(|metric| metric.name == name && asked.iter().all(|tag| metric.tag == Some(*tag)));
    let Some(Metric { name, description, unit, statistic, .. }) = named.first().cloned() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut available: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let free = |(key, _): &(&str, &str)| asked.iter().all(|(asked, _)| asked != key);
    for (key, value) in named.iter().filter_map(|metric| metric.tag).filter(free) {
        available.entry(key).or_default().insert(value);
    }
    let shown = Shown {
        name,
        description,
        base_unit: unit,
        measurements: [Measurement { statistic, value: named.iter().map(|metric| metric.value).sum() }],
        available_tags: available.into_iter().map(|(tag, values)| Tag { tag, values }).collect(),
    };
    Media::wanted(&headers).response(StatusCode::OK, &shown)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt;
    use serde_json::{Value, json};
    use tower::ServiceExt;

    struct Letters;

    #[async_trait]
    impl Meter for Letters {
        async fn metrics(&self) -> Vec<Metric> {
            let open = |kind, value| Metric {
                name: "dead.letters.open",
                description: "open",
                unit: None,
                tag: Some(("kind", kind)),
                statistic: Statistic::Value,
                value,
            };
            vec![open("failed", 2.0), open("parked", 3.0)]
        }
    }

    async fn get(path: &str) -> (StatusCode, Value) {
        let routes = routes(vec![Box::new(Letters), Box::new(Uptime(Instant::now()))]);
        let answer = routes.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let (status, body) = (answer.status(), answer.into_body().collect().await.unwrap().to_bytes());
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    #[tokio::test]
    async fn numbers_are_named_and_told_as_spring_tells_them() {
        let named = json!({"names": ["dead.letters.open", "process.uptime"]});
        assert_eq!(get("/actuator/metrics").await, (StatusCode::OK, named));
        let whole = json!({
            "name": "dead.letters.open", "description": "open", "baseUnit": null,
            "measurements": [{"statistic": "VALUE", "value": 5.0}],
            "availableTags": [{"tag": "kind", "values": ["failed", "parked"]}]
        });
        assert_eq!(get("/actuator/metrics/dead.letters.open").await, (StatusCode::OK, whole));
        let (_, one) = get("/actuator/metrics/dead.letters.open?tag=kind:parked").await;
        assert_eq!((&one["measurements"][0]["value"], &one["availableTags"]), (&json!(3.0), &json!([])));
        assert_eq!(get("/actuator/metrics/process.uptime").await.1["baseUnit"], "seconds");
    }

    #[tokio::test]
    async fn what_there_is_not_and_what_is_no_tag_is_refused() {
        for path in ["/actuator/metrics/nothing", "/actuator/metrics/dead.letters.open?tag=kind:none"] {
            assert_eq!(get(path).await.0, StatusCode::NOT_FOUND, "{path}");
        }
        assert_eq!(get("/actuator/metrics/dead.letters.open?tag=kind").await.0, StatusCode::BAD_REQUEST);
    }
}
