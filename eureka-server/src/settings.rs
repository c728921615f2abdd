//! How the registry behaves. The names of the variables are those by which Spring's registry takes its properties from
//! the environment, so that what stands in a compose file for that one holds here too.

use std::path::PathBuf;
use std::time::Duration;

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
