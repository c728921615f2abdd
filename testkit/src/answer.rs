//! What came back over HTTP, read to its end.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::RequestBuilder;
use serde_json::Value;
use std::fmt;

/// An answer.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, whatever it is.
    pub body: Bytes,
}

impl Answer {
    /// The answer to `request`.
    pub async fn to(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.expect("a whole answer") }
    }

    /// An answer as it stood on the wire.
    pub(crate) fn parse(wire: &[u8]) -> Self {
        let text = std::str::from_utf8(wire).expect("an answer in text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status");
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").expect("a header");
            (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
        };
        let (status, headers) = (status.parse().unwrap(), lines.map(header).collect());
        Self { status, headers, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in text")
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{self:?} is no JSON: {error}"))
    }

    /// The header of this name, if there is one.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The body that all failures have, without its time, which no test can know.
    pub fn failure(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        assert_eq!(self.json()["status"], self.status, "{self:?}");
        let rest = self.text().strip_prefix(r#"{"timestamp":""#).and_then(|rest| rest.split_once("Z\","));
        format!("{{{}", rest.expect("a timestamp comes first").1)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}
