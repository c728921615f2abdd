//! The short form of JSON: what is needed to call an instance, in the order of the original.

use serde::ser::{Serialize, SerializeMap, Serializer};
use shared::discovery::wire::{self, Action};

/// [`wire::Applications`] in their short form.
#[derive(Debug)]
pub struct Applications<'a>(pub &'a wire::Applications);

/// [`wire::Application`] in its short form.
#[derive(Debug)]
pub struct Application<'a>(pub &'a wire::Application);

struct Instance<'a>(&'a wire::Instance);

impl Serialize for Applications<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let applications: Vec<_> = self.0.applications.iter().map(Application).collect();
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("application", &applications)?;
        map.serialize_entry("versions__delta", &self.0.version.to_string())?;
        map.serialize_entry("apps__hashcode", &self.0.hash)?;
        map.end()
    }
}

impl Serialize for Application<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let instances: Vec<_> = self.0.instances.iter().map(Instance).collect();
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("name", &self.0.name)?;
        map.serialize_entry("instance", &instances)?;
        map.end()
    }
}

impl Serialize for Instance<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let instance = self.0;
        let mut map = serializer.serialize_map(None)?;
        if !instance.instance_id.is_empty() {
            map.serialize_entry("instanceId", &instance.instance_id)?;
        }
        map.serialize_entry("app", &instance.app)?;
        map.serialize_entry("ipAddr", &instance.ip_addr)?;
        for (name, vip) in [("vipAddress", &instance.vip_address), ("secureVipAddress", &instance.secure_vip_address)] {
            if let Some(vip) = vip {
                map.serialize_entry(name, vip)?;
            }
        }
        if let Some(data_center) = &instance.data_center {
            map.serialize_entry("dataCenterInfo", data_center)?;
        }
        map.serialize_entry("hostName", &instance.host_name)?;
        map.serialize_entry("status", instance.status.name())?;
        map.serialize_entry("lastUpdatedTimestamp", &instance.last_updated)?;
        if let Some(action) = instance.action.map(Action::name) {
            map.serialize_entry("actionType", action)?;
        }
        map.serialize_entry("port", &instance.port)?;
        map.serialize_entry("securePort", &instance.secure_port)?;
        map.end()
    }
}
