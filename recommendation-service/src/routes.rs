//! What is asked for over HTTP; changes come as events.

use crate::recommendations::Recommendations;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use shared::api::Recommendation;
use shared::error::ApiError;
use shared::service::database_error;
use shared::service::extract::ProductIdQuery;

/// All routes.
pub(crate) fn routes(recommendations: Recommendations) -> Router {
    Router::new().route("/recommendation", get(get_recommendations)).with_state(recommendations)
}

async fn get_recommendations(
    State(recommendations): State<Recommendations>,
    ProductIdQuery(product_id): ProductIdQuery,
) -> Result<Json<Vec<Recommendation>>, ApiError> {
    recommendations.find(product_id).await.map(Json).map_err(database_error)
}
