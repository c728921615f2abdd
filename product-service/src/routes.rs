//! What is asked for over HTTP; changes come as events.

use crate::products::Products;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use shared::api::Product;
use shared::error::ApiError;
use shared::service::database_error;
use shared::service::extract::ProductIdPath;

/// All routes.
pub(crate) fn routes(products: Products) -> Router {
    Router::new().route("/product/{productId}", get(get_product)).with_state(products)
}

async fn get_product(
    State(products): State<Products>,
    ProductIdPath(product_id): ProductIdPath,
) -> Result<Json<Product>, ApiError> {
    let found = products.find(product_id).await.map_err(database_error)?;
    found.map(Json).ok_or_else(|| ApiError::NotFound(format!("No product found for productId: {product_id}")))
}
