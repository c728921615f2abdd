//! The recommendation service: owns the recommendations, learns of them from events, answers who asks for those of a
//! product.

mod events;
mod recommendations;
mod routes;

pub use recommendations::Recommendations;

use shared::actuator::Info;
use shared::api::RECOMMENDATIONS;
use shared::service::platform::Platform;
use shared::service::{Service, ServiceAddress};

/// The port of a service that runs alone.
pub const PORT: u16 = 7002;

/// Wires the service.
pub async fn service(platform: Platform, address: ServiceAddress) -> anyhow::Result<Service> {
    let info = Info { artifact: "recommendation-service", name: "recommendation", version: env!("CARGO_PKG_VERSION") };
    let database = platform.database(info.name, &sqlx::migrate!()).await?;
    let recommendations = Recommendations::new(database.clone(), address);
    Ok(Service::new(info, &platform, routes::routes(recommendations.clone())).on_events(
        &platform,
        RECOMMENDATIONS,
        &database,
        recommendations,
    ))
}
