//! What the composite is asked for.

use crate::aggregate::{join, split, validate};
use crate::cores::Cores;
use crate::gate::{Gate, admit};
use crate::topics::{Request, Topics};
use axum::extract::State;
use axum::middleware::from_fn_with_state;
use axum::response::{AppendHeaders, IntoResponse};
use axum::routing::{self, post};
use axum::{Json, Router};
use http::{HeaderMap, Method, StatusCode, Uri};
use shared::api::ProductAggregate;
use shared::error::ApiError;
use shared::messaging::ids::MessageIds;
use shared::service::ServiceAddress;
use shared::service::extract::{JsonBody, ProductIdPath};
use shared::service::telemetry::TraceContext;

/// Which parts of a partial answer are missing, separated by commas.
const MISSING_PARTS: &str = "x-missing-parts";
/// The same key with the same request takes effect once.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Reads from the core services, writes to the topics.
#[derive(Clone)]
pub(crate) struct Composite {
    pub(crate) cores: Cores,
    pub(crate) topics: Topics,
    pub(crate) gate: Gate,
    pub(crate) address: ServiceAddress,
}

/// All routes.
pub(crate) fn routes(composite: Composite) -> Router {
    let gate = from_fn_with_state(composite.gate.clone(), admit);
    Router::new()
        .route("/product-composite", post(create).route_layer(gate.clone()))
        // What is added behind the gate does not pass it.
        .route("/product-composite/{productId}", routing::delete(delete).route_layer(gate).get(read))
        .with_state(composite)
}

async fn create(
    State(composite): State<Composite>,
    (method, uri, headers): (Method, Uri, HeaderMap),
    body: JsonBody<ProductAggregate>,
) -> Result<StatusCode, ApiError> {
    validate(&body.value)?;
    let request = request(&method, &uri, &headers, &body.bytes)?;
    composite.gate.pass(composite.topics.create(split(body.value), &request)).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn delete(
    State(composite): State<Composite>,
    ProductIdPath(product_id): ProductIdPath,
    (method, uri, headers): (Method, Uri, HeaderMap),
) -> Result<StatusCode, ApiError> {
    let request = request(&method, &uri, &headers, b"")?;
    composite.gate.pass(composite.topics.delete(product_id, &request)).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn read(
    State(composite): State<Composite>,
    ProductIdPath(product_id): ProductIdPath,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    let read = composite.cores.read(product_id, &TraceContext::of(&headers)).await?;
    let missing = (!read.missing.is_empty()).then(|| (MISSING_PARTS, read.missing.join(", ")));
    Ok((AppendHeaders(missing), Json(join(read.parts, &composite.address))))
}

/// How the events of a request are known.
fn request(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<Request, ApiError> {
    let ids = match headers.get(IDEMPOTENCY_KEY) {
        None => MessageIds::fresh(),
        Some(key) => match key.to_str() {
            Ok(key) if (1..=255).contains(&key.len()) => MessageIds::of_request(key, method.as_str(), uri.path(), body),
            _ => return Err(ApiError::bad_request("Invalid Idempotency-Key: allowed are 1 to 255 visible characters")),
        },
    };
    Ok(Request { ids, trace: TraceContext::of(headers) })
}
