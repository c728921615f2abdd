//! What is registered and what not.

use crate::lab::{Kind, Lab};
use crate::words::{PRODUCT, SERVED, masked, product, product_with};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::Answer;

pub(crate) async fn check_17_what_is_missing_is_named(kind: Kind) {
    let lab = Lab::new(kind).await;
    let refusals = [
        (json!({"hostName": null}), "Missing hostname"),
        (json!({"ipAddr": null}), "Missing ip address"),
        (json!({"dataCenterInfo": null}), "Missing dataCenterInfo"),
        (json!({"app": "other"}), "Mismatched appName, expecting PRODUCT but was OTHER"),
        (json!({"instanceId": null, "hostName": null}), "Missing instanceId"),
    ];
    for (without, words) in refusals {
        let answer = lab.post("/apps/product", product_with(without.clone())).await;
        assert_eq!((answer.status, answer.text()), (400, words), "for {without}");
    }
    lab.register(product_with(json!({"instanceId": null}))).await;
    assert_eq!(lab.instance("/apps/PRODUCT/h1").await.get("instanceId"), None);
}

pub(crate) async fn check_18_only_what_cannot_be_read_is_refused(kind: Kind) {
    let lab = Lab::new(kind).await;
    for body in ["{bad", "", r#"{"foo":{}}"#] {
        assert_eq!(lab.post("/apps/product", body).await.status, 400, "for {body:?}");
    }
    let request = lab.request(Method::POST, "/apps/product").header("content-type", "text/plain");
    assert_eq!(Answer::to(request.body(product().to_string())).await.status, 415);

    let mut loose = product_with(json!({
        "nobodyKnows": 1, "port": {"$": "7001", "@enabled": true}, "countryId": 1,
        "lastDirtyTimestamp": 1_700_000_000_000_i64, "leaseInfo": {"renewalIntervalInSecs": 5, "durationInSecs": 5, "x": 1},
    }));
    for name in ["asgName", "actionType", "homePageUrl", "appGroupName"] {
        loose["instance"][name] = Value::Null;
    }
    lab.register(loose).await;
    assert_eq!(masked(lab.get(PRODUCT).await.text()), format!(r#"{{"instance":{SERVED}}}"#));
}

pub(crate) async fn check_19_springs_form_and_xml_are_taken_and_served_in_the_same_shape(kind: Kind) {
    let lab = Lab::new(kind).await;
    let mut spring = product_with(json!({
        "overriddenStatus": "UNKNOWN", "sid": "na", "countryId": 1, "isCoordinatingDiscoveryServer": false,
        "lastUpdatedTimestamp": 1_795_418_447_441_i64, "lastDirtyTimestamp": 1_700_000_000_000_i64,
        "leaseInfo": {
            "renewalIntervalInSecs": 5, "durationInSecs": 5, "registrationTimestamp": 0, "lastRenewalTimestamp": 0,
            "evictionTimestamp": 0, "serviceUpTimestamp": 0,
        },
    }));
    for name in ["appGroupName", "secureHealthCheckUrl", "actionType", "asgName"] {
        spring["instance"][name] = Value::Null;
    }
    lab.register(spring).await;
    assert_eq!(masked(lab.get(PRODUCT).await.text()), format!(r#"{{"instance":{SERVED}}}"#));

    let xml = r#"<instance><instanceId>x1</instanceId><hostName>h2</hostName><app>PRODUCT</app><ipAddr>10.0.0.2</ipAddr>
        <status>up</status><port enabled="true">7002</port><securePort enabled="false">443</securePort>
        <dataCenterInfo class="com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo"><name>MyOwn</name></dataCenterInfo>
        <metadata><a__b>c &amp; d</a__b></metadata><vipAddress>product</vipAddress></instance>"#;
    let request = lab.request(Method::POST, "/apps/PRODUCT").header("content-type", "application/xml");
    assert_eq!(Answer::to(request.body(xml)).await.status, 204);
    let served = lab.instance("/apps/PRODUCT/x1").await;
    assert_eq!(served["metadata"], json!({"a_b": "c & d"}));
    assert_eq!((&served["status"], &served["port"]["$"]), (&json!("UP"), &json!(7002)));
}
