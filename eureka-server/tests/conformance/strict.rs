//! What Spring's client refuses to read: a field that it does not know, and one instance that stands without an array.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Fails the test unless Spring's client reads `body`.
pub(crate) fn read(body: &str) {
    let root: Root = serde_json::from_str(body).unwrap_or_else(|error| panic!("Spring cannot read {body}: {error}"));
    drop(root);
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
enum Root {
    Applications(Applications),
    Application(Application),
    Instance(Box<Instance>),
}

/// The only one that may hold what nobody knows.
#[derive(Deserialize)]
#[allow(dead_code)]
struct Applications {
    application: Vec<Application>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Application {
    name: String,
    instance: Vec<Instance>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code)]
struct Instance {
    instance_id: Option<String>,
    app: String,
    app_group_name: Option<String>,
    ip_addr: String,
    sid: Option<String>,
    home_page_url: Option<String>,
    status_page_url: Option<String>,
    health_check_url: Option<String>,
    secure_health_check_url: Option<String>,
    vip_address: Option<String>,
    secure_vip_address: Option<String>,
    country_id: Option<i32>,
    data_center_info: DataCenter,
    host_name: String,
    status: String,
    #[serde(alias = "overriddenstatus")]
    overridden_status: Option<String>,
    lease_info: Option<Lease>,
    is_coordinating_discovery_server: Option<String>,
    last_updated_timestamp: Value,
    last_dirty_timestamp: Option<String>,
    action_type: Option<String>,
    asg_name: Option<String>,
    port: Port,
    secure_port: Port,
    metadata: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct DataCenter {
    #[serde(rename = "@class")]
    class: String,
    name: String,
    metadata: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Port {
    #[serde(rename = "$")]
    port: u16,
    #[serde(rename = "@enabled")]
    enabled: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code)]
struct Lease {
    renewal_interval_in_secs: i32,
    duration_in_secs: i32,
    registration_timestamp: i64,
    last_renewal_timestamp: i64,
    eviction_timestamp: i64,
    service_up_timestamp: i64,
}
