//! Create -> create, Delete -> delete.

use crate::reviews::Reviews;
use shared::api::Review;
use shared::messaging::event::{Event, rounds};
use shared::messaging::failure::Failure;
use shared::messaging::processor::Handler;
use sqlx::AnyConnection;

impl Handler for Reviews {
    type Payload = Review;

    async fn apply(&self, connection: &mut AnyConnection, events: &[Event<Review>]) -> Result<(), Failure> {
        for round in rounds(events) {
            self.delete(connection, &round.deletes).await?;
            self.create(connection, &round.creates).await?;
        }
        Ok(())
    }
}
