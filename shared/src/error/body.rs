use super::{ApiError, Details, Seldom};
use axum::{
    Json, Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode, header};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{error, warn};

/// How often the log tells of requests that have to be sent again: while a broker is away those are thousands a second.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// Gives every failed response of `router` the one body, its unknown routes, wrong methods and panics included.
///
/// Layers that may refuse a request (time and size limits) belong inside; routes whose failures have a form of their
/// own, as the actuator's have, are merged outside.
pub fn error_bodies<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    // The fallback is set, not left to axum, so that merging with other routers cannot replace it by a bare one.
    just_error_bodies(router.fallback(|| async { StatusCode::NOT_FOUND }).layer(CatchPanicLayer::new()))
}

/// As [`error_bodies`], for routes that stand apart from the others: unknown ones and panics are not theirs.
pub fn just_error_bodies<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router.layer(from_fn_with_state(Seldom::every(SAY_EVERY), error_body))
}

async fn error_body(State(said): State<Seldom>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    if response.status().is_client_error() || response.status().is_server_error() {
        return rewrite(response, &method, path, &said);
    }
    response
}

/// The body of a failed response; names and order are Spring's, `details` is ours.
#[derive(Serialize)]
struct Body {
    timestamp: String,
    path: String,
    status: u16,
    error: &'static str,
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

fn rewrite(response: Response, method: &Method, path: String, said: &Seldom) -> Response {
    let (mut head, _) = response.into_parts();
    let status = head.status;
    let ours = head.extensions.remove::<Arc<ApiError>>();
    if let Some(cause) = ours.as_ref().and_then(|error| error.cause()) {
        let error = format!("{cause:#}");
        match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                if let Some(others) = said.now() {
                    warn!(%method, path, error, others, "a request has to be sent again, as others before it");
                }
            }
            _ => error!(%method, path, error, "a request failed"),
        }
    }
    let body = Body {
        timestamp: jiff::Timestamp::now().to_string(),
        path,
        status: status.as_u16(),
        error: status.canonical_reason().unwrap_or_default(),
        message: match &ours {
            Some(error) => Some(error.to_string()),
            None => sentence(status, method),
        },
        details: ours.and_then(|error| error.details()),
    };
    // What the failure says about itself, such as Allow or Retry-After, stays; what described the old body goes.
    for stale in [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
        head.headers.remove(stale);
    }
    (status, head.headers, Json(body)).into_response()
}

/// What is said about a failure that the framework found, whose own words are not for clients.
fn sentence(status: StatusCode, method: &Method) -> Option<String> {
    match status {
        StatusCode::METHOD_NOT_ALLOWED => Some(format!("Request method '{method}' is not supported.")),
        StatusCode::PAYLOAD_TOO_LARGE => Some("The request body is larger than is allowed".to_owned()),
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => Some("The request took too long".to_owned()),
        status if status.is_server_error() => status.canonical_reason().map(str::to_owned),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::api::Invalid;
    use anyhow::anyhow;
    use axum::{
        body::{Body, to_bytes},
        routing::get,
    };
    use http::HeaderMap;
    use serde_json::{Value, json};
    use tower::ServiceExt;
    use tower_http::{limit::RequestBodyLimitLayer, timeout::TimeoutLayer};

    fn app() -> Router {
        let routes = Router::new()
            .route("/fine", get(|| async { "fine" }).post(|body: String| async { body }))
            .route("/missing", get(|| fail(ApiError::NotFound("No product found for productId: 13".to_owned()))))
            .route("/invalid", get(|| fail(Invalid::new("reviews[1].reviewId", -1).into())))
            .route("/away", get(|| fail(ApiError::unavailable("The broker is away", anyhow!("secret")))))
            .route("/broken", get(|| fail(anyhow!("secret").into())))
            .route("/upstream", get(|| fail(ApiError::internal("500 from product", anyhow!("secret")))))
            .route(
                "/panic",
                get(|| async {
                    if true {
                        panic!("secret")
                    }
                }),
            )
            .route("/slow", get(std::future::pending::<()>))
            .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, Duration::from_millis(20)))
            .layer(RequestBodyLimitLayer::new(3));
        error_bodies(routes)
    }

    async fn fail(error: ApiError) -> Result<(), ApiError> {
        Err(error)
    }

    async fn ask(method: &str, uri: &str) -> (StatusCode, HeaderMap, String) {
        let request = http::Request::builder().method(method).uri(uri).body(Body::from("1234")).unwrap();
        let response = app().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_body_has_the_names_and_the_order_of_springs() {
        let (status, headers, body) = ask("GET", "/missing?a=b").await;
        assert_eq!(status, 404);
        assert_eq!(headers[header::CONTENT_TYPE], "application/json");
        assert_eq!(headers[header::CONTENT_LENGTH], body.len().to_string());
        let (timestamp, rest) = body.strip_prefix(r#"{"timestamp":""#).unwrap().split_once('"').unwrap();
        assert!(timestamp.ends_with('Z') && timestamp.parse::<jiff::Timestamp>().is_ok(), "{timestamp}");
        let expected =
            r#","path":"/missing","status":404,"error":"Not Found","message":"No product found for productId: 13"}"#;
        assert_eq!(rest, expected);
    }

    #[tokio::test]
    async fn every_failure_has_the_one_body() {
        for (method, uri, status, error, message) in [
            ("GET", "/nope", 404, "Not Found", None),
            ("GET", "/invalid", 422, "Unprocessable Entity", Some("Invalid reviewId: -1")),
            ("GET", "/away", 503, "Service Unavailable", Some("The broker is away")),
            ("GET", "/broken", 500, "Internal Server Error", Some("Internal Server Error")),
            ("GET", "/upstream", 500, "Internal Server Error", Some("500 from product")),
            ("GET", "/panic", 500, "Internal Server Error", Some("Internal Server Error")),
            ("GET", "/slow", 408, "Request Timeout", Some("The request took too long")),
            ("PUT", "/fine", 405, "Method Not Allowed", Some("Request method 'PUT' is not supported.")),
            ("POST", "/fine", 413, "Payload Too Large", Some("The request body is larger than is allowed")),
        ] {
            let (found, _, body) = ask(method, uri).await;
            assert_eq!(found, status, "{method} {uri}");
            assert!(!body.contains("secret"), "{body}");
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!((&body["status"], &body["error"]), (&json!(status), &json!(error)), "{method} {uri}");
            assert_eq!(body["path"], uri);
            assert_eq!(body["message"], json!(message), "{method} {uri}");
        }
    }

    #[tokio::test]
    async fn a_refused_value_is_named_in_the_details() {
        let (_, _, body) = ask("GET", "/invalid").await;
        assert!(body.ends_with(r#","details":{"field":"reviews[1].reviewId","value":-1}}"#), "{body}");
    }

    #[tokio::test]
    async fn headers_of_the_failure_stay() {
        assert_eq!(ask("GET", "/away").await.1[header::RETRY_AFTER], "1");
        assert_eq!(ask("PUT", "/fine").await.1[header::ALLOW], "GET,HEAD,POST");
    }

    #[tokio::test]
    async fn what_succeeds_is_left_alone() {
        let (status, headers, body) = ask("GET", "/fine").await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "fine"));
        assert_eq!(headers[header::CONTENT_TYPE], "text/plain; charset=utf-8");
    }

    #[tokio::test]
    async fn routes_merged_outside_keep_their_failures_and_unknown_routes_their_body() {
        let outside = || Router::new().route("/actuator/health", get(|| async { StatusCode::SERVICE_UNAVAILABLE }));
        for app in [outside().merge(app()), app().merge(outside())] {
            for (uri, empty) in [("/actuator/health", true), ("/nope", false)] {
                let request = http::Request::get(uri).body(Body::empty()).unwrap();
                let body = to_bytes(app.clone().oneshot(request).await.unwrap().into_body(), 999).await.unwrap();
                assert_eq!(body.is_empty(), empty, "{uri}");
            }
        }
    }
}
