//! A virtual host as an administrator sees it.

use crate::lab::World;
use lapin::message::Delivery;
use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use reqwest::{Client, Method, Url};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
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
    /// Where a trial has its space.
    pub(crate) fn of(world: &World) -> Self {
        world.address().parse().unwrap()
    }

    pub(crate) fn vhost(&self) -> &str {
        self.url.path().trim_start_matches('/')
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn admin(&self) -> &str {
        self.url.username()
    }

    pub(crate) fn management(&self) -> &str {
        self.management.as_str()
    }

    /// Asks the management API at a path below `/api`; what it answers, if that is JSON.
    pub(crate) async fn manage(
        &self,
        method: Method,
        path: &[&str],
        body: impl Serialize,
    ) -> Result<Value, reqwest::Error> {
        self.ask(method, path, "", body).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &[&str],
        query: &str,
        body: impl Serialize,
    ) -> Result<Value, reqwest::Error> {
        let mut url = self.management.clone();
        url.path_segments_mut().unwrap().pop_if_empty().push("api").extend(path);
        url.set_query(Some(query));
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(20)).build()?;
        let request = client.request(method, url).basic_auth(self.url.username(), self.url.password());
        let answer = request.json(&body).send().await?.error_for_status()?;
        Ok(answer.json().await.unwrap_or_default())
    }

    /// What the management API lists, such as the `queues` of this virtual host.
    pub(crate) async fn list(&self, what: &str) -> Vec<Value> {
        let listed = self.manage(Method::GET, &[what, self.vhost()], Value::Null).await.unwrap();
        serde_json::from_value(listed).unwrap()
    }

    /// What is known of one queue, now.
    pub(crate) async fn queue(&self, name: &str) -> Value {
        let query = "disable_stats=true&enable_queue_totals=true";
        let queues = self.ask(Method::GET, &["queues", self.vhost()], query, Value::Null).await.unwrap();
        let queue = queues.as_array().unwrap().iter().find(|queue| queue["name"] == name);
        queue.cloned().unwrap_or_default()
    }

    /// How many messages a queue holds, those in somebody's hands included.
    pub(crate) async fn count(&self, queue: &str) -> u64 {
        self.queue(queue).await["messages"].as_u64().unwrap_or(0)
    }

    /// A look at the first messages of a queue, which stay there, as the captures have them.
    pub(crate) async fn look(&self, queue: &str) -> Vec<Value> {
        let get = json!({"count": 1000, "ackmode": "ack_requeue_true", "encoding": "auto"});
        let got = self.manage(Method::POST, &["queues", self.vhost(), queue, "get"], get).await.unwrap();
        serde_json::from_value(got).unwrap()
    }

    /// A connection without our binder.
    pub(crate) async fn raw(&self) -> Raw {
        let connection = Connection::connect(self.url.as_str(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Raw { channel, connection }
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

    /// Waits until somebody consumes, and returns the users who do.
    pub(crate) async fn until_consumed(&self) -> BTreeSet<String> {
        eventually(SOON, "a consumer", async || {
            let consumers = self.list("consumers").await;
            // A new one is listed before it is known on which channel it is.
            let users = consumers.iter().map(|at| at["channel_details"]["user"].as_str().map(str::to_owned));
            users.collect::<Option<BTreeSet<_>>>().filter(|users| !users.is_empty()).ok_or(format!("{consumers:?}"))
        })
        .await
    }

    /// Closes all connections of our binders.
    pub(crate) async fn cut(&self) {
        for user in self.users().await {
            self.manage(Method::DELETE, &["connections", "username", &user], Value::Null).await.unwrap();
        }
    }

    /// The users of our binders.
    async fn users(&self) -> Vec<String> {
        let path = ["vhosts", self.vhost(), "permissions"];
        let permissions = self.manage(Method::GET, &path, Value::Null).await.unwrap();
        let users = permissions.as_array().unwrap().iter().filter_map(|permission| permission["user"].as_str());
        users.filter(|user| user.starts_with("user-")).map(str::to_owned).collect()
    }

    /// Removes the virtual host with all that is in it, and its users.
    pub(crate) async fn remove(&self) {
        let users = self.users().await;
        self.manage(Method::DELETE, &["vhosts", self.vhost()], Value::Null).await.unwrap();
        for user in users {
            self.manage(Method::DELETE, &["users", &user], Value::Null).await.unwrap();
        }
    }
}

/// A connection without our binder, with a channel that confirms.
pub(crate) struct Raw {
    pub(crate) channel: Channel,
    pub(crate) connection: Connection,
}

impl Raw {
    /// Publishes; some queue has taken it when this returns.
    pub(crate) async fn publish(&self, exchange: &str, key: &str, properties: BasicProperties, body: &[u8]) {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let sent = self.channel.basic_publish(exchange.into(), key.into(), options, body, properties);
        let confirmed = sent.await.unwrap().await.unwrap();
        assert!(matches!(confirmed, Confirmation::Ack(None)), "{confirmed:?}");
    }

    /// Publishes a captured message as it was.
    pub(crate) async fn publish_capture(&self, capture: &Value) {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut headers = FieldTable::default();
        for (name, value) in capture["properties"]["headers"].as_object().unwrap() {
            let number = value.as_i64().map(|number| AMQPValue::LongInt(number.try_into().unwrap()));
            let value = number.unwrap_or_else(|| AMQPValue::LongString(text(value).into()));
            headers.insert(name.as_str().into(), value);
        }
        let properties = BasicProperties::default()
            .with_headers(headers)
            .with_content_type(text(&capture["properties"]["content_type"]).into())
            .with_message_id(text(&capture["properties"]["message_id"]).into())
            .with_timestamp(capture["properties"]["timestamp"].as_u64().unwrap())
            .with_delivery_mode(2)
            .with_priority(0);
        let (exchange, key) = (text(&capture["exchange"]), text(&capture["routing_key"]));
        self.publish(&exchange, &key, properties, text(&capture["payload"]).as_bytes()).await;
    }

    /// Takes the first message of a queue.
    pub(crate) async fn take(&self, queue: &str) -> Option<Delivery> {
        let options = BasicGetOptions { no_ack: true };
        let got = self.channel.basic_get(queue.into(), options).await.unwrap();
        got.map(|message| message.delivery)
    }
}
