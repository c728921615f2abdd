//! How the registry behaves. The names of the variables are those by which Spring's registry takes its properties from
//! the environment, so that what stands in a compose file for that one holds here too.

use shared::service::config::{ConfigError, Variable, Variables, refused, variable};
use std::path::PathBuf;
use std::time::Duration;

const PRESERVATION: Variable =
    variable("EUREKA_SERVER_ENABLESELFPRESERVATION", "true", "whether nobody is evicted while too few renew");
const PERCENT: Variable =
    variable("EUREKA_SERVER_RENEWALPERCENTTHRESHOLD", "0.85", "which part of the expected renewals is enough");
const EXPECTED: Variable =
    variable("EUREKA_SERVER_EXPECTEDCLIENTRENEWALINTERVALSECONDS", "30", "how often an instance is expected to renew");
const RECOUNT: Variable = variable(
    "EUREKA_SERVER_RENEWALTHRESHOLDUPDATEINTERVALMS",
    "900000",
    "how often the expected instances are counted anew",
);
const EVICTION: Variable =
    variable("EUREKA_SERVER_EVICTIONINTERVALTIMERINMS", "60000", "how often leases that are over are looked for");
const RETENTION: Variable =
    variable("EUREKA_SERVER_RETENTIONTIMEINMSINDELTAQUEUE", "180000", "how long a change is told in deltas");
const SWEEP: Variable =
    variable("EUREKA_SERVER_DELTARETENTIONTIMERINTERVALINMS", "30000", "how often old changes are swept out");
const WAIT: Variable = variable(
    "EUREKA_SERVER_WAITTIMEINMSWHENSYNCEMPTY",
    "0",
    "how long nothing is told where no peer told anything at the start",
);
const PEERS: Variable = variable("EUREKA_CLIENT_SERVICEURL_DEFAULTZONE", "", "peers, as http://HOST:8761/eureka/,…");
const USER: Variable = variable("SPRING_SECURITY_USER_NAME", "", "who may ask; without, everybody");
const PASSWORD: Variable = variable("SPRING_SECURITY_USER_PASSWORD", "", "his password");
const SNAPSHOT: Variable = variable("SNAPSHOT_FILE", "", "where the registry is kept over a restart");
const INSTANCES: Variable = variable("MAX_INSTANCES", "20000", "how many instances are taken in");

/// Every variable of the registry, in the order of `--help`.
pub const VARIABLES: &[Variable] = &[
    PRESERVATION,
    PERCENT,
    EXPECTED,
    RECOUNT,
    EVICTION,
    RETENTION,
    SWEEP,
    WAIT,
    PEERS,
    USER,
    PASSWORD,
    SNAPSHOT,
    INSTANCES,
];

/// How the registry behaves; the default is Spring's.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `EUREKA_SERVER_ENABLESELFPRESERVATION`: whether nothing is evicted while too few renew.
    pub self_preservation: bool,
    /// `EUREKA_SERVER_RENEWALPERCENTTHRESHOLD`: which part of the expected renewals is enough.
    pub renewal_percent: f64,
    /// `EUREKA_SERVER_EXPECTEDCLIENTRENEWALINTERVALSECONDS`: how often an instance is expected to renew.
    pub expected_renewal: Duration,
    /// `EUREKA_SERVER_RENEWALTHRESHOLDUPDATEINTERVALMS`: how often the expected instances are counted anew.
    pub recount: Duration,
    /// `EUREKA_SERVER_EVICTIONINTERVALTIMERINMS`: how often leases that are over are looked for.
    pub eviction_interval: Duration,
    /// `EUREKA_SERVER_RETENTIONTIMEINMSINDELTAQUEUE`: how long a change is told in deltas.
    pub delta_retention: Duration,
    /// `EUREKA_SERVER_DELTARETENTIONTIMERINTERVALINMS`: how often old changes are swept out.
    pub delta_sweep: Duration,
    /// `EUREKA_SERVER_WAITTIMEINMSWHENSYNCEMPTY`: how long nothing is told when no peer told anything at the start.
    pub wait_when_empty: Duration,
    /// `EUREKA_CLIENT_SERVICEURL_DEFAULTZONE`: the peers, as URLs up to `/eureka/`.
    pub peers: Vec<String>,
    /// `SPRING_SECURITY_USER_NAME` and `SPRING_SECURITY_USER_PASSWORD`: who may ask. Nobody is asked who he is without.
    pub user: Option<(String, String)>,
    /// `SNAPSHOT_FILE`: where the registry is kept over a restart.
    pub snapshot: Option<PathBuf>,
    /// `MAX_INSTANCES`: a registration beyond it is refused with 429.
    pub max_instances: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            self_preservation: true,
            renewal_percent: 0.85,
            expected_renewal: Duration::from_secs(30),
            recount: Duration::from_secs(900),
            eviction_interval: Duration::from_secs(60),
            delta_retention: Duration::from_secs(180),
            delta_sweep: Duration::from_secs(30),
            wait_when_empty: Duration::ZERO,
            peers: Vec::new(),
            user: None,
            snapshot: None,
            max_instances: 20_000,
        }
    }
}

impl Settings {
    /// Reads all of it, or names the first value that cannot be read.
    pub fn read(variables: &Variables) -> Result<Self, ConfigError> {
        let percent: f64 = variables.read(PERCENT, "a number from 0 to 1")?;
        if !(0.0..=1.0).contains(&percent) {
            return Err(refused(PERCENT.name, &percent.to_string(), "a number from 0 to 1"));
        }
        Ok(Self {
            self_preservation: variables.read(PRESERVATION, "true or false")?,
            renewal_percent: percent,
            expected_renewal: Duration::from_secs(variables.number(EXPECTED, 1, 86_400)?.into()),
            recount: variables.millis(RECOUNT, 1)?,
            eviction_interval: variables.millis(EVICTION, 1)?,
            delta_retention: variables.millis(RETENTION, 1)?,
            delta_sweep: variables.millis(SWEEP, 1)?,
            wait_when_empty: variables.millis(WAIT, 0)?,
            peers: peers(variables)?,
            user: user(variables)?,
            snapshot: variables.text(SNAPSHOT.name).map(PathBuf::from),
            max_instances: variables.number(INSTANCES, 1, 1_000_000)? as usize,
        })
    }
}

fn peers(variables: &Variables) -> Result<Vec<String>, ConfigError> {
    let peers = variables.text(PEERS.name).unwrap_or_default().split(',').map(str::trim).filter(|url| !url.is_empty());
    peers
        .map(|url| match url.parse::<reqwest::Url>() {
            Ok(read) if ["http", "https"].contains(&read.scheme()) && read.has_host() => Ok(url.to_owned()),
            // It may hold a password.
            _ => Err(refused(PEERS.name, "…", "URLs such as http://host:8761/eureka/, with commas in between")),
        })
        .collect()
}

fn user(variables: &Variables) -> Result<Option<(String, String)>, ConfigError> {
    match (variables.text(USER.name), variables.text(PASSWORD.name)) {
        (None, None) => Ok(None),
        (Some(name), Some(password)) => Ok(Some((name.to_owned(), password.to_owned()))),
        (Some(_), None) => Err(refused(PASSWORD.name, "", "a password, since SPRING_SECURITY_USER_NAME is set")),
        (None, Some(_)) => Err(refused(USER.name, "", "a name, since SPRING_SECURITY_USER_PASSWORD is set")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn nothing_set_is_the_registry_of_spring() {
        let (read, default) = (Settings::read(&Variables::default()).unwrap(), Settings::default());
        assert_eq!(format!("{read:?}"), format!("{default:?}"));
    }

    #[test]
    fn an_unreadable_value_is_named_with_what_is_allowed() {
        for (name, value, sentence) in [
            (PERCENT.name, "85", "EUREKA_SERVER_RENEWALPERCENTTHRESHOLD is \"85\": allowed is a number from 0 to 1"),
            (PRESERVATION.name, "yes", "EUREKA_SERVER_ENABLESELFPRESERVATION is \"yes\": allowed is true or false"),
            (PEERS.name, "peer", "is \"…\": allowed is URLs such as http://host:8761/eureka/"),
            (USER.name, "u", "SPRING_SECURITY_USER_PASSWORD is \"\": allowed is a password"),
        ] {
            let error = Settings::read(&Variables::from([(name, value)])).unwrap_err().to_string();
            assert!(error.contains(sentence), "{error}");
        }
    }
}
