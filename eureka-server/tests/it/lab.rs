//! A registry for one test.

use eureka_server::settings::Settings;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use shared::service::config::{Limits, Variables};
use testkit::{Answer, Running};
use tokio::net::TcpListener;

/// Where a registry will be, before it is.
pub(crate) async fn place() -> (TcpListener, String) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/eureka/", listener.local_addr().unwrap());
    (listener, url)
}

/// A registry at `listener`.
pub(crate) async fn registry_at(listener: TcpListener, settings: Settings) -> Running {
    let limits = Limits::read(&Variables::default()).unwrap();
    let service = eureka_server::service(settings, &limits).unwrap();
    Running::wired(service, listener, limits.grace).await
}

/// A registry on a port of its own.
pub(crate) async fn registry(settings: Settings) -> Running {
    registry_at(place().await.0, settings).await
}

/// What an instance of `app` registers.
pub(crate) fn instance(app: &str, id: &str) -> Value {
    json!({"instance": {
        "instanceId": id, "hostName": "h1", "app": app, "ipAddr": "192.0.2.1", "status": "UP",
        "port": {"$": 7001, "@enabled": "true"}, "vipAddress": app, "lastDirtyTimestamp": "1700000000000",
        "dataCenterInfo": {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"},
        "leaseInfo": {"renewalIntervalInSecs": 30, "durationInSecs": 90},
    }})
}

/// Registers it.
pub(crate) async fn register(registry: &Running, app: &str, id: &str) {
    let answer = registry.post(&format!("/eureka/apps/{app}"), instance(app, id).to_string()).await;
    assert_eq!((answer.status, answer.text()), (204, ""));
}

/// What `method path` answers, asked for as JSON.
pub(crate) async fn ask(registry: &Running, method: Method, path: &str) -> Answer {
    Answer::to(registry.request(method, path).header("accept", "application/json")).await
}

/// The hash of the whole registry.
pub(crate) async fn hash(registry: &Running) -> String {
    let answer = ask(registry, Method::GET, "/eureka/apps").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["applications"]["apps__hashcode"].as_str().unwrap().to_owned()
}

/// A client that does not follow what it is told to.
pub(crate) fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}
