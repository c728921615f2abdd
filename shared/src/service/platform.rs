//! What the surroundings give to every service of a process.

use super::config::{BinderKind, Config, DatabaseUrl};
use crate::database::Database;
use crate::discovery::balancer::Options;
use crate::discovery::calls::{Calls, TimeLimits};
use crate::discovery::eureka::Eureka;
use crate::discovery::location::Location;
use crate::messaging::Binder;
use crate::messaging::embedded::EmbeddedBinder;
use crate::messaging::kafka::KafkaBinder;
use crate::messaging::rabbitmq::RabbitBinder;
use anyhow::Context;
use sqlx::migrate::Migrator;
use std::sync::Arc;

/// The configuration, the binder and the registry. A clone has the same ones.
#[derive(Clone)]
pub struct Platform {
    /// What the environment says.
    pub config: Arc<Config>,
    /// Where events travel.
    pub binder: Arc<dyn Binder>,
    /// Where services find each other, if there is a registry.
    pub eureka: Option<Eureka>,
}

impl std::fmt::Debug for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Platform").field("binder", &self.binder.name()).finish_non_exhaustive()
    }
}

impl Platform {
    /// Opens what `config` names, for the program `name`.
    pub async fn open(config: Config, name: &str) -> anyhow::Result<Self> {
        let binder: Arc<dyn Binder> = match &config.events.binder {
            BinderKind::Embedded => {
                let folder = &config.data_dir;
                let opened = EmbeddedBinder::open(folder, config.events.retention).await;
                Arc::new(opened.with_context(|| format!("DATA_DIR {} cannot be used", folder.display()))?)
            }
            BinderKind::RabbitMq(url, management) => {
                Arc::new(RabbitBinder::open(url.clone(), management.as_deref(), name)?)
            }
            BinderKind::Kafka(brokers) => Arc::new(KafkaBinder::open(brokers.clone(), name)?),
        };
        let discovery = &config.discovery;
        let eureka = discovery.registries.as_ref().map(|urls| Eureka::open(urls, discovery.refresh)).transpose()?;
        Ok(Self { config: Arc::new(config), binder, eureka })
    }

    /// Requests to the service at `location`, balanced over its instances, those of this process' zone first.
    pub fn calls(&self, location: &Location) -> Calls {
        let options = Options { zone: self.config.discovery.zone.clone(), ..Options::default() };
        let limits = TimeLimits { whole: self.config.limits.read, each_try: self.config.limits.read_try };
        Calls::over(location.discover(self.eureka.as_ref()), &location.url(), options, limits)
    }

    /// Opens the database of the service `name`: the one that the environment names, or its file under `DATA_DIR`.
    pub async fn database(&self, name: &str, tables: &Migrator) -> anyhow::Result<Database> {
        let pool = &self.config.pool;
        match self.config.databases.of(name) {
            Some(DatabaseUrl { variable, url }) => {
                Database::open(url, pool, tables).await.with_context(|| format!("{variable} cannot be used"))
            }
            None => {
                let file = self.config.data_dir.join(format!("{name}.db"));
                Database::open(&format!("sqlite:{}", file.display()), pool, tables).await
            }
        }
    }
}
