//! Instances and applications from JSON, as leniently as the original reads them: fields that it does not know are
//! passed over, nulls were not said, numbers and truth values may be texts.

use super::lenient::{Many, Scalar, Texts};
use super::{Action, Application, Applications, DataCenter, Instance, Lease, Port, Status};
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use std::time::{SystemTime, UNIX_EPOCH};

/// The classes of data centres that the original knows.
const DATA_CENTERS: [&str; 3] =
    [super::OWN_DATA_CENTER, "com.netflix.appinfo.MyDataCenterInfo", "com.netflix.appinfo.AmazonInfo"];

/// The bodies of the wire: each has one field, named after what it holds.
#[derive(Debug, Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
pub struct Rooted<T> {
    /// `applications`, `application` or `instance`.
    #[serde(alias = "applications", alias = "application")]
    pub instance: T,
}

impl<'de> Deserialize<'de> for Instance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Said::deserialize(deserializer)?.instance().map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Applications {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let said = SaidApplications::deserialize(deserializer)?;
        Ok(Self {
            version: said.version.as_ref().and_then(Scalar::number).unwrap_or(-1),
            hash: said.hash.map(Scalar::text).unwrap_or_default(),
            applications: said.application.0,
        })
    }
}

impl<'de> Deserialize<'de> for Application {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let said = SaidApplication::deserialize(deserializer)?;
        Ok(Self { name: said.name.map(Scalar::text).unwrap_or_default(), instances: said.instance.0 })
    }
}

#[derive(Deserialize)]
struct SaidApplications {
    #[serde(rename = "versions__delta")]
    version: Option<Scalar>,
    #[serde(rename = "apps__hashcode")]
    hash: Option<Scalar>,
    #[serde(default = "Many::none")]
    application: Many<Application>,
}

#[derive(Deserialize)]
struct SaidApplication {
    name: Option<Scalar>,
    #[serde(default = "Many::none")]
    instance: Many<Instance>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    instance_id: Option<Scalar>,
    host_name: Option<Scalar>,
    app: Option<Scalar>,
    ip_addr: Option<Scalar>,
    status: Option<Scalar>,
    overridden_status: Option<Scalar>,
    // Its name in XML and in older JSON.
    #[serde(rename = "overriddenstatus")]
    overridden: Option<Scalar>,
    port: Option<SaidPort>,
    secure_port: Option<SaidPort>,
    country_id: Option<Scalar>,
    data_center_info: Option<SaidDataCenter>,
    lease_info: Option<SaidLease>,
    metadata: Option<Texts>,
    app_group_name: Option<Scalar>,
    home_page_url: Option<Scalar>,
    status_page_url: Option<Scalar>,
    health_check_url: Option<Scalar>,
    secure_health_check_url: Option<Scalar>,
    vip_address: Option<Scalar>,
    secure_vip_address: Option<Scalar>,
    is_coordinating_discovery_server: Option<Scalar>,
    last_updated_timestamp: Option<Scalar>,
    last_dirty_timestamp: Option<Scalar>,
    action_type: Option<Scalar>,
    asg_name: Option<Scalar>,
    sid: Option<Scalar>,
}

impl Said {
    fn instance(self) -> Result<Instance, String> {
        let unsaid = Instance::unsaid(now());
        let app = self.app.map(Scalar::text).ok_or("missing field `app`")?;
        let overridden = self.overridden_status.or(self.overridden).map(|it| status(&it));
        let port = |said: Option<SaidPort>, unsaid: Port| said.map_or(Ok(unsaid), |said| said.port(unsaid));
        Ok(Instance {
            instance_id: self.instance_id.map(Scalar::text).unwrap_or_default(),
            host_name: self.host_name.map(Scalar::text).unwrap_or_default(),
            app: app.to_uppercase(),
            ip_addr: self.ip_addr.map(Scalar::text).unwrap_or_default(),
            status: self.status.map_or(unsaid.status, |it| status(&it)),
            overridden: overridden.unwrap_or(unsaid.overridden),
            port: port(self.port, unsaid.port)?,
            secure_port: port(self.secure_port, unsaid.secure_port)?,
            country_id: number(self.country_id, "countryId")?.unwrap_or(unsaid.country_id),
            data_center: self.data_center_info.map(SaidDataCenter::data_center).transpose()?,
            lease: self.lease_info.unwrap_or_default().lease()?,
            metadata: self.metadata.map(|texts| texts.0).unwrap_or_default(),
            app_group_name: self.app_group_name.map(|name| name.text().to_uppercase()),
            home_page_url: self.home_page_url.map(Scalar::text),
            status_page_url: self.status_page_url.map(Scalar::text),
            health_check_url: self.health_check_url.map(Scalar::text),
            secure_health_check_url: self.secure_health_check_url.map(Scalar::text),
            vip_address: self.vip_address.map(Scalar::text),
            secure_vip_address: self.secure_vip_address.map(Scalar::text),
            coordinating: self.is_coordinating_discovery_server.is_some_and(|it| it.truth()),
            last_updated: number(self.last_updated_timestamp, "lastUpdatedTimestamp")?.unwrap_or(unsaid.last_updated),
            last_dirty: number(self.last_dirty_timestamp, "lastDirtyTimestamp")?.unwrap_or(unsaid.last_dirty),
            action: self.action_type.and_then(|it| Action::named(&it.text())),
            asg_name: self.asg_name.map(Scalar::text),
            // The original writes "na" for nothing.
            sid: self.sid.map(Scalar::text).filter(|sid| !["", "na", "unknown"].contains(&sid.as_str())),
        })
    }
}

/// Milliseconds of the Unix time.
pub(in crate::discovery) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn status(said: &Scalar) -> Status {
    match said {
        Scalar::Text(name) => Status::named(name).unwrap_or(Status::Unknown),
        _ => Status::Unknown,
    }
}

fn number<N: TryFrom<i64>>(said: Option<Scalar>, name: &str) -> Result<Option<N>, String> {
    let Some(said) = said else { return Ok(None) };
    let read = said.number().and_then(|number| N::try_from(number).ok());
    read.map(Some).ok_or_else(|| format!("{name} is {:?}, which is no number that it may be", said.text()))
}

#[derive(Deserialize)]
struct SaidPort {
    #[serde(rename = "$")]
    number: Option<Scalar>,
    #[serde(rename = "@enabled")]
    enabled: Option<Scalar>,
}

impl SaidPort {
    fn port(self, unsaid: Port) -> Result<Port, String> {
        Ok(Port {
            number: number(self.number, "port")?.unwrap_or(unsaid.number),
            enabled: self.enabled.map_or(unsaid.enabled, |it| it.truth()),
        })
    }
}

#[derive(Deserialize)]
struct SaidDataCenter {
    #[serde(rename = "@class")]
    class: Option<Scalar>,
    name: Option<Scalar>,
    metadata: Option<Texts>,
}

impl SaidDataCenter {
    fn data_center(self) -> Result<DataCenter, String> {
        let class = self.class.map(Scalar::text).ok_or("dataCenterInfo has no @class")?;
        if !DATA_CENTERS.contains(&class.as_str()) {
            return Err(format!("dataCenterInfo has the @class {class:?}; allowed are {}", DATA_CENTERS.join(", ")));
        }
        let metadata = self.metadata.map(|texts| texts.0);
        Ok(DataCenter { class, name: self.name.map(Scalar::text).unwrap_or_default(), metadata })
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SaidLease {
    renewal_interval_in_secs: Option<Scalar>,
    duration_in_secs: Option<Scalar>,
    registration_timestamp: Option<Scalar>,
    last_renewal_timestamp: Option<Scalar>,
    eviction_timestamp: Option<Scalar>,
    service_up_timestamp: Option<Scalar>,
}

impl SaidLease {
    fn lease(self) -> Result<Lease, String> {
        let unsaid = Lease::default();
        let positive = |said, name, unsaid| Ok::<_, String>(number(said, name)?.filter(|it| *it > 0).unwrap_or(unsaid));
        Ok(Lease {
            // What is no time at all is not said, as in the original's builder.
            renewal_interval_s: positive(
                self.renewal_interval_in_secs,
                "renewalIntervalInSecs",
                unsaid.renewal_interval_s,
            )?,
            duration_s: positive(self.duration_in_secs, "durationInSecs", unsaid.duration_s)?,
            registered: number(self.registration_timestamp, "registrationTimestamp")?.unwrap_or(0),
            renewed: number(self.last_renewal_timestamp, "lastRenewalTimestamp")?.unwrap_or(0),
            evicted: number(self.eviction_timestamp, "evictionTimestamp")?.unwrap_or(0),
            up_since: number(self.service_up_timestamp, "serviceUpTimestamp")?.unwrap_or(0),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What Spring's client sends: nulls, a `sid` for nothing, truth values and numbers bare.
    const SPRINGS: &str = r#"{"instance":{"instanceId":"192.0.2.2:recommendation:7022","app":"RECOMMENDATION",
        "appGroupName":null,"ipAddr":"127.0.0.1","sid":"na","homePageUrl":"http://127.0.0.1:7022/",
        "secureHealthCheckUrl":null,"vipAddress":"recommendation","countryId":1,
        "dataCenterInfo":{"@class":"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo","name":"MyOwn"},
        "hostName":"127.0.0.1","status":"UP","overriddenStatus":"UNKNOWN",
        "leaseInfo":{"renewalIntervalInSecs":5,"durationInSecs":6,"registrationTimestamp":0},
        "isCoordinatingDiscoveryServer":false,"lastUpdatedTimestamp":1795418447441,
        "lastDirtyTimestamp":"1795418447822","actionType":null,"asgName":null,"port":{"$":"7022","@enabled":true},
        "securePort":{"$":443,"@enabled":"false"},"more":{"deeply":[{"nested":1}]},
        "metadata":{"@class":"x","management.port":7022,"nothing":null}}}"#;

    #[test]
    fn springs_registration_is_read() {
        let Rooted { instance } = serde_json::from_str::<Rooted<Instance>>(SPRINGS).unwrap();
        assert_eq!(instance.port, Port { number: 7022, enabled: true });
        assert_eq!(instance.secure_port, Port { number: 443, enabled: false });
        assert_eq!((instance.lease.renewal_interval_s, instance.lease.duration_s), (5, 6));
        assert_eq!((instance.last_updated, instance.last_dirty), (1_795_418_447_441, 1_795_418_447_822));
        assert_eq!((instance.sid, instance.asg_name, instance.action), (None, None, None));
        let metadata = [("management.port", "7022"), ("nothing", "null")];
        assert_eq!(instance.metadata, metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn a_single_application_or_instance_needs_no_array() {
        let body = r#"{"applications":{"versions__delta":7,"apps__hashcode":"UP_1_","extra":true,
            "application":{"name":"A","instance":{"app":"a","hostName":"h","status":"up"}}}}"#;
        let Rooted { instance: read } = serde_json::from_str::<Rooted<Applications>>(body).unwrap();
        assert_eq!((read.version, read.hash.as_str()), (7, "UP_1_"));
        let instance = &read.applications[0].instances[0];
        assert_eq!((instance.app.as_str(), instance.status), ("A", Status::Unknown));
        for nobody in [r#"{"applications":{"application":[]}}"#, r#"{"applications":{}}"#] {
            assert_eq!(serde_json::from_str::<Rooted<Applications>>(nobody).unwrap().instance.applications, []);
        }
    }

    #[test]
    fn what_is_no_instance_is_refused_with_its_field() {
        for (body, sentence) in [
            (r#"{"instance":{}}"#, "missing field `app`"),
            (r#"{"foo":{}}"#, "missing field"),
            (r#"{"instance":{"app":"a","port":7001}}"#, "invalid type"),
            (r#"{"instance":{"app":"a","port":{"$":"many"}}}"#, r#"port is "many""#),
            (r#"{"instance":{"app":"a","lastDirtyTimestamp":"x"}}"#, r#"lastDirtyTimestamp is "x""#),
            (r#"{"instance":{"app":"a","dataCenterInfo":{"name":"MyOwn"}}}"#, "dataCenterInfo has no @class"),
            (r#"{"instance":{"app":"a","dataCenterInfo":{"@class":"x.Y"}}}"#, r#"the @class "x.Y""#),
        ] {
            let error = serde_json::from_str::<Rooted<Instance>>(body).unwrap_err().to_string();
            assert!(error.contains(sentence), "{body}: {error}");
        }
    }
}
