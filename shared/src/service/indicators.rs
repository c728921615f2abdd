//! What the health of every service looks at.

use crate::actuator::{Health, Indicator, Status};
use crate::database::Database;
use crate::messaging::Binder;
use async_trait::async_trait;
use std::sync::Arc;

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
        let health = self.0.health().await;
        let status = Health::from(if health.up { Status::Up } else { Status::Down });
        let child = health.details.into_iter().fold(status, |health, (name, value)| health.with(name, value));
        Ok(Health::composite([(self.0.name(), child)]))
    }
}

/// `db`: whether the database answers.
#[derive(Debug, Clone)]
pub struct Db(pub Database);

#[async_trait]
impl Indicator for Db {
    async fn check(&self) -> anyhow::Result<Health> {
        self.0.ping().await?;
        Ok(Health::up().with("database", self.0.product()).with("validationQuery", "isValid()"))
    }
}
