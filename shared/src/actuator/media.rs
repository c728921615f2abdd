use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;

/// The form of an answer: Spring Boot's own types name the version of the JSON they carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    V3,
    V2,
    /// Plain JSON has the form of the newest version.
    Json,
}

impl Media {
    /// What the client prefers. A client that accepts none of ours gets the newest, which helps it more than a 406.
    pub(super) fn wanted(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let ranges = accepted.flat_map(|value| value.split(',')).filter_map(range);
        // Reversed, so that the first of equals wins.
        let best = ranges.rev().max_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        best.map_or(Self::V3, |(_, _, media)| media)
    }

    pub(super) fn response(self, status: StatusCode, body: &impl Serialize) -> Response {
        match serde_json::to_vec(body) {
            Ok(json) => (status, [(header::CONTENT_TYPE, self.content_type())], json).into_response(),
            Err(error) => {
                tracing::error!("an actuator's answer cannot be written: {error}");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }

    pub(super) fn components_key(self) -> &'static str {
        match self {
            Self::V2 => "details",
            Self::V3 | Self::Json => "components",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::V3 => "application/vnd.spring-boot.actuator.v3+json",
            Self::V2 => "application/vnd.spring-boot.actuator.v2+json",
            Self::Json => "application/json",
        }
    }
}

/// Reads one range of an Accept header that we can serve: how much it is wanted, how exact it is, what it gets.
fn range(text: &str) -> Option<(f32, u8, Media)> {
    let mut parts = text.split(';').map(str::trim);
    let (exact, media) = match parts.next()?.to_ascii_lowercase().as_str() {
        "*/*" => (0, Media::V3),
        "application/*" | "application/*+json" => (1, Media::V3),
        name => (2, [Media::V3, Media::V2, Media::Json].into_iter().find(|media| media.content_type() == name)?),
    };
    let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |weight| weight.parse().ok())?;
    (weight > 0.0).then_some((weight, exact, media))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_client_chooses_among_the_forms() {
        let v2 = "application/vnd.spring-boot.actuator.v2+json";
        let v3 = "application/vnd.spring-boot.actuator.v3+json";
        for (accept, media) in [
            ("*/*", Media::V3),
            ("application/*", Media::V3),
            ("application/*+json", Media::V3),
            ("application/json", Media::Json),
            ("Application/JSON;q=0.5", Media::Json),
            (v2, Media::V2),
            (v3, Media::V3),
            (&format!("{v2}, application/json"), Media::V2),
            (&format!("application/json, {v2}"), Media::Json),
            (&format!("application/json;q=0.9, {v2};q=0.8, {v3};q=0"), Media::Json),
            (&format!("*/*, {v2}"), Media::V2),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Media::V3),
            ("text/html", Media::V3),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
            assert_eq!(Media::wanted(&headers), media, "{accept}");
        }
        assert_eq!(Media::wanted(&HeaderMap::new()), Media::V3);
    }
}
