//! What the health of every service looks at.

use crate::actuator::{Health, Indicator, Status};
use crate::database::Database;
use crate::messaging::Binder;
use anyhow::anyhow;
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
