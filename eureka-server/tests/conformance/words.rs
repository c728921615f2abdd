//! Instances to register, and answers without what no test can know.

use serde_json::{Value, json};

/// Where [`product`] is served.
pub(crate) const PRODUCT: &str = "/apps/PRODUCT/h1:product:7001";
/// An empty registry.
pub(crate) const EMPTY: &str = r#"{"applications":{"versions__delta":"1","apps__hashcode":"","application":[]}}"#;
/// [`product`] as a registry serves it, [`masked`].
pub(crate) const SERVED: &str = concat!(
    r#"{"instanceId":"h1:product:7001","hostName":"h1","app":"PRODUCT","ipAddr":"10.0.0.1","status":"UP","#,
    r#""overriddenStatus":"UNKNOWN","port":{"$":7001,"@enabled":"true"},"securePort":{"$":443,"@enabled":"false"},"#,
    r#""countryId":1,"dataCenterInfo":{"@class":"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo","#,
    r#""name":"MyOwn"},"leaseInfo":{"renewalIntervalInSecs":5,"durationInSecs":5,"registrationTimestamp":NOW,"#,
    r#""lastRenewalTimestamp":NOW,"evictionTimestamp":0,"serviceUpTimestamp":NOW},"#,
    r#""metadata":{"management.port":"7001"},"vipAddress":"product","secureVipAddress":"product","#,
    r#""isCoordinatingDiscoveryServer":"false","lastUpdatedTimestamp":"NOW","lastDirtyTimestamp":"1700000000000","#,
    r#""actionType":"ADDED"}"#,
);

/// An instance as a client registers it.
pub(crate) fn product() -> Value {
    product_with(json!({}))
}

/// The instance with other values; null takes a field away.
#[allow(clippy::needless_pass_by_value)]
pub(crate) fn product_with(other: Value) -> Value {
    let mut product = json!({
        "instanceId": "h1:product:7001", "hostName": "h1", "app": "product", "ipAddr": "10.0.0.1", "status": "UP",
        "port": {"$": 7001, "@enabled": "true"}, "securePort": {"$": 443, "@enabled": "false"},
        "dataCenterInfo": {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"},
        "leaseInfo": {"renewalIntervalInSecs": 5, "durationInSecs": 5},
        "metadata": {"management.port": "7001"}, "vipAddress": "product", "secureVipAddress": "product",
        "lastDirtyTimestamp": "1700000000000",
    });
    let fields = product.as_object_mut().unwrap();
    for (name, value) in other.as_object().unwrap() {
        if value.is_null() {
            fields.remove(name);
        } else {
            fields.insert(name.clone(), value.clone());
        }
    }
    json!({"instance": product})
}

/// The text with `NOW` for each time of this year; times that the test gave are of others.
pub(crate) fn masked(text: &str) -> String {
    let (mut masked, mut rest) = (String::new(), text);
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, digits) = rest.split_at(start);
        let (number, after) = digits.split_at(digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len()));
        let given = number.starts_with("1600000") || number.starts_with("1700000");
        masked.extend([before, if number.len() == 13 && !given { "NOW" } else { number }]);
        rest = after;
    }
    masked + rest
}
