//! How services find each other. But for the registry's own, the names of the variables are those by which Spring's
//! services take these properties from the environment.

use super::{ConfigError, Variable, Variables, refused, variable};
use crate::discovery::eureka::ServerUrls;
use http::uri::Authority;
use std::net::IpAddr;
use std::time::Duration;

pub(super) const URL: Variable = variable(
    "EUREKA_URL",
    "",
    "the registries as http://USER:PASSWORD@HOST:8761/eureka/, several with commas in between; unset: none",
);
pub(super) const REFRESH: Variable =
    variable("EUREKA_CLIENT_REGISTRYFETCHINTERVALSECONDS", "5", "how often the registry is asked for changes");
pub(super) const HOST_NAME: Variable = variable(
    "EUREKA_INSTANCE_HOSTNAME",
    "",
    "the host that others reach this process at, else HOST, else the machine's name",
);
pub(super) const ZONE: Variable = variable("EUREKA_INSTANCE_METADATAMAP_ZONE", "", "the zone that this process is in");
pub(super) const RENEWAL: Variable =
    variable("EUREKA_INSTANCE_LEASERENEWALINTERVALINSECONDS", "5", "how often a registration is renewed");
// Three renewals. The 5 s of the Java landscape hold only because its registry doubles what it is told.
pub(super) const DURATION: Variable =
    variable("EUREKA_INSTANCE_LEASEEXPIRATIONDURATIONINSECONDS", "15", "how long a registration lasts unrenewed");

/// How services find each other.
#[derive(Debug, Clone)]
pub struct Discovery {
    /// `EUREKA_URL`: the registries, if there are any.
    pub registries: Option<ServerUrls>,
    /// `EUREKA_CLIENT_REGISTRYFETCHINTERVALSECONDS`: how often the registry is asked for changes.
    pub refresh: Duration,
    /// `EUREKA_INSTANCE_HOSTNAME`: the host that others reach this process at.
    pub host_name: Option<String>,
    /// `EUREKA_INSTANCE_METADATAMAP_ZONE`: the zone that this process is in.
    pub zone: Option<String>,
    /// `EUREKA_INSTANCE_LEASERENEWALINTERVALINSECONDS`: how often a registration is renewed.
    pub renewal: Duration,
    /// `EUREKA_INSTANCE_LEASEEXPIRATIONDURATIONINSECONDS`: how long a registration lasts unrenewed.
    pub duration: Duration,
}

impl Discovery {
    pub(super) fn read(variables: &Variables) -> Result<Self, ConfigError> {
        let secs = |variable| Ok(Duration::from_secs(variables.number(variable, 1, 86_400)?.into()));
        let read = Self {
            registries: registries(variables)?,
            refresh: secs(REFRESH)?,
            host_name: host_name(variables)?,
            zone: variables.text(ZONE.name).map(str::to_owned),
            renewal: secs(RENEWAL)?,
            duration: secs(DURATION)?,
        };
        if read.duration < read.renewal {
            let allowed = format!("at least the {} of {}", read.renewal.as_secs(), RENEWAL.name);
            return Err(refused(DURATION.name, &read.duration.as_secs().to_string(), &allowed));
        }
        Ok(read)
    }
}

fn registries(variables: &Variables) -> Result<Option<ServerUrls>, ConfigError> {
    let Some(urls) = variables.text(URL.name) else { return Ok(None) };
    let allowed = |error| format!("http://HOST:8761/eureka/, or several with commas in between: {error}");
    // The value may hold a password.
    urls.parse().map(Some).map_err(|error: anyhow::Error| refused(URL.name, "…", &allowed(error)))
}

fn host_name(variables: &Variables) -> Result<Option<String>, ConfigError> {
    let Some(name) = variables.text(HOST_NAME.name) else { return Ok(None) };
    let named = name.parse::<Authority>().is_ok_and(|authority| authority.host() == name);
    match named || name.parse::<IpAddr>().is_ok() {
        true => Ok(Some(name.to_owned())),
        false => Err(refused(HOST_NAME.name, name, "a host name or an IP address")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn nothing_set_is_no_registry() {
        let read = Discovery::read(&Variables::default()).unwrap();
        assert!(read.registries.is_none() && read.host_name.is_none() && read.zone.is_none());
        assert_eq!([read.refresh, read.renewal, read.duration].map(|it| it.as_secs()), [5, 5, 15]);
    }

    #[test]
    fn an_unreadable_value_is_named_and_no_password_shown() {
        for (name, value, sentence) in [
            ("EUREKA_URL", "https://me:secret@a:8761/", "EUREKA_URL is \"…\": allowed is http://HOST:8761/eureka/, or"),
            ("EUREKA_URL", "a:8761", ": only http can be spoken"),
            ("EUREKA_INSTANCE_HOSTNAME", "a:80", "HOSTNAME is \"a:80\": allowed is a host name or an IP address"),
            ("EUREKA_INSTANCE_HOSTNAME", "a/b", "HOSTNAME is \"a/b\": allowed is a host name or an IP address"),
            (DURATION.name, "3", "is \"3\": allowed is at least the 5 of EUREKA_INSTANCE_LEASERENEWAL"),
            (REFRESH.name, "0", "is \"0\": allowed is a whole number from 1 to 86400"),
        ] {
            let error = Discovery::read(&Variables::from([(name, value)])).unwrap_err().to_string();
            assert!(error.contains(sentence) && !error.contains("secret"), "{error}");
        }
        for host in ["product", "10.0.0.1", "::1", "a.b.example"] {
            let read = Discovery::read(&Variables::from([(HOST_NAME.name, host)])).unwrap();
            assert_eq!(read.host_name.as_deref(), Some(host));
        }
    }
}
