//! What only the management API tells: the version of the broker, and what stands there.

use super::url::RabbitUrl;
use crate::messaging::BinderError;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long the version may take, for health waits for it; how long it holds, and for how long nobody asks again where
/// there was none.
const VERSION: Duration = Duration::from_millis(500);
const HOLDS: Duration = Duration::from_secs(60);
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// The management API of the broker, with the user of the broker's URL.
#[derive(Debug)]
pub(super) struct Management {
    client: Client,
    url: Url,
    user: String,
    password: String,
    vhost: String,
    version: Mutex<Option<(Instant, Option<String>)>>,
}

/// An exchange as the API lists it.
#[derive(Debug, Deserialize)]
pub(super) struct Exchange {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
}

/// A queue as the API lists it; what it counts is of this moment.
#[derive(Debug, Deserialize)]
pub(super) struct Queue {
    pub(super) name: String,
    /// Those that wait and those that somebody has in hand.
    #[serde(default)]
    pub(super) messages: i64,
}

impl Management {
    /// The API at `address`, or on its usual port beside the broker.
    pub(super) fn new(broker: &RabbitUrl, address: Option<&str>) -> anyhow::Result<Self> {
        let usual = || format!("http://{}:15672", broker.host());
        let url = address.map_or_else(usual, str::to_owned).parse()?;
        // The broker stands on this network: a proxy for the way out of it does not know it.
        let client = Client::builder().no_proxy().timeout(ANSWER).build()?;
        let (user, password) = broker.user();
        Ok(Self {
            client,
            url,
            user: user.to_owned(),
            password: password.to_owned(),
            vhost: broker.vhost().to_owned(),
            version: Mutex::default(),
        })
    }

    /// The version of the broker, if the API tells it in time.
    pub(super) async fn version(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Overview {
            rabbitmq_version: String,
        }
        let mut known = self.version.lock().await;
        if let Some((at, version)) = known.as_ref() {
            let holds = if version.is_some() { HOLDS } else { ASK_AGAIN };
            if at.elapsed() < holds {
                return version.clone();
            }
        }
        let asked = tokio::time::timeout(VERSION, self.get::<Overview>(&["overview"], &[])).await;
        let version = asked.ok().and_then(Result::ok).map(|overview| overview.rabbitmq_version);
        *known = Some((Instant::now(), version.clone()));
        version
    }

    /// All exchanges of the vhost.
    pub(super) async fn exchanges(&self) -> Result<Vec<Exchange>, BinderError> {
        self.list("exchanges", &[]).await
    }

    /// All queues of the vhost.
    pub(super) async fn queues(&self) -> Result<Vec<Queue>, BinderError> {
        // Asked of the queues themselves: the statistics are some seconds old.
        self.list("queues", &[("disable_stats", "true"), ("enable_queue_totals", "true")]).await
    }

    async fn list<T: DeserializeOwned>(&self, what: &str, query: &[(&str, &str)]) -> Result<T, BinderError> {
        let listed = self.get(&[what, &self.vhost], query).await;
        let attempt =
            || format!("list the {what} at {}, the management API; RABBITMQ_MANAGEMENT_URL says where it is", self.url);
        listed.map_err(|error| BinderError::unavailable(attempt(), error))
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> anyhow::Result<T> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("api").extend(path);
        }
        url.query_pairs_mut().extend_pairs(query);
        let request = self.client.get(url).basic_auth(&self.user, Some(&self.password));
        Ok(request.send().await?.error_for_status()?.json().await?)
    }
}
