//! What the health of every service looks at.

use crate::actuator::metrics::{Meter, Metric, Statistic};
use crate::actuator::{Health, Indicator, Status};
use crate::database::Database;
use crate::database::letters::summary::{Summary, summary};
use crate::discovery::eureka::{Eureka, Presence};
use crate::discovery::wire::Status as Remote;
use crate::messaging::Binder;
use anyhow::anyhow;
use async_trait::async_trait;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// `binders`: one child for the binder in use, named after it.
#[derive(Clone)]
pub struct Binders(pub Arc<dyn Binder>);

impl std::fmt::Debug for Binders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Binders").field(&self.0.name()).finish()
    }
}

#[async_trait]
impl Indicator for Binders {
    async fn check(&self) -> anyhow::Result<Health> {
        Ok(Health::composite([(self.0.name(), broker(&*self.0).await)]))
    }
}

/// The broker behind the binder, by itself.
#[derive(Clone)]
pub struct Broker(pub Arc<dyn Binder>);

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Broker").field(&self.0.name()).finish()
    }
}

#[async_trait]
impl Indicator for Broker {
    async fn check(&self) -> anyhow::Result<Health> {
        Ok(broker(&*self.0).await)
    }
}

async fn broker(binder: &dyn Binder) -> Health {
    let health = binder.health().await;
    let status = Health::from(if health.up { Status::Up } else { Status::Down });
    health.details.into_iter().fold(status, |health, (name, value)| health.with(name, value))
}

/// `db`: whether the database answers.
#[derive(Debug, Clone)]
pub struct Db(pub Database);

#[async_trait]
impl Indicator for Db {
    async fn check(&self) -> anyhow::Result<Health> {
        // The driver's errors tell their causes themselves; with its sources each would be there twice.
        self.0.ping().await.map_err(|error| anyhow!("{error}"))?;
        Ok(Health::up().with("database", self.0.product()).with("validationQuery", "isValid()"))
    }
}

/// How long the dead letters may take to be counted.
const COUNTING: Duration = Duration::from_secs(2);

/// `deadLetters`: how many events were given up, as health and as metrics. That harms nobody else: health is never DOWN
/// for them.
#[derive(Debug, Clone)]
pub struct DeadLetters(pub Database);

#[async_trait]
impl Indicator for DeadLetters {
    async fn check(&self) -> anyhow::Result<Health> {
        let counted = tokio::time::timeout(COUNTING, summary(&self.0)).await;
        let Ok(counted) = counted else {
            return Ok(Health::unknown().with("error", format!("they are not counted within {COUNTING:?}")));
        };
        Ok(match counted {
            Ok(Summary { open, failed, parked, invalid, foreign, parked_keys, oldest_age_seconds, .. }) => Health::up()
                .with("open", open)
                .with("failed", failed)
                .with("parked", parked)
                .with("invalid", invalid)
                .with("foreign", foreign)
                .with("parkedKeys", parked_keys)
                .with("oldestAgeSeconds", oldest_age_seconds),
            Err(error) => Health::unknown().with("error", error.to_string()),
        })
    }
}

#[async_trait]
impl Meter for DeadLetters {
    async fn metrics(&self) -> Vec<Metric> {
        let Ok(summary) = summary(&self.0).await else { return Vec::new() };
        let gauge = |name, description, unit, tag, value: i64| Metric {
            name,
            description,
            unit,
            tag,
            statistic: Statistic::Value,
            value: value as f64,
        };
        let open = |kind, count| gauge(OPEN, "Events that were given up", None, Some(("kind", kind)), count);
        vec![
            open("failed", summary.failed),
            open("parked", summary.parked),
            open("invalid", summary.invalid),
            open("foreign", summary.foreign),
            gauge("dead.letters.parked.keys", "Keys whose events wait", None, None, summary.parked_keys),
            gauge(
                "dead.letters.oldest.age",
                "The age of the oldest dead letter",
                Some("seconds"),
                None,
                summary.oldest_age_seconds,
            ),
        ]
    }
}

const OPEN: &str = "dead.letters.open";

/// `discoveryComposite`: what the registry lists, and how it says that this instance is. As in Spring, a registry that
/// is away is told in words and harms nobody.
#[derive(Debug, Clone)]
pub struct Discovery {
    eureka: Eureka,
    name: String,
    instance: String,
    renewal: Duration,
}

impl Discovery {
    /// The registry as the instance of this presence sees it.
    pub fn new(eureka: &Eureka, presence: &Presence) -> Self {
        let Presence { name, id, renewal, .. } = presence.clone();
        Self { eureka: eureka.clone(), name, instance: id, renewal }
    }
}

#[async_trait]
impl Indicator for Discovery {
    async fn check(&self) -> anyhow::Result<Health> {
        let seen = self.eureka.seen();
        let services: Vec<_> = seen.applications.keys().map(|app| app.to_lowercase()).collect();
        let remote = match self.eureka.status(&self.name, &self.instance) {
            Some(Remote::Up) => Status::Up,
            Some(Remote::Down) => Status::Down,
            Some(Remote::OutOfService) => Status::OutOfService,
            Some(Remote::Starting | Remote::Unknown) | None => Status::Unknown,
        };
        let (client, eureka) = match seen.since {
            None => (
                Health::unknown().described("Discovery Client not initialized"),
                Health::up().described("Eureka discovery client has not yet successfully connected to a Eureka server"),
            ),
            Some(since) if since > 2 * seen.refresh => (
                Health::up().with("services", services),
                Health::up()
                    .described("Eureka discovery client is reporting failures to connect to a Eureka server")
                    .with("renewalPeriod", self.renewal.as_secs())
                    .with("failCount", since.as_secs() / seen.refresh.as_secs().max(1)),
            ),
            Some(_) => (
                Health::up().with("services", services),
                Health::from(remote).described("Remote status from Eureka server"),
            ),
        };
        let applications = seen.applications.into_iter().map(|(app, count)| (app, Value::from(count)));
        let eureka = eureka.with("applications", Value::Object(applications.collect()));
        Ok(Health::composite([("discoveryClient", client), ("eureka", eureka)]))
    }
}
