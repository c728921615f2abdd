//! What is read.

use crate::lab::{Kind, Lab};
use crate::words::{EMPTY, PRODUCT, SERVED, masked, product, product_with};
use flate2::read::GzDecoder;
use reqwest::Method;
use serde_json::json;
use std::io::Read;
use testkit::Answer;

pub(crate) async fn check_01_an_empty_registry_is_empty_to_the_letter(kind: Kind) {
    let lab = Lab::new(kind).await;
    for path in ["/apps", "/apps/", "/v2/apps", "/v2/apps/"] {
        let answer = lab.get(path).await;
        assert_eq!((answer.status, answer.text()), (200, EMPTY), "at {path}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
}

pub(crate) async fn check_02_xml_is_for_who_does_not_ask_for_json(kind: Kind) {
    let lab = Lab::new(kind).await;
    let empty =
        "<applications>\n  <versions__delta>1</versions__delta>\n  <apps__hashcode></apps__hashcode>\n</applications>";
    for accept in ["*/*", "application/xml", "text/html,application/xml;q=0.9,*/*;q=0.8"] {
        let answer = lab.get_as("/apps", accept).await;
        assert_eq!((answer.status, answer.text()), (200, empty), "to {accept}");
        assert_eq!(answer.header("content-type"), Some("application/xml"));
    }
    let bare = lab.get_bare("/apps").await.to_lowercase();
    assert!(bare.starts_with("http/1.1 200") && bare.contains("content-type: application/xml"), "{bare}");
    assert!(bare.contains(empty), "{bare}");
    let spring = lab.get_as("/apps", "application/json, application/*+json").await;
    assert_eq!(spring.text(), EMPTY);
}

pub(crate) async fn check_03_registering_answers_204_and_serves_the_exact_shape(kind: Kind) {
    let lab = Lab::new(kind).await;
    lab.register(product()).await;
    let served = lab.get("/apps").await;
    let expected = format!(
        r#"{{"applications":{{"versions__delta":"1","apps__hashcode":"UP_1_","application":[{}]}}}}"#,
        application()
    );
    assert_eq!(masked(served.text()), expected);
}

pub(crate) async fn check_04_gzip_changes_nothing_but_the_encoding(kind: Kind) {
    let lab = Lab::new(kind).await;
    lab.register(product()).await;
    for (path, accept) in
        [("/apps", "application/json"), ("/apps", "application/xml"), ("/apps/delta", "application/json")]
    {
        let plain = lab.get_as(path, accept).await;
        let request = lab.request(Method::GET, path).header("accept", accept);
        let packed = Answer::to(request.header("accept-encoding", "gzip, x-gzip, deflate")).await;
        assert_eq!(packed.header("content-encoding"), Some("gzip"), "at {path}");
        assert_eq!(packed.header("content-type"), plain.header("content-type"));
        let mut unpacked = String::new();
        GzDecoder::new(&*packed.body).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, plain.text());
    }
}

pub(crate) async fn check_05_an_instance_is_found_by_application_and_alone(kind: Kind) {
    let lab = Lab::new(kind).await;
    lab.register(product()).await;
    let instance = format!(r#"{{"instance":{SERVED}}}"#);
    for path in [PRODUCT, "/apps/product/h1:product:7001", "/instances/h1:product:7001"] {
        assert_eq!(masked(lab.get(path).await.text()), instance, "at {path}");
    }
    let application = format!(r#"{{"application":{}}}"#, application());
    assert_eq!(masked(lab.get("/apps/product").await.text()), application);
}

pub(crate) async fn check_06_what_is_unknown_is_404_without_a_body_and_no_vip_is_none(kind: Kind) {
    let lab = Lab::new(kind).await;
    lab.register(product()).await;
    for path in ["/apps/NOPE", "/apps/NOPE/x", "/apps/PRODUCT/x", "/instances/x"] {
        let answer = lab.get(path).await;
        assert_eq!((answer.status, answer.text()), (404, ""), "at {path}");
    }
    let none = r#"{"applications":{"versions__delta":"-1","apps__hashcode":"","application":[]}}"#;
    for path in ["/vips/nope", "/vips/PRODUCT", "/svips/nope"] {
        assert_eq!(lab.get(path).await.text(), none, "at {path}");
    }
    let one = format!(
        r#"{{"applications":{{"versions__delta":"-1","apps__hashcode":"UP_1_","application":[{}]}}}}"#,
        application()
    );
    for path in ["/vips/product", "/svips/product"] {
        assert_eq!(masked(lab.get(path).await.text()), one, "at {path}");
    }
}

pub(crate) async fn check_25_the_compact_form_has_twelve_fields(kind: Kind) {
    let lab = Lab::new(kind).await;
    lab.register(product_with(json!({"homePageUrl": "http://h1/"}))).await;
    let request = lab.request(Method::GET, "/apps").header("accept", "application/json");
    let compact = Answer::to(request.header("x-eureka-accept", "compact")).await.json();
    let instance = compact["applications"]["application"][0]["instance"][0].as_object().unwrap();
    let fields = [
        "instanceId",
        "app",
        "ipAddr",
        "vipAddress",
        "secureVipAddress",
        "dataCenterInfo",
        "hostName",
        "status",
        "lastUpdatedTimestamp",
        "actionType",
        "port",
        "securePort",
    ];
    let mut unexpected = instance.keys().filter(|name| !fields.contains(&name.as_str()));
    assert_eq!((instance.len(), unexpected.next()), (fields.len(), None));
    assert!(instance["lastUpdatedTimestamp"].is_number(), "{compact}");
}

fn application() -> String {
    format!(r#"{{"name":"PRODUCT","instance":[{SERVED}]}}"#)
}
