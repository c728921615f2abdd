//! The composite service: turns writes into events, and aggregates reads from the three core services.

mod aggregate;
mod cores;
mod gate;
mod routes;
mod topics;

use cores::Cores;
use gate::Gate;
use routes::Composite;
use shared::actuator::Info;
use shared::service::platform::Platform;
use shared::service::{Service, ServiceAddress, until_bound};
use topics::Topics;

/// The port of a service that runs alone.
pub const PORT: u16 = 7000;

/// Wires the service.
pub async fn service(platform: Platform, address: ServiceAddress) -> anyhow::Result<Service> {
    let info =
        Info { artifact: "product-composite-service", name: "product-composite", version: env!("CARGO_PKG_VERSION") };
    let config = &platform.config;
    let cores = Cores::new(&platform);
    let topics = Topics::new(config.events.partitions, config.limits.send);
    // Bound now where the broker is there, so that the first request finds it so; else by the part below.
    let _ = tokio::time::timeout(config.limits.send, topics.bind(&*platform.binder)).await;
    let (binder, late) = (platform.binder.clone(), topics.clone());
    let gate = Gate::new(&config.limits.writes);
    let composite = Composite { cores: cores.clone(), topics, gate: gate.clone(), address };
    let service = Service::new(info, &platform, routes::routes(composite)).health("coreServices", cores).metrics(gate);
    Ok(service.part(|stop| async move {
        until_bound(&stop, "the topics", || late.bind(&*binder)).await?;
        stop.cancelled().await;
        Ok(())
    }))
}
