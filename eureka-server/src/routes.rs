//! What is asked of the registry: one table of methods and paths, under `/eureka` and `/eureka/v2`, with a slash at the
//! end or without. Clients differ in that, so paths are taken apart here.
//!
//! - this file: the table
//! - [`reads`], [`writes`], [`batch`]: what stands behind it
//! - [`request`]: what a request wants and says
//! - [`user`]: who may ask

mod batch;
mod reads;
mod request;
mod user;
mod writes;

use crate::bodies::Which;
use crate::directory::Directory;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::{Method, StatusCode, header};
use percent_encoding::percent_decode_str;
use std::sync::Arc;

/// All routes but those of the actuator.
pub fn routes(directory: Arc<Directory>) -> Router {
    Router::new()
        .route("/eureka/{*path}", any(eureka))
        .merge(crate::dashboard::routes())
        // A body where there is none in the original keeps Spring's clients from registering again.
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(from_fn_with_state(Arc::clone(&directory), user::known))
        .with_state(directory)
}

async fn eureka(State(directory): State<Arc<Directory>>, request: Request) -> Response {
    let path = request.uri().path().trim_start_matches("/eureka/").trim_end_matches('/').to_owned();
    let path = path.strip_prefix("v2/").unwrap_or(&path);
    let decoded: Result<Vec<_>, _> = path.split('/').map(|part| percent_decode_str(part).decode_utf8()).collect();
    let Ok(decoded) = decoded else { return StatusCode::BAD_REQUEST.into_response() };
    let parts: Vec<&str> = decoded.iter().map(AsRef::as_ref).collect();
    // Applications are known in capitals.
    let app = parts.get(1).map(|app| app.to_uppercase()).unwrap_or_default();
    let method = if request.method() == Method::HEAD { Method::GET } else { request.method().clone() };
    match (method.as_str(), &parts[..]) {
        ("GET", ["apps"]) => reads::many(&directory, Which::Everything, request.headers()).await,
        ("GET", ["apps", "delta"]) => reads::many(&directory, Which::Changed, request.headers()).await,
        ("GET", ["apps", _]) => reads::application(&directory, &app, request.headers()),
        ("GET", ["apps", _, id]) => reads::instance(&directory, Some(&app), id, request.headers()),
        ("GET", ["instances", id]) => reads::instance(&directory, None, id, request.headers()),
        ("GET", ["vips", vip]) => reads::by_vip(&directory, vip, false, request.headers()),
        ("GET", ["svips", vip]) => reads::by_vip(&directory, vip, true, request.headers()),
        ("GET", ["status"]) => reads::status(&directory, request.headers()),
        ("POST", ["apps", _]) => writes::register(&directory, &app, request).await,
        ("PUT", ["apps", _, id]) => writes::renew(&directory, &app, id, &request),
        ("DELETE", ["apps", _, id]) => writes::cancel(&directory, &app, id, &request),
        ("PUT", ["apps", _, id, "status"]) => writes::override_status(&directory, &app, id, &request),
        ("DELETE", ["apps", _, id, "status"]) => writes::remove_override(&directory, &app, id, &request),
        ("PUT", ["apps", _, id, "metadata"]) => writes::add_metadata(&directory, &app, id, &request),
        ("POST", ["peerreplication", "batch"]) => batch::batch(&directory, request).await,
        // Groups of instances are Amazon's.
        ("PUT", ["asg", _, "status"]) => StatusCode::BAD_REQUEST.into_response(),
        (
            _,
            ["apps" | "status"] | ["apps", ..] | ["instances" | "vips" | "svips", _] | ["peerreplication", "batch"],
        ) => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// 200 with a body.
fn ok(content_type: &'static str, body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, content_type)], body.into()).into_response()
}
