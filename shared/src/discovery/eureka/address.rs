//! Where registries are, as people write it.

use anyhow::{Context, ensure};
use reqwest::Url;
use std::fmt;
use std::str::FromStr;

/// The registries to talk to, one of which is enough: `http://user:password@host:8761/eureka/,…`. Neither form that
/// people read shows the passwords. No path inside has a slash at its end.
#[derive(Clone)]
pub struct ServerUrls(pub(super) Vec<Url>);

impl FromStr for ServerUrls {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let urls = text.split(',').map(str::trim).filter(|url| !url.is_empty()).map(one);
        let urls = urls.collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(!urls.is_empty(), "there is no URL");
        Ok(Self(urls))
    }
}

fn one(text: &str) -> anyhow::Result<Url> {
    let mut url: Url = text.parse().context("that is no URL")?;
    ensure!(url.scheme() == "http", "only http can be spoken");
    ensure!(url.has_host() && url.query().is_none() && url.fragment().is_none(), "a registry is a host and a path");
    let path = match url.path().trim_end_matches('/') {
        // As every registry of Spring is served.
        "" => "/eureka".to_owned(),
        path => path.to_owned(),
    };
    url.set_path(&path);
    Ok(url)
}

impl fmt::Display for ServerUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<_> = self.0.iter().map(shown).collect();
        f.write_str(&urls.join(","))
    }
}

impl fmt::Debug for ServerUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerUrls").field(&self.to_string()).finish()
    }
}

/// `url` without its user.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Only a URL without a host has no place for a user.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_written_as_people_write_them() {
        for (text, urls) in [
            ("http://localhost:8761", "http://localhost:8761/eureka"),
            ("http://localhost:8761/", "http://localhost:8761/eureka"),
            ("http://localhost:8761/eureka/", "http://localhost:8761/eureka"),
            ("http://a/eureka, http://b/registry/eureka/v2/ ,", "http://a/eureka,http://b/registry/eureka/v2"),
            ("http://me:s%3Acret@a:8761/eureka/", "http://a:8761/eureka"),
        ] {
            assert_eq!(text.parse::<ServerUrls>().unwrap().to_string(), urls, "{text}");
        }
        let urls: ServerUrls = "http://me:secret@a:8761".parse().unwrap();
        assert_eq!(format!("{urls:?}"), r#"ServerUrls("http://a:8761/eureka")"#);
        assert_eq!(urls.0[0].password(), Some("secret"));
    }

    #[test]
    fn what_is_no_registry_is_refused() {
        for text in ["", " , ", "localhost:8761", "https://a:8761/eureka", "http://", "http://a/?b", "http://a/#b"] {
            assert!(text.parse::<ServerUrls>().is_err(), "{text}");
        }
    }
}
