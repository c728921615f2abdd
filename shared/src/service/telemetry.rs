//! Logs, and the trace that a request and its events belong to.

use http::{HeaderMap, HeaderValue};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// The header, of requests and of messages, that carries the W3C trace context.
pub const TRACEPARENT: &str = "traceparent";

/// Starts logging to standard error. `filter` is what `RUST_LOG` says.
pub fn start(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| anyhow::anyhow!("RUST_LOG is {filter:?}: allowed is a filter such as info ({error})"))?;
    let ansi = std::io::stderr().is_terminal();
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi);
    logs.try_init().map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}

/// The place of a request in its trace, as the header writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext(String);

impl TraceContext {
    /// Goes on with the trace that the request came with; without a valid one, starts one.
    pub fn of(headers: &HeaderMap) -> Self {
        // Zeros are no id, and no id is a secret.
        let span = fastrand::u64(1..);
        let given = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()).and_then(trace_and_flags);
        let (trace, flags) = match given {
            Some((trace, flags)) => (trace.to_owned(), flags),
            None => (format!("{:032x}", fastrand::u128(1..)), "01"),
        };
        Self(format!("00-{trace}-{span:016x}-{flags}"))
    }

    /// The header's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The header's value.
    pub fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

/// The trace id and flags of a valid `version-trace-span-flags`.
fn trace_and_flags(header: &str) -> Option<(&str, &str)> {
    let hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let set = |text: &str| text.bytes().any(|byte| byte != b'0');
    let mut parts = header.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // A later version may have more parts; version ff is none.
    let ends = version != "00" || parts.next().is_none();
    let valid = hex(version, 2) && version != "ff" && hex(trace, 32) && hex(span, 16) && hex(flags, 2);
    (valid && ends && set(trace) && set(span)).then_some((trace, flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_goes_on_in_a_new_span_and_an_invalid_one_is_replaced() {
        let of = |value: &'static str| {
            let headers =
                HeaderMap::from_iter([(http::HeaderName::from_static(TRACEPARENT), HeaderValue::from_static(value))]);
            TraceContext::of(&headers)
        };
        let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        let next = of(given);
        assert!(next.as_str().starts_with("00-0af7651916cd43dd8448eb211c80319c-") && next.as_str().ends_with("-00"));
        assert_ne!(next.as_str(), given);
        for invalid in [
            "",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        ] {
            let fresh = of(invalid);
            assert!(trace_and_flags(fresh.as_str()).is_some() && !fresh.as_str().contains("0af7651916"), "{invalid}");
        }
    }
}
