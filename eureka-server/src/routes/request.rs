//! What a request wants and says.

use crate::bodies::Form;
use crate::registry::Origin;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, HeaderName, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::borrow::Cow;
use std::io::Read as _;

/// Says that a peer asks, who has told the others himself.
pub(super) const REPLICATION: HeaderName = HeaderName::from_static("x-netflix-discovery-replication");
/// Says in which form an instance is wanted.
const EUREKA_ACCEPT: HeaderName = HeaderName::from_static("x-eureka-accept");

/// The form that is asked for. XML unless JSON is named: Python's client asks for anything and reads XML.
pub(super) fn form(headers: &HeaderMap) -> Form {
    Form {
        xml: !text(headers, &header::ACCEPT).contains("json"),
        compact: text(headers, &EUREKA_ACCEPT).eq_ignore_ascii_case("compact"),
    }
}

/// The type of a body in `form`.
pub(super) fn content_type(form: Form) -> &'static str {
    if form.xml { "application/xml" } else { "application/json" }
}

/// Whether gzip is understood.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    text(headers, &header::ACCEPT_ENCODING).contains("gzip")
}

/// Who asks.
pub(super) fn origin(headers: &HeaderMap) -> Origin {
    if text(headers, &REPLICATION) == "true" { Origin::Peer } else { Origin::Client }
}

/// A parameter of the query.
pub(super) fn parameter<'a>(request: &'a Request, name: &str) -> Option<Cow<'a, str>> {
    parameters(request).find(|(key, _)| key == name).map(|(_, value)| value)
}

/// All parameters of the query.
pub(super) fn parameters(request: &Request) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
}

/// A header as far as it is text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The body, uncompressed, of at most `limit` bytes; or the refusal.
pub(super) async fn body(request: Request, limit: usize) -> Result<Bytes, Response> {
    let gzip = text(request.headers(), &header::CONTENT_ENCODING).contains("gzip");
    let too_large =
        || (StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {limit} bytes")).into_response();
    let body = match Limited::new(request.into_body(), limit).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Err(too_large()),
        Err(_) => return Err(StatusCode::BAD_REQUEST.into_response()),
    };
    if !gzip {
        return Ok(body);
    }
    let mut plain = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    match MultiGzDecoder::new(&body[..]).take(most).read_to_end(&mut plain) {
        Ok(_) if plain.len() > limit => Err(too_large()),
        Ok(_) => Ok(plain.into()),
        Err(error) => Err((StatusCode::BAD_REQUEST, format!("the body is no gzip: {error}")).into_response()),
    }
}
