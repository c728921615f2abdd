//! The product service: owns the products, learns of them from events, answers who asks for one.

mod events;
mod products;
mod routes;

pub use products::Products;

use shared::actuator::Info;
use shared::api::PRODUCTS;
use shared::service::platform::Platform;
use shared::service::{Service, ServiceAddress};

/// The port of a service that runs alone.
pub const PORT: u16 = 7001;

/// Wires the service.
pub async fn service(platform: Platform, address: ServiceAddress) -> anyhow::Result<Service> {
    let info = Info { artifact: "product-service", name: "product", version: env!("CARGO_PKG_VERSION") };
    let database = platform.database(info.name, &sqlx::migrate!()).await?;
    let products = Products::new(database.clone(), address);
    Ok(Service::new(info, &platform, routes::routes(products.clone()))
        .on_events(&platform, PRODUCTS, &database, products))
}
