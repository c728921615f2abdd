use crate::error::{ApiError, Details};
use crate::jackson::Object;
use axum::{
    RequestExt,
    extract::{DefaultBodyLimit, FromRequest, Request},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::{Value, error::Category};
use serde_path_to_error::{Path, Segment};

/// A JSON object, read and as it came: the bytes tell whether two requests are the same.
#[derive(Debug, Clone)]
pub struct JsonBody<T> {
    /// What the body says.
    pub value: T,
    /// The body as the client sent it.
    pub bytes: Bytes,
}

/// How many bytes the body of a [`JsonBody`] may have; the layer `Extension(BodyLimit(..))` sets it.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimit(
    /// The size that is still accepted.
    pub usize,
);

/// How many bytes of a refused value are shown, and how deep it may be.
const MOST_SHOWN: usize = 1000;
const DEEPEST_SHOWN: usize = 16;

impl Default for BodyLimit {
    /// Two megabytes, as axum has it.
    fn default() -> Self {
        Self(2 * 1024 * 1024)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(mut request: Request, _: &S) -> Result<Self, ApiError> {
        expect_json(request.headers())?;
        let BodyLimit(limit) = request.extensions().get().copied().unwrap_or_default();
        DefaultBodyLimit::max(limit).apply(&mut request);
        let bytes: Bytes = request.extract().await.map_err(|rejection: axum::extract::rejection::BytesRejection| {
            match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => {
                    ApiError::PayloadTooLarge(format!("The request body is larger than {limit} bytes"))
                }
                _ => unreadable(None),
            }
        })?;
        Ok(Self { value: decode(&bytes)?, bytes })
    }
}

/// Accepts `application/json` and `application/*+json`, with any parameters.
fn expect_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let sent = headers.get(header::CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let sent = sent.unwrap_or_default();
    let essence = sent.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.strip_prefix("application/") {
        Some(subtype) if subtype == "json" || subtype.ends_with("+json") => Ok(()),
        _ => Err(ApiError::UnsupportedMediaType(format!("Content type '{sent}' not supported"))),
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    // Checked for the whole body, since serde_json looks at no text that it skips.
    let text = std::str::from_utf8(bytes).map_err(|_| unreadable(None))?;
    if text.trim_ascii().is_empty() {
        return Err(ApiError::bad_request("No request body"));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let read = serde_path_to_error::deserialize(&mut json);
    let Object(value) = read.map_err(|error| unreadable(mistyped(text, &error)))?;
    json.end().map_err(|_| unreadable(None))?;
    Ok(value)
}

/// Which value of a body has the wrong type; nothing when the body is no JSON at all, here or further on.
fn mistyped(text: &str, error: &serde_path_to_error::Error<serde_json::Error>) -> Option<Details> {
    if error.inner().classify() != Category::Data {
        return None;
    }
    let body: Value = serde_json::from_str(text).ok()?;
    let value = find(&body, error.path()).filter(|value| is_small(value)).cloned();
    let mut problem = error.inner().to_string();
    problem.truncate(problem.floor_char_boundary(MOST_SHOWN));
    Some(Details { field: error.path().to_string(), value, problem: Some(problem) })
}

/// Whether a value can be shown to who sent it: an answer is no deeper than readers of JSON go, and much smaller than
/// what it answers.
fn is_small(value: &Value) -> bool {
    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
            Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }
    depth(value) <= DEEPEST_SHOWN && value.to_string().len() <= MOST_SHOWN
}

fn find<'a>(body: &'a Value, path: &Path) -> Option<&'a Value> {
    path.iter().try_fold(body, |value, segment| match segment {
        Segment::Seq { index } => value.get(index),
        Segment::Map { key } => value.get(key),
        Segment::Enum { .. } | Segment::Unknown => None,
    })
}

fn unreadable(details: Option<Details>) -> ApiError {
    ApiError::BadRequest { message: "Failed to read HTTP message".to_owned(), details: details.map(Box::new) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::api::ProductAggregate;
    use crate::error::error_bodies;
    use axum::{
        Extension, Router,
        body::{Body, to_bytes},
        routing::post,
    };
    use http::HeaderValue;
    use serde_json::json;
    use tower::ServiceExt;

    const LIMIT: usize = 200;

    async fn send(content_type: Option<&'static str>, body: impl Into<Body>) -> (u16, Value) {
        let handler =
            |body: JsonBody<ProductAggregate>| async move { format!("{} {}", body.value.product_id, body.bytes.len()) };
        let app = Router::new().route("/", post(handler)).layer(Extension(BodyLimit(LIMIT)));
        let mut request = Request::post("/").body(body.into()).unwrap();
        if let Some(content_type) = content_type {
            request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        let response = error_bodies(app).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into()))
    }

    async fn post_json(body: impl Into<Body>) -> (u16, Value) {
        send(Some("application/json"), body).await
    }

    #[tokio::test]
    async fn a_body_gives_its_value_and_its_bytes() {
        let json = r#" {"productId": 7, "more": 1} "#;
        for content_type in
            ["application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json;v=1", "application/json "]
        {
            assert_eq!(
                send(Some(content_type), json).await,
                (200, json!(format!("7 {}", json.len()))),
                "{content_type}"
            );
        }
    }

    #[tokio::test]
    async fn another_content_type_is_named() {
        for (content_type, named) in [
            (None, ""),
            (Some("text/plain"), "text/plain"),
            (Some("text/plain;charset=UTF-8"), "text/plain;charset=UTF-8"),
            (Some("application/x-www-form-urlencoded"), "application/x-www-form-urlencoded"),
            (Some("application/jsonx"), "application/jsonx"),
            (Some("text/json"), "text/json"),
        ] {
            let (status, body) = send(content_type, "{}").await;
            assert_eq!((status, &body["message"]), (415, &json!(format!("Content type '{named}' not supported"))));
        }
    }

    #[tokio::test]
    async fn no_body_is_named_so() {
        for body in ["", " \r\n\t"] {
            let (status, body) = post_json(body).await;
            assert_eq!((status, &body["message"]), (400, &json!("No request body")));
        }
    }

    #[tokio::test]
    async fn broken_json_has_one_sentence_and_no_details() {
        for body in [
            &b"{bad"[..],
            b"{",
            b"{}x",
            b"{}{}",
            b"\"\xff\"",
            b"{\"unknown\":\"\xff\"}",
            br#"{"productId":true,"#,
            "[".repeat(190).as_bytes(),
        ] {
            let (status, body) = post_json(body.to_vec()).await;
            assert_eq!((status, &body["message"]), (400, &json!("Failed to read HTTP message")));
            assert_eq!(body.get("details"), None, "{body}");
        }
    }

    #[tokio::test]
    async fn mistyped_json_names_the_field_and_its_value() {
        for (json, field, value) in [
            (r#"{"productId":true}"#, "productId", json!(true)),
            (r#"{"productId":2147483648}"#, "productId", json!(2147483648_i64)),
            (r#"{"recommendations":[{},{"recommendationId":"x"}]}"#, "recommendations[1].recommendationId", json!("x")),
            (r#"{"reviews":{"reviewId":1}}"#, "reviews", json!({"reviewId": 1})),
            (r#"{"reviews":[[1,"a","s","c"]]}"#, "reviews[0]", json!([1, "a", "s", "c"])),
            (r#"[1,"n",1]"#, ".", json!([1, "n", 1])),
            (r#""x""#, ".", json!("x")),
            ("null", ".", json!(null)),
        ] {
            let (status, body) = post_json(json).await;
            assert_eq!((status, &body["message"]), (400, &json!("Failed to read HTTP message")), "{json}");
            let details = &body["details"];
            assert_eq!((&details["field"], &details["value"]), (&json!(field), &value), "{json}");
            assert!(details["problem"].as_str().is_some_and(|problem| problem.starts_with("invalid ")), "{details}");
        }
    }

    #[tokio::test]
    async fn a_value_that_is_deep_or_long_is_not_sent_back() {
        let deep = "[".repeat(50) + &"]".repeat(50);
        let long = format!("{:?}", "x".repeat(5000));
        for value in [deep, long] {
            let body = format!(r#"{{"productId":{value}}}"#);
            let app = Router::new().route("/", post(|_: JsonBody<ProductAggregate>| async {}));
            let mut request = Request::post("/").body(Body::from(body)).unwrap();
            request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let response = error_bodies(app).oneshot(request).await.unwrap();
            assert_eq!(response.status(), 400);
            let answer = to_bytes(response.into_body(), usize::MAX).await.unwrap();
            let details = &serde_json::from_slice::<Value>(&answer).unwrap()["details"];
            assert_eq!((&details["field"], details.get("value")), (&json!("productId"), None), "{details}");
            assert!(answer.len() < 1500, "{} bytes", answer.len());
        }
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_413_whether_announced_or_not() {
        let unannounced = futures_util::stream::iter([Ok::<_, std::io::Error>(vec![b' '; LIMIT + 1])]);
        for body in [Body::from(vec![b' '; LIMIT + 1]), Body::from_stream(unannounced)] {
            let (status, body) = post_json(body).await;
            assert_eq!((status, &body["message"]), (413, &json!("The request body is larger than 200 bytes")));
        }
        assert_eq!(post_json(vec![b' '; LIMIT]).await.0, 400);
    }
}
