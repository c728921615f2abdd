use crate::api::valid_id;
use crate::error::ApiError;
use axum::extract::{FromRequestParts, Query, RawPathParams};
use http::request::Parts;

/// The product's id in the path, `/…/{productId}`; 1 or above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProductIdPath(pub i32);

impl<S: Send + Sync> FromRequestParts<S> for ProductIdPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| mismatch())?;
        let id = params.iter().find(|(name, _)| *name == "productId").map(|(_, text)| text);
        Ok(Self(product_id(id.unwrap_or_default())?))
    }
}

/// The product's id in the query, `?productId=`; 1 or above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProductIdQuery(pub i32);

impl<S: Send + Sync> FromRequestParts<S> for ProductIdQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(|_| mismatch())?;
        let Some((_, id)) = pairs.iter().find(|(name, _)| name == "productId") else {
            return Err(ApiError::bad_request("Required query parameter 'productId' is not present."));
        };
        Ok(Self(product_id(id)?))
    }
}

fn product_id(text: &str) -> Result<i32, ApiError> {
    let id = java_int(text).ok_or_else(mismatch)?;
    valid_id("productId", id)?;
    Ok(id)
}

fn mismatch() -> ApiError {
    ApiError::bad_request("Type mismatch.")
}

/// Reads an int as Spring's converters do: white space does not count, and `0x1F` and `#1F` are 31.
fn java_int(text: &str) -> Option<i32> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let (sign, digits) = text.strip_prefix('-').map_or(("", &*text), |digits| ("-", digits));
    match ["0x", "0X", "#"].iter().find_map(|prefix| digits.strip_prefix(prefix)) {
        Some(hex) if hex.starts_with(['+', '-']) => None,
        Some(hex) => i32::from_str_radix(&format!("{sign}{hex}"), 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use axum::{
        Router,
        body::{Body, to_bytes},
        routing::get,
    };
    use http::Request;
    use serde_json::{Value, json};
    use tower::ServiceExt;

    async fn ask(uri: &str) -> (u16, String) {
        let app = Router::new()
            .route("/product/{productId}", get(|id: ProductIdPath| async move { id.0.to_string() }))
            .route("/review", get(|id: ProductIdQuery| async move { id.0.to_string() }));
        let request = Request::get(uri).body(Body::empty()).unwrap();
        let response = crate::error::error_bodies(app).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn ints_are_read_as_spring_reads_them() {
        for (text, int) in [
            ("12", Some(12)),
            ("+5", Some(5)),
            ("-5", Some(-5)),
            ("010", Some(10)),
            (" 1 2\t", Some(12)),
            ("0x1F", Some(31)),
            ("0X1f", Some(31)),
            ("#1F", Some(31)),
            ("-0x1F", Some(-31)),
            ("-0x80000000", Some(i32::MIN)),
            ("2147483647", Some(i32::MAX)),
            ("2147483648", None),
            ("0x80000000", None),
            ("+0x1F", None),
            ("0x-1F", None),
            ("0x", None),
            ("#", None),
            ("--5", None),
            ("-+5", None),
            ("1.0", None),
            ("abc", None),
            ("", None),
        ] {
            assert_eq!(java_int(text), int, "{text:?}");
        }
    }

    #[tokio::test]
    async fn an_id_is_taken_from_path_and_query() {
        for uri in ["/product/7", "/product/%2B7", "/product/0x7", "/review?productId=7", "/review?productId=%237"] {
            assert_eq!(ask(uri).await, (200, "7".to_owned()), "{uri}");
        }
        // A plus is a space in a query, and Spring drops it; of several values it takes the first.
        assert_eq!(ask("/review?productId=+7&productId=8").await, (200, "7".to_owned()));
    }

    #[tokio::test]
    async fn a_bad_id_has_springs_sentence() {
        let missing = "Required query parameter 'productId' is not present.";
        for (uri, status, message) in [
            ("/product/abc", 400, "Type mismatch."),
            ("/product/2147483648", 400, "Type mismatch."),
            ("/product/%FF", 400, "Type mismatch."),
            ("/product/-1", 422, "Invalid productId: -1"),
            ("/product/0", 422, "Invalid productId: 0"),
            ("/review", 400, missing),
            ("/review?productid=1", 400, missing),
            ("/review?productId", 400, "Type mismatch."),
            ("/review?productId=", 400, "Type mismatch."),
            ("/review?productId=abc", 400, "Type mismatch."),
            ("/review?productId=%FF", 400, "Type mismatch."),
            ("/review?productId=-1", 422, "Invalid productId: -1"),
        ] {
            let (found, body) = ask(uri).await;
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!((found, &body["message"]), (status, &json!(message)), "{uri}");
        }
        let (_, body) = ask("/product/-1").await;
        assert!(body.ends_with(r#","details":{"field":"productId","value":-1}}"#), "{body}");
    }
}
