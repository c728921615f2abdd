//! Create -> create, Delete -> delete.

use crate::products::Products;
use shared::api::Product;
use shared::messaging::event::{Event, rounds};
use shared::messaging::failure::Failure;
use shared::messaging::processor::Handler;
use sqlx::AnyConnection;

impl Handler for Products {
    type Payload = Product;

    async fn apply(&self, connection: &mut AnyConnection, events: &[Event<Product>]) -> Result<(), Failure> {
        for round in rounds(events) {
            self.delete(connection, &round.deletes).await?;
            self.create(connection, &round.creates).await?;
        }
        Ok(())
    }
}
