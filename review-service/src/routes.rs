//! What is asked for over HTTP; changes come as events.

use crate::reviews::Reviews;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use shared::api::Review;
use shared::error::ApiError;
use shared::service::database_error;
use shared::service::extract::ProductIdQuery;

/// All routes.
pub(crate) fn routes(reviews: Reviews) -> Router {
    Router::new().route("/review", get(get_reviews)).with_state(reviews)
}

async fn get_reviews(
    State(reviews): State<Reviews>,
    ProductIdQuery(product_id): ProductIdQuery,
) -> Result<Json<Vec<Review>>, ApiError> {
    reviews.find(product_id).await.map(Json).map_err(database_error)
}
