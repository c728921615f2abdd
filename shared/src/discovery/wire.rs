//! What Eureka's registries and clients say to each other: instances, their leases and applications.
//!
//! - this file: the words
//! - [`read`]: as JSON, from whoever wrote it
//! - [`mod@write`]: as JSON, to the letter what the original writes: Spring's client refuses a field that it does not know

mod lenient;
pub mod read;
pub mod write;

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The data centre of everyone who has none, as Java's clients name it.
pub const OWN_DATA_CENTER: &str = "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo";

/// One running process of an application, as Netflix's `InstanceInfo` describes it. A text that is empty was not said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// `instanceId`: unique in its application. Empty: its [`id`](Self::id) is the host name.
    pub instance_id: String,
    /// `hostName`: what callers connect to.
    pub host_name: String,
    /// `app`: the application, in capitals.
    pub app: String,
    /// `ipAddr`.
    pub ip_addr: String,
    /// `status`.
    pub status: Status,
    /// `overriddenStatus`: what an operator set; unknown where nobody did.
    pub overridden: Status,
    /// `port`.
    pub port: Port,
    /// `securePort`.
    pub secure_port: Port,
    /// `countryId`.
    pub country_id: i32,
    /// `dataCenterInfo`.
    pub data_center: Option<DataCenter>,
    /// `leaseInfo`.
    pub lease: Lease,
    /// `metadata`.
    pub metadata: BTreeMap<String, String>,
    /// `appGroupName`.
    pub app_group_name: Option<String>,
    /// `homePageUrl`.
    pub home_page_url: Option<String>,
    /// `statusPageUrl`.
    pub status_page_url: Option<String>,
    /// `healthCheckUrl`.
    pub health_check_url: Option<String>,
    /// `secureHealthCheckUrl`.
    pub secure_health_check_url: Option<String>,
    /// `vipAddress`: the names under which callers look for it, separated by commas.
    pub vip_address: Option<String>,
    /// `secureVipAddress`: likewise for its secure port.
    pub secure_vip_address: Option<String>,
    /// `isCoordinatingDiscoveryServer`.
    pub coordinating: bool,
    /// `lastUpdatedTimestamp`: when the registry changed it, in milliseconds of the Unix time.
    pub last_updated: i64,
    /// `lastDirtyTimestamp`: when the instance changed it, likewise.
    pub last_dirty: i64,
    /// `actionType`: what happened to it last.
    pub action: Option<Action>,
    /// `asgName`.
    pub asg_name: Option<String>,
    /// `sid`.
    pub sid: Option<String>,
}

impl Instance {
    /// What nobody said, as the original assumes it; `now` in milliseconds of the Unix time.
    pub fn unsaid(now: i64) -> Self {
        Self {
            instance_id: String::new(),
            host_name: String::new(),
            app: String::new(),
            ip_addr: String::new(),
            status: Status::Up,
            overridden: Status::Unknown,
            port: Port { number: 7001, enabled: true },
            secure_port: Port { number: 7002, enabled: false },
            country_id: 1,
            data_center: None,
            lease: Lease::default(),
            metadata: BTreeMap::new(),
            app_group_name: None,
            home_page_url: None,
            status_page_url: None,
            health_check_url: None,
            secure_health_check_url: None,
            vip_address: None,
            secure_vip_address: None,
            coordinating: false,
            last_updated: now,
            last_dirty: now,
            action: None,
            asg_name: None,
            sid: None,
        }
    }

    /// What tells it from the others of its application: its instance id, else what its data centre calls it, else the
    /// host name.
    pub fn id(&self) -> &str {
        let data_center = self.data_center.as_ref().and_then(|it| it.metadata.as_ref()?.get("instance-id"));
        match (self.instance_id.as_str(), data_center) {
            ("", Some(id)) => id,
            ("", None) => &self.host_name,
            (id, _) => id,
        }
    }
}

/// How an instance is. The order is that of the names, as the hash of a registry wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// It does not take requests.
    Down,
    /// An operator keeps requests from it.
    OutOfService,
    /// It is about to come up.
    Starting,
    /// Nothing is known; also every word that is none of the others.
    Unknown,
    /// It takes requests.
    Up,
}

impl Status {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Down => "DOWN",
            Self::OutOfService => "OUT_OF_SERVICE",
            Self::Starting => "STARTING",
            Self::Unknown => "UNKNOWN",
            Self::Up => "UP",
        }
    }

    /// The status of this very name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Down, Self::OutOfService, Self::Starting, Self::Unknown, Self::Up]
            .into_iter()
            .find(|it| it.name() == name)
    }
}

/// A port, and whether it is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// Its number, as it was said: the wire takes any.
    pub number: i32,
    /// Whether it is served.
    pub enabled: bool,
}

/// Where an instance runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataCenter {
    /// `@class`: the Java class that the original makes of it. Data, nothing else.
    pub class: String,
    /// `name`: `MyOwn`, `Amazon` or `Netflix`. Empty: not said.
    pub name: String,
    /// What Amazon says of it.
    pub metadata: Option<BTreeMap<String, String>>,
}

impl DataCenter {
    /// That of everyone who has none.
    pub fn own() -> Self {
        Self { class: OWN_DATA_CENTER.to_owned(), name: "MyOwn".to_owned(), metadata: None }
    }
}

/// How long an instance is believed to live. Times are milliseconds of the Unix time, 0 for never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// `renewalIntervalInSecs`: how often it renews.
    pub renewal_interval_s: i32,
    /// `durationInSecs`: how long a renewal lasts.
    pub duration_s: i32,
    /// `registrationTimestamp`.
    pub registered: i64,
    /// `lastRenewalTimestamp`.
    pub renewed: i64,
    /// `evictionTimestamp`: when it was cancelled or evicted.
    pub evicted: i64,
    /// `serviceUpTimestamp`: when it was UP for the first time.
    pub up_since: i64,
}

impl Default for Lease {
    fn default() -> Self {
        Self { renewal_interval_s: 30, duration_s: 90, registered: 0, renewed: 0, evicted: 0, up_since: 0 }
    }
}

/// What happened to an instance last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It registered.
    Added,
    /// Its status was overridden, or that was taken back.
    Modified,
    /// It left or was evicted.
    Deleted,
}

impl Action {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }

    /// The action of this very name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Added, Self::Modified, Self::Deleted].into_iter().find(|it| it.name() == name)
    }
}

/// The instances of a registry, or those of it that changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applications {
    /// `versions__delta`: -1 where the registry has no changes to tell.
    pub version: i64,
    /// `apps__hashcode`: the [hash](hash()) of the whole registry.
    pub hash: String,
    /// The applications in their order.
    pub applications: Vec<Application>,
}

/// The instances of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// The name, in capitals.
    pub name: String,
    /// Its instances.
    pub instances: Vec<Instance>,
}

/// The hash by which a client sees whether it has the whole registry: how many instances are of each status, as
/// Netflix's `getReconcileHashCode` tells it. It is blind to an instance that took another's place.
pub fn hash(statuses: impl IntoIterator<Item = Status>) -> String {
    let mut counts = BTreeMap::<Status, usize>::new();
    for status in statuses {
        *counts.entry(status).or_default() += 1;
    }
    let mut hash = String::new();
    for (status, count) in counts {
        // Writing to a string cannot fail.
        let _ = write!(hash, "{}_{count}_", status.name());
    }
    hash
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_counts_statuses_by_name() {
        use Status::{Down, OutOfService, Starting, Unknown, Up};
        assert_eq!(hash([]), "");
        assert_eq!(
            hash([Up, Unknown, Down, Up, Starting, OutOfService]),
            "DOWN_1_OUT_OF_SERVICE_1_STARTING_1_UNKNOWN_1_UP_2_"
        );
    }

    #[test]
    fn an_instance_without_an_id_is_known_by_its_data_centre_or_host() {
        let mut instance = Instance { host_name: "h1".to_owned(), ..Instance::unsaid(0) };
        assert_eq!(instance.id(), "h1");
        let metadata = BTreeMap::from([("instance-id".to_owned(), "i-1".to_owned())]);
        instance.data_center = Some(DataCenter { metadata: Some(metadata), ..DataCenter::own() });
        assert_eq!(instance.id(), "i-1");
        instance.instance_id = "h1:product:7001".to_owned();
        assert_eq!(instance.id(), "h1:product:7001");
    }
}
