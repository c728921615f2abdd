//! A registry that Eureka's clients can use unchanged, and registries as peers.
//!
//! - [`settings`]: how it behaves
//! - [`registry`]: the lease table: pure, every time is handed in
//! - [`directory`]: the table as it runs, with a clock and peers
//! - [`routes`]: what is asked of it
//! - [`bodies`], [`compact`], [`xml`]: what it answers
//! - [`replication`]: the other registries
//! - [`keeper`], [`snapshot`]: what it does by itself
//! - [`dashboard`]: how people see it

pub mod bodies;
pub mod compact;
pub mod dashboard;
pub mod directory;
pub mod keeper;
pub mod registry;
pub mod replication;
pub mod routes;
pub mod settings;
pub mod snapshot;
pub mod xml;

use anyhow::Context;
use directory::Directory;
use replication::{sender, sync};
use settings::Settings;
use shared::actuator::Info;
use shared::service::Service;
use shared::service::config::Limits;
use std::sync::Arc;
use tracing::info;

/// The port of the registry.
pub const PORT: u16 = 8761;

/// Wires the registry.
pub fn service(settings: Settings, limits: &Limits) -> anyhow::Result<Service> {
    let info = Info { artifact: "eureka-server", name: "eureka-server", version: env!("CARGO_PKG_VERSION") };
    let directory = Arc::new(Directory::new(settings));
    if let Some(file) = &directory.settings.snapshot {
        let count = snapshot::read(&directory, file).context("SNAPSHOT_FILE cannot be used")?;
        info!(count, file = %file.display(), "took over what the snapshot tells of");
    }
    // Without peers that could tell more, and with nobody to wait for, the first reader is answered.
    if !directory.peers.any() && (directory.settings.wait_when_empty.is_zero() || !directory.table().is_empty()) {
        directory.open();
    }
    let client = sender::client()?;
    let mut service = Service::plain(info, limits, routes::routes(Arc::clone(&directory)));
    for peer in directory.peers.iter().map(Arc::clone) {
        let (directory, client) = (Arc::clone(&directory), client.clone());
        service = service.part(|stop| async move {
            sender::send(directory, peer, client, stop.clone()).await;
            stop.cancelled().await;
            Ok(())
        });
    }
    let kept = Arc::clone(&directory);
    let service = service.part(|stop| async move {
        keeper::keep(kept, stop).await;
        Ok(())
    });
    Ok(service.part(|stop| async move {
        if !directory.is_open() {
            sync::sync(&directory, &client, &stop).await;
        }
        stop.cancelled().await;
        Ok(())
    }))
}
