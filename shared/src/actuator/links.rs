use http::{HeaderMap, header};
use serde::{Serialize, Serializer};

/// The endpoints that `/actuator` lists, in order: a name, and a path below `/actuator/` each.
pub(super) struct Links(Vec<(&'static str, &'static str)>);

impl Links {
    pub(super) fn new(links: impl IntoIterator<Item = (&'static str, &'static str)>) -> Self {
        Self(links.into_iter().collect())
    }

    pub(super) fn add(&mut self, links: impl IntoIterator<Item = (&'static str, &'static str)>) {
        self.0.extend(links);
    }

    /// The list as HAL, its addresses those by which the client reached us.
    pub(super) fn seen_from(&self, headers: &HeaderMap) -> impl Serialize {
        let base = format!("{}/actuator", origin(headers));
        let below = self.0.iter().map(|(name, path)| (*name, Link::to(format!("{base}/{path}"))));
        Hal { links: Entries([("self", Link::to(base.clone()))].into_iter().chain(below).collect()) }
    }
}

#[derive(Serialize)]
struct Hal {
    #[serde(rename = "_links")]
    links: Entries,
}

/// Written as an object that keeps its order.
struct Entries(Vec<(&'static str, Link)>);

impl Serialize for Entries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, link)| (name, link)))
    }
}

#[derive(Serialize)]
struct Link {
    href: String,
    templated: bool,
}

impl Link {
    fn to(href: String) -> Self {
        Self { templated: href.contains('{'), href }
    }
}

/// Scheme, host and port as the client wrote them, before any proxy that says so; as Spring's own filter reads them.
fn origin(headers: &HeaderMap) -> String {
    let first = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        value.split(',').next().map(str::trim).filter(|value| !value.is_empty())
    };
    let forwarded_scheme = first("x-forwarded-proto");
    let scheme = forwarded_scheme.unwrap_or("http");
    let (host, port) = match first("x-forwarded-host") {
        Some(host) => split(host),
        None => {
            let (host, port) = split(first(header::HOST.as_str()).unwrap_or("localhost"));
            // Behind a proxy that names its scheme our own port says nothing about the proxy's.
            (host, port.filter(|_| forwarded_scheme.is_none()))
        }
    };
    let standard = match scheme {
        "https" => "443",
        _ => "80",
    };
    match first("x-forwarded-port").or(port).filter(|port| *port != standard) {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    }
}

/// Splits off the port; the colons of an IPv6 address stand in brackets.
fn split(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_the_client_used() {
        for (headers, seen) in [
            (&[("host", "localhost:8080")][..], "http://localhost:8080"),
            (&[("host", "localhost")], "http://localhost"),
            (&[("host", "[::1]:7001")], "http://[::1]:7001"),
            (&[("host", "[::1]")], "http://[::1]"),
            (&[], "http://localhost"),
            (&[("host", "cmp:8080"), ("x-forwarded-host", "shop.org")], "http://shop.org"),
            (&[("host", "cmp:8080"), ("x-forwarded-host", "shop.org:81, inner")], "http://shop.org:81"),
            (&[("host", "cmp:8080"), ("x-forwarded-proto", "https")], "https://cmp"),
            (
                &[
                    ("host", "cmp:8080"),
                    ("x-forwarded-proto", "https"),
                    ("x-forwarded-host", "localhost"),
                    ("x-forwarded-port", "8443"),
                ],
                "https://localhost:8443",
            ),
            (&[("host", "cmp"), ("x-forwarded-proto", "https"), ("x-forwarded-port", "443")], "https://cmp"),
        ] {
            let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            assert_eq!(origin(&headers), seen, "{headers:?}");
        }
    }
}
