//! The product service as others meet it: events in, HTTP out, a database of its own.

// Outside the test functions too, a test that cannot go on ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod events;
mod fuzz;
mod health;
mod letters;
mod postgres;
mod reads;

use shared::api::Product;
use testkit::{Running, Sandbox};

async fn start(sandbox: &Sandbox) -> Running {
    sandbox.start(product_service::service).await
}

fn product(product_id: i32, name: &str) -> Product {
    Product { product_id, name: Some(name.to_owned()), weight: 3, service_address: None }
}

/// The answer that shows [`product`].
fn shown(product_id: i32, name: &str, service: &Running) -> String {
    let address = &service.address;
    format!(r#"{{"productId":{product_id},"name":"{name}","weight":3,"serviceAddress":"{address}"}}"#)
}
