//! A virtual host as an administrator sees it.

use reqwest::{Client, Method, Url};
use serde_json::{Value, json};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use testkit::servers::Vhost;
use testkit::{SOON, eventually};
use uuid::Uuid;

/// A virtual host, with all rights.
#[derive(Debug, Clone)]
pub(crate) struct Broker {
    url: Url,
    management: Url,
}

impl From<Vhost> for Broker {
    fn from(vhost: Vhost) -> Self {
        Self { url: vhost.url.parse().unwrap(), management: vhost.management.parse().unwrap() }
    }
}

/// Its address in a text, for other processes.
impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.url, self.management)
    }
}

impl FromStr for Broker {
    type Err = std::convert::Infallible;

    fn from_str(address: &str) -> Result<Self, Self::Err> {
        let (url, management) = address.split_once(' ').unwrap();
        Ok(Self { url: url.parse().unwrap(), management: management.parse().unwrap() })
    }
}

impl Broker {
    pub(crate) fn vhost(&self) -> &str {
        self.url.path().trim_start_matches('/')
    }

    pub(crate) fn management(&self) -> &str {
        self.management.as_str()
    }

    /// Asks the management API at a path below `/api`; what it answers, if that is JSON.
    pub(crate) async fn manage(&self, method: Method, path: &[&str], body: Value) -> Result<Value, reqwest::Error> {
        let mut url = self.management.clone();
        url.path_segments_mut().unwrap().pop_if_empty().push("api").extend(path);
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(20)).build()?;
        let request = client.request(method, url).basic_auth(self.url.username(), self.url.password());
        let answer = request.json(&body).send().await?.error_for_status()?;
        Ok(answer.json().await.unwrap_or_default())
    }

    /// The URL for a new user, who may do everything in this virtual host.
    pub(crate) async fn user(&self) -> String {
        let (name, password) = (format!("user-{}", Uuid::new_v4().simple()), "secret");
        let user = json!({"password": password, "tags": "management"});
        self.manage(Method::PUT, &["users", &name], user).await.unwrap();
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        self.manage(Method::PUT, &["permissions", self.vhost(), &name], all).await.unwrap();
        let mut url = self.url.clone();
        url.set_username(&name).unwrap();
        url.set_password(Some(password)).unwrap();
        url.into()
    }

    /// Waits for connections whose names end so, and returns them.
    pub(crate) async fn until_connected(&self, named: &str) -> Vec<Value> {
        eventually(SOON, &format!("connections named …{named}"), async || {
            let mut connections = self.connections().await;
            connections.retain(|connection| {
                let name = connection["client_properties"]["connection_name"].as_str();
                name.is_some_and(|name| name.ends_with(named))
            });
            if connections.is_empty() { Err("none") } else { Ok(connections) }
        })
        .await
    }

    async fn connections(&self) -> Vec<Value> {
        let path = ["vhosts", self.vhost(), "connections"];
        serde_json::from_value(self.manage(Method::GET, &path, Value::Null).await.unwrap()).unwrap()
    }

    /// Removes the virtual host with all that is in it, and its users.
    pub(crate) async fn remove(&self) {
        let permissions = self.manage(Method::GET, &["vhosts", self.vhost(), "permissions"], Value::Null).await;
        self.manage(Method::DELETE, &["vhosts", self.vhost()], Value::Null).await.unwrap();
        let permissions: Vec<Value> = serde_json::from_value(permissions.unwrap()).unwrap();
        for user in permissions.iter().filter_map(|at| at["user"].as_str()).filter(|user| user.starts_with("user-")) {
            self.manage(Method::DELETE, &["users", user], Value::Null).await.unwrap();
        }
    }
}
