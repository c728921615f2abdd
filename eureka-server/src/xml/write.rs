//! XML as the original writes it: indented by two blanks, without a declaration.

use super::escaped_name;
use shared::discovery::wire::{Action, Application, Applications, DataCenter, Instance, Lease, Port, Status};
use std::collections::BTreeMap;
use std::fmt::Display;

/// How an instance is written.
type Written = fn(&mut Xml, &Instance);

/// The body of [`Applications`].
pub fn applications(applications: &Applications) -> String {
    many(applications, Xml::instance)
}

/// The body of [`Applications`] in the short form.
pub fn compact_applications(applications: &Applications) -> String {
    many(applications, Xml::compact_instance)
}

/// The body of an [`Application`].
pub fn application(application: &Application) -> String {
    one(application, Xml::instance)
}

/// The body of an [`Application`] in the short form.
pub fn compact_application(application: &Application) -> String {
    one(application, Xml::compact_instance)
}

fn many(applications: &Applications, instance: Written) -> String {
    let mut xml = Xml::default();
    xml.element("applications", &[], |xml| {
        xml.text("versions__delta", applications.version);
        xml.text("apps__hashcode", &applications.hash);
        for it in &applications.applications {
            xml.application(it, instance);
        }
    });
    xml.0
}

fn one(application: &Application, instance: Written) -> String {
    let mut xml = Xml::default();
    xml.application(application, instance);
    xml.0
}

/// The body of an [`Instance`].
pub fn instance(instance: &Instance) -> String {
    // As the original tells it of one alone; in a list the status stands as it is.
    let mut instance = instance.clone();
    if instance.status == Status::OutOfService {
        instance.status = Status::Down;
    }
    let mut xml = Xml::default();
    xml.instance(&instance);
    xml.0
}

/// The body of the page about the registry itself.
pub fn status(stats: &[(&str, &str)]) -> String {
    let mut xml = Xml::default();
    xml.element("com.netflix.eureka.util.StatusInfo", &[], |xml| {
        xml.element("applicationStats", &[], |xml| {
            for (name, value) in stats {
                xml.leaf(name, &[], value);
            }
        });
    });
    xml.0
}

/// The text so far, and how deep it is.
#[derive(Default)]
struct Xml(String, usize);

impl Xml {
    fn application(&mut self, application: &Application, instance: Written) {
        self.element("application", &[], |xml| {
            xml.text("name", &application.name);
            for it in &application.instances {
                instance(xml, it);
            }
        });
    }

    fn compact_instance(&mut self, instance: &Instance) {
        self.element("instance", &[], |xml| {
            xml.said("instanceId", Some(instance.instance_id.as_str()).filter(|id| !id.is_empty()));
            xml.text("app", &instance.app);
            xml.text("ipAddr", &instance.ip_addr);
            xml.said("vipAddress", instance.vip_address.as_deref());
            xml.said("secureVipAddress", instance.secure_vip_address.as_deref());
            if let Some(data_center) = &instance.data_center {
                xml.data_center(data_center);
            }
            xml.text("hostName", &instance.host_name);
            xml.text("status", instance.status.name());
            xml.text("lastUpdatedTimestamp", instance.last_updated);
            xml.said("actionType", instance.action.map(Action::name));
            xml.port("port", instance.port);
            xml.port("securePort", instance.secure_port);
        });
    }

    fn instance(&mut self, instance: &Instance) {
        self.element("instance", &[], |xml| {
            xml.said("instanceId", Some(instance.instance_id.as_str()).filter(|id| !id.is_empty()));
            xml.text("hostName", &instance.host_name);
            xml.text("app", &instance.app);
            xml.text("ipAddr", &instance.ip_addr);
            xml.said("sid", instance.sid.as_deref());
            xml.text("status", instance.status.name());
            xml.text("overriddenstatus", instance.overridden.name());
            xml.port("port", instance.port);
            xml.port("securePort", instance.secure_port);
            xml.text("countryId", instance.country_id);
            if let Some(data_center) = &instance.data_center {
                xml.data_center(data_center);
            }
            xml.lease(&instance.lease);
            xml.metadata(&instance.metadata);
            xml.said("appGroupName", instance.app_group_name.as_deref());
            xml.said("homePageUrl", instance.home_page_url.as_deref());
            xml.said("statusPageUrl", instance.status_page_url.as_deref());
            xml.said("healthCheckUrl", instance.health_check_url.as_deref());
            xml.said("secureHealthCheckUrl", instance.secure_health_check_url.as_deref());
            xml.said("vipAddress", instance.vip_address.as_deref());
            xml.said("secureVipAddress", instance.secure_vip_address.as_deref());
            xml.text("isCoordinatingDiscoveryServer", instance.coordinating);
            xml.text("lastUpdatedTimestamp", instance.last_updated);
            xml.text("lastDirtyTimestamp", instance.last_dirty);
            xml.said("actionType", instance.action.map(Action::name));
            xml.said("asgName", instance.asg_name.as_deref());
        });
    }

    fn port(&mut self, name: &str, port: Port) {
        self.leaf(name, &[("enabled", if port.enabled { "true" } else { "false" })], &port.number.to_string());
    }

    fn data_center(&mut self, data_center: &DataCenter) {
        self.element("dataCenterInfo", &[("class", &data_center.class)], |xml| {
            xml.text("name", &data_center.name);
            if let Some(metadata) = &data_center.metadata {
                xml.metadata(metadata);
            }
        });
    }

    fn lease(&mut self, lease: &Lease) {
        self.element("leaseInfo", &[], |xml| {
            xml.text("renewalIntervalInSecs", lease.renewal_interval_s);
            xml.text("durationInSecs", lease.duration_s);
            xml.text("registrationTimestamp", lease.registered);
            xml.text("lastRenewalTimestamp", lease.renewed);
            xml.text("evictionTimestamp", lease.evicted);
            xml.text("serviceUpTimestamp", lease.up_since);
        });
    }

    fn metadata(&mut self, metadata: &BTreeMap<String, String>) {
        if metadata.is_empty() {
            self.begin("metadata", &[("class", "java.util.Collections$EmptyMap")]);
            return self.0.push_str("/>");
        }
        self.element("metadata", &[], |xml| {
            for (key, value) in metadata {
                xml.leaf(&escaped_name(key), &[], value);
            }
        });
    }

    fn said(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.leaf(name, &[], text);
        }
    }

    fn text(&mut self, name: &str, text: impl Display) {
        self.leaf(name, &[], &text.to_string());
    }

    fn leaf(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) {
        self.begin(name, attributes);
        self.0.push('>');
        escape(&mut self.0, text);
        self.end(name);
    }

    fn element(&mut self, name: &str, attributes: &[(&str, &str)], inside: impl FnOnce(&mut Self)) {
        self.begin(name, attributes);
        self.0.push('>');
        self.1 += 1;
        inside(self);
        self.1 -= 1;
        self.line();
        self.end(name);
    }

    fn begin(&mut self, name: &str, attributes: &[(&str, &str)]) {
        if !self.0.is_empty() {
            self.line();
        }
        self.0.push('<');
        self.0.push_str(name);
        for (attribute, value) in attributes {
            self.0.push(' ');
            self.0.push_str(attribute);
            self.0.push_str("=\"");
            escape(&mut self.0, value);
            self.0.push('"');
        }
    }

    fn end(&mut self, name: &str) {
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
    }

    fn line(&mut self) {
        self.0.push('\n');
        self.0.extend(std::iter::repeat_n("  ", self.1));
    }
}

/// Writes `text` so that it reads as text. What XML cannot say at all, a control character, becomes a question mark.
fn escape(xml: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\'' => xml.push_str("&apos;"),
            '\r' => xml.push_str("&#xd;"),
            '\t' | '\n' => xml.push(c),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => xml.push('?'),
            c => xml.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_written_as_the_original_writes_it() {
        let mut instance = Instance { instance_id: "h:p".to_owned(), app: "P".to_owned(), ..Instance::unsaid(7) };
        instance.host_name = "a<b>&'\"\u{1}".to_owned();
        instance.data_center = Some(DataCenter::own());
        let xml = super::instance(&instance);
        let beginning =
            "<instance>\n  <instanceId>h:p</instanceId>\n  <hostName>a&lt;b&gt;&amp;&apos;&quot;?</hostName>\n";
        assert!(xml.starts_with(beginning), "{xml}");
        for line in [
            "  <port enabled=\"true\">7001</port>\n",
            "  <dataCenterInfo class=\"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo\">\n    <name>MyOwn</name>\n  </",
            "  <metadata class=\"java.util.Collections$EmptyMap\"/>\n",
            "  <overriddenstatus>UNKNOWN</overriddenstatus>\n",
        ] {
            assert!(xml.contains(line), "{xml}");
        }
        instance.metadata.insert("a_b".to_owned(), "c".to_owned());
        assert!(super::instance(&instance).contains("\n  <metadata>\n    <a__b>c</a__b>\n  </metadata>\n"));
    }
}
