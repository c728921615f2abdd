//! What the surroundings give to every service of a process.

use super::config::Config;
use crate::database::Database;
use crate::messaging::Binder;
use crate::messaging::embedded::EmbeddedBinder;
use anyhow::Context;
use sqlx::migrate::Migrator;
use std::sync::Arc;

/// The configuration and the binder. A clone is the same binder.
#[derive(Clone)]
pub struct Platform {
    /// What the environment says.
    pub config: Arc<Config>,
    /// Where events travel.
    pub binder: Arc<dyn Binder>,
}

impl std::fmt::Debug for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Platform").field("binder", &self.binder.name()).finish_non_exhaustive()
    }
}

impl Platform {
    /// Opens what `config` names.
    pub async fn open(config: Config) -> anyhow::Result<Self> {
        let folder = &config.data_dir;
        let opened = EmbeddedBinder::open(folder, config.events.retention).await;
        let binder = opened.with_context(|| format!("DATA_DIR {} cannot be used", folder.display()))?;
        Ok(Self { config: Arc::new(config), binder: Arc::new(binder) })
    }

    /// Opens the database of the service `name`: `DATABASE_URL`, or its file under `DATA_DIR`.
    pub async fn database(&self, name: &str, tables: &Migrator) -> anyhow::Result<Database> {
        let file = || format!("sqlite:{}", self.config.data_dir.join(format!("{name}.db")).display());
        let url = self.config.database_url.clone().unwrap_or_else(file);
        Database::open(&url, &self.config.pool, tables).await
    }
}
