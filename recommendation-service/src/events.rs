//! Create -> create, Delete -> delete.

use crate::recommendations::Recommendations;
use shared::api::Recommendation;
use shared::messaging::event::{Event, rounds};
use shared::messaging::failure::Failure;
use shared::messaging::processor::Handler;
use sqlx::AnyConnection;

impl Handler for Recommendations {
    type Payload = Recommendation;

    async fn apply(&self, connection: &mut AnyConnection, events: &[Event<Recommendation>]) -> Result<(), Failure> {
        for round in rounds(events) {
            self.delete(connection, &round.deletes).await?;
            self.create(connection, &round.creates).await?;
        }
        Ok(())
    }
}
