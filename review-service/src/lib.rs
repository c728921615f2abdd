//! The review service: owns the reviews, learns of them from events, answers who asks for those of a
//! product.

mod events;
mod reviews;
mod routes;

pub use reviews::Reviews;

use shared::actuator::Info;
use shared::api::REVIEWS;
use shared::service::platform::Platform;
use shared::service::{Service, ServiceAddress};

/// The port of a service that runs alone.
pub const PORT: u16 = 7003;

/// Wires the service.
pub async fn service(platform: Platform, address: ServiceAddress) -> anyhow::Result<Service> {
    let info = Info { artifact: "review-service", name: "review", version: env!("CARGO_PKG_VERSION") };
    let database = platform.database(info.name, &sqlx::migrate!()).await?;
    let reviews = Reviews::new(database.clone(), address);
    Ok(Service::new(info, &platform, routes::routes(reviews.clone())).on_events(&platform, REVIEWS, &database, reviews))
}
