//! Where a service is, as the URL in its variable says.

use super::dns::Dns;
use super::eureka::Eureka;
use super::{Endpoint, Endpoints, Source};
use http::Uri;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use tokio::sync::watch;

/// What a URL of a service may look like.
const ALLOWED: &str = "a URL such as http://host:port, several of them with commas in between, or dns+http://name:port";

/// Where a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// `http://a:1,http://b:2`: these instances, each once, in this order; at least one.
    Instances(Vec<Endpoint>),
    /// `dns+http://name:port`: an instance at each address of the name.
    Dns {
        /// The name, which is no address.
        name: String,
        /// The port at every address.
        port: u16,
    },
    /// Whoever has this name in the registry. Not written as a URL: it is so where there is a registry and no URL.
    Registry {
        /// The name.
        name: String,
    },
}

/// A text that says of no service where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is no location of a service: allowed is {allowed}")]
pub struct LocationError {
    /// What was read; nothing of it where it may hold a password.
    pub value: String,
    /// What is allowed, and where the text comes close to it, why it is refused.
    pub allowed: String,
}

impl Location {
    /// The source of its instances; without a registry, nobody is in it. Must be called in a runtime.
    pub fn discover(&self, registry: Option<&Eureka>) -> Source {
        match self {
            // The sender is gone: whoever reads knows that no more will come.
            Self::Instances(endpoints) => watch::channel(endpoints.as_slice().into()).1.into(),
            Self::Dns { name, port } => Dns::default().discover(name.clone(), *port),
            Self::Registry { name } => match registry {
                Some(registry) => registry.discovered(name).into(),
                None => watch::channel(Endpoints::default()).1.into(),
            },
        }
    }

    /// A URL at which one of the instances answers, for a caller that needs no more, and for messages.
    pub fn url(&self) -> String {
        match self {
            Self::Instances(endpoints) => endpoints.first().map(url).unwrap_or_default(),
            Self::Dns { name, port } => format!("http://{name}:{port}"),
            Self::Registry { name } => format!("http://{name}"),
        }
    }
}

fn url(endpoint: &Endpoint) -> String {
    format!("http://{}", endpoint.authority)
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let refused = |allowed: &str| LocationError {
            value: if text.contains('@') { "…".to_owned() } else { text.to_owned() },
            allowed: allowed.to_owned(),
        };
        if text.contains("https://") {
            return Err(refused(&format!("{ALLOWED}; services speak plain HTTP among themselves, so no https")));
        }
        if let Some(rest) = text.strip_prefix("dns+") {
            let uri = plain(rest).ok_or_else(|| refused(ALLOWED))?;
            let (host, port) = (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(80));
            // An address is what a name would be looked up for.
            return match host.trim_matches(['[', ']']).parse::<IpAddr>() {
                Ok(_) => Ok(Self::Instances(vec![Endpoint { authority: format!("{host}:{port}"), zone: None }])),
                Err(_) => Ok(Self::Dns { name: host.to_owned(), port }),
            };
        }
        let mut endpoints = Vec::new();
        for part in text.split(',') {
            let uri = plain(part.trim()).ok_or_else(|| refused(ALLOWED))?;
            let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
            let endpoint = Endpoint { authority, zone: None };
            if !endpoints.contains(&endpoint) {
                endpoints.push(endpoint);
            }
        }
        Ok(Self::Instances(endpoints))
    }
}

/// The URL of a server and nothing beneath it.
fn plain(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority()?.as_str();
    let port = authority.rsplit(':').next().filter(|_| uri.port().is_none() && authority.ends_with(':'));
    (uri.scheme_str() == Some("http") && path == "/" && !authority.contains('@') && port.is_none()).then_some(uri)
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instances(endpoints) => f.write_str(&endpoints.iter().map(url).collect::<Vec<_>>().join(",")),
            Self::Dns { name, port } => write!(f, "dns+http://{name}:{port}"),
            Self::Registry { name } => write!(f, "{name} in the registry"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_shown_as_it_is_written() {
        for text in ["http://localhost:7001", "http://a:1,http://[::1]:2", "dns+http://review:8080"] {
            assert_eq!(text.parse::<Location>().unwrap().to_string(), text);
        }
        let tidied = |text: &str| text.parse::<Location>().unwrap().to_string();
        assert_eq!(tidied("http://a:1/, http://b:2,http://a:1"), "http://a:1,http://b:2");
        assert_eq!(tidied("dns+http://review"), "dns+http://review:80");
        assert_eq!(tidied("dns+http://[::1]:7001"), "http://[::1]:7001", "an address is no name");
        assert_eq!("dns+http://review:8080".parse::<Location>().unwrap().url(), "http://review:8080");
        assert_eq!("http://a:1,http://b:2".parse::<Location>().unwrap().url(), "http://a:1");
    }

    #[test]
    fn what_is_no_location_is_refused_with_what_is_allowed() {
        for text in [
            "",
            "review:80",
            "http://",
            "http://a:1/path",
            "http://a:1?q",
            "http://a:",
            "http://a:1,",
            "ftp://a",
            "dns+a",
        ] {
            let error = text.parse::<Location>().unwrap_err().to_string();
            assert_eq!(error, format!("{text:?} is no location of a service: allowed is {ALLOWED}"));
        }
        for text in ["https://a:1", "http://a:1,https://b:1", "dns+https://a:1"] {
            let error = text.parse::<Location>().unwrap_err().to_string();
            assert!(error.ends_with("services speak plain HTTP among themselves, so no https"), "{error}");
        }
        let error = "http://me:secret@a:1".parse::<Location>().unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
