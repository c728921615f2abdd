//! Instances and applications as JSON, in the order and the types of the original.

use super::{Application, Applications, DataCenter, Instance, Lease, Port};
use serde::ser::{Serialize, SerializeMap, Serializer};

impl Serialize for Instance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.instance_id.is_empty() {
            map.serialize_entry("instanceId", &self.instance_id)?;
        }
        map.serialize_entry("hostName", &self.host_name)?;
        map.serialize_entry("app", &self.app)?;
        map.serialize_entry("ipAddr", &self.ip_addr)?;
        if let Some(sid) = &self.sid {
            map.serialize_entry("sid", sid)?;
        }
        map.serialize_entry("status", self.status.name())?;
        map.serialize_entry("overriddenStatus", self.overridden.name())?;
        map.serialize_entry("port", &self.port)?;
        map.serialize_entry("securePort", &self.secure_port)?;
        map.serialize_entry("countryId", &self.country_id)?;
        if let Some(data_center) = &self.data_center {
            map.serialize_entry("dataCenterInfo", data_center)?;
        }
        map.serialize_entry("leaseInfo", &self.lease)?;
        if self.metadata.is_empty() {
            map.serialize_entry("metadata", &EmptyMap)?;
        } else {
            map.serialize_entry("metadata", &self.metadata)?;
        }
        // From here on everything is a text, and what was not said is left out.
        let (updated, dirty) = (self.last_updated.to_string(), self.last_dirty.to_string());
        for (name, text) in [
            ("appGroupName", self.app_group_name.as_deref()),
            ("homePageUrl", self.home_page_url.as_deref()),
            ("statusPageUrl", self.status_page_url.as_deref()),
            ("healthCheckUrl", self.health_check_url.as_deref()),
            ("secureHealthCheckUrl", self.secure_health_check_url.as_deref()),
            ("vipAddress", self.vip_address.as_deref()),
            ("secureVipAddress", self.secure_vip_address.as_deref()),
            ("isCoordinatingDiscoveryServer", Some(if self.coordinating { "true" } else { "false" })),
            ("lastUpdatedTimestamp", Some(updated.as_str())),
            ("lastDirtyTimestamp", Some(dirty.as_str())),
            ("actionType", self.action.map(super::Action::name)),
            ("asgName", self.asg_name.as_deref()),
        ] {
            if let Some(text) = text {
                map.serialize_entry(name, text)?;
            }
        }
        map.end()
    }
}

impl Serialize for Port {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("$", &self.number)?;
        map.serialize_entry("@enabled", if self.enabled { "true" } else { "false" })?;
        map.end()
    }
}

impl Serialize for DataCenter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("@class", &self.class)?;
        map.serialize_entry("name", &self.name)?;
        if let Some(metadata) = &self.metadata {
            map.serialize_entry("metadata", metadata)?;
        }
        map.end()
    }
}

impl Serialize for Lease {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(6))?;
        map.serialize_entry("renewalIntervalInSecs", &self.renewal_interval_s)?;
        map.serialize_entry("durationInSecs", &self.duration_s)?;
        map.serialize_entry("registrationTimestamp", &self.registered)?;
        map.serialize_entry("lastRenewalTimestamp", &self.renewed)?;
        map.serialize_entry("evictionTimestamp", &self.evicted)?;
        map.serialize_entry("serviceUpTimestamp", &self.up_since)?;
        map.end()
    }
}

/// What Java writes for a map without entries.
struct EmptyMap;

impl Serialize for EmptyMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("@class", "java.util.Collections$EmptyMap")?;
        map.end()
    }
}

impl Serialize for Applications {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("versions__delta", &self.version.to_string())?;
        map.serialize_entry("apps__hashcode", &self.hash)?;
        map.serialize_entry("application", &self.applications)?;
        map.end()
    }
}

impl Serialize for Application {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("name", &self.name)?;
        map.serialize_entry("instance", &self.instances)?;
        map.end()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::discovery::wire::read::Rooted;

    #[test]
    fn an_instance_is_written_to_the_letter_as_the_original_writes_it() {
        let originals = concat!(
            r#"{"instanceId":"192.0.2.2:product:7001","hostName":"127.0.0.1","app":"PRODUCT","ipAddr":"127.0.0.1","#,
            r#""status":"UP","overriddenStatus":"UNKNOWN","port":{"$":7001,"@enabled":"true"},"#,
            r#""securePort":{"$":443,"@enabled":"false"},"countryId":1,"dataCenterInfo":"#,
            r#"{"@class":"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo","name":"MyOwn"},"#,
            r#""leaseInfo":{"renewalIntervalInSecs":5,"durationInSecs":5,"registrationTimestamp":1795418284384,"#,
            r#""lastRenewalTimestamp":1795418379364,"evictionTimestamp":0,"serviceUpTimestamp":1795418284384},"#,
            r#""metadata":{"management.port":"7001"},"homePageUrl":"http://127.0.0.1:7001/","#,
            r#""statusPageUrl":"http://127.0.0.1:7001/actuator/info","#,
            r#""healthCheckUrl":"http://127.0.0.1:7001/actuator/health","vipAddress":"product","#,
            r#""secureVipAddress":"product","isCoordinatingDiscoveryServer":"false","#,
            r#""lastUpdatedTimestamp":"1795418284384","lastDirtyTimestamp":"1795418284240","actionType":"ADDED"}"#,
        );
        let instance: Instance = serde_json::from_str(originals).unwrap();
        assert_eq!(serde_json::to_string(&instance).unwrap(), originals);
    }

    #[test]
    fn an_empty_registry_is_what_the_java_landscape_tests_for() {
        let nobody = Applications { version: 1, ..Applications::default() };
        let json = serde_json::to_string(&nobody).unwrap();
        assert_eq!(json, r#"{"versions__delta":"1","apps__hashcode":"","application":[]}"#);
        let read: Rooted<Applications> = serde_json::from_str(&format!(r#"{{"applications":{json}}}"#)).unwrap();
        assert_eq!(read.instance, nobody);
    }

    #[test]
    fn metadata_without_entries_is_javas_empty_map() {
        let json = serde_json::to_string(&Instance::unsaid(0)).unwrap();
        assert!(json.contains(r#""metadata":{"@class":"java.util.Collections$EmptyMap"}"#), "{json}");
    }
}
