//! Neighbours in place of the core services.

use crate::{composite, cores};
use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use testkit::{Neighbour, Running, Sandbox};

/// What the neighbours of a composite say of product 1, and of any other.
pub(crate) const PRODUCT: &str = r#"{"productId":1,"name":"n","weight":1,"serviceAddress":"p"}"#;
pub(crate) const RECOMMENDATIONS: &str =
    r#"[{"productId":1,"recommendationId":1,"author":"a","rate":1,"content":"c","serviceAddress":"r"}]"#;
pub(crate) const REVIEWS: &str =
    r#"[{"productId":1,"reviewId":1,"author":"a","subject":"s","content":"c","serviceAddress":"v"}]"#;

/// Answers everything with this.
pub(crate) fn saying(status: u16, body: &'static str) -> Router {
    let status = StatusCode::from_u16(status).unwrap();
    Router::new().fallback(move || async move { (status, [(header::CONTENT_TYPE, "application/json")], body) })
}

/// Takes every request and answers none.
pub(crate) fn silent() -> Router {
    Router::new().fallback(get(std::future::pending::<()>))
}

/// The composite service between these neighbours: product, recommendation, review.
pub(crate) async fn between(sandbox: &Sandbox, neighbours: [Router; 3]) -> (Running, [Neighbour; 3]) {
    let [product, recommendation, review] = neighbours.map(Neighbour::serve);
    let neighbours = [product.await, recommendation.await, review.await];
    let cores = cores(neighbours.each_ref().map(|neighbour| neighbour.url.as_str()));
    (composite(sandbox, sandbox.platform.binder.clone(), cores).await, neighbours)
}
