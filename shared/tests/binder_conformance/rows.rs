//! A service that reads any destination of the landscape into rows: what Java sends has no table of its own here.

use crate::lab::{SOON, World, consuming};
use crate::service::{Service, retry};
use serde_json::Value;
use shared::messaging::ConsumerBinding;
use shared::messaging::event::Event;
use shared::messaging::failure::Failure;
use shared::messaging::processor::{Handler, Subscription};
use sqlx::{AnyConnection, Row};
use std::time::Duration;
use testkit::eventually;

/// The destinations of the landscape with the groups of their services.
pub(crate) const DESTINATIONS: [(&str, &str); 3] =
    [("products", "productsGroup"), ("recommendations", "recommendationsGroup"), ("reviews", "reviewsGroup")];

/// A member of the group of the service of a destination.
pub(crate) fn reading((destination, group): (&str, &str), partitions: u32) -> ConsumerBinding {
    ConsumerBinding { destination: destination.to_owned(), ..consuming(group, partitions) }
}

/// A service that keeps whatever data its events have, one row for each key.
struct Rows;

impl Handler for Rows {
    type Payload = Value;

    async fn apply(&self, connection: &mut AnyConnection, events: &[Event<Value>]) -> Result<(), Failure> {
        for event in events {
            let query = match event {
                Event::Create { key, data } => {
                    let query = sqlx::query("INSERT INTO things (key, value) VALUES ($1, $2)");
                    query.bind(*key).bind(data.to_string())
                }
                Event::Delete { key } => sqlx::query("DELETE FROM things WHERE key = $1").bind(*key),
            };
            query.execute(&mut *connection).await?;
        }
        Ok(())
    }
}

/// Starts a service that reads a destination into rows.
pub(crate) async fn keeping_rows(world: &World, of: (&str, &str), partitions: u32) -> Service {
    let subscription = Subscription {
        binder: world.binder().await,
        binding: reading(of, partitions),
        database: world.database(Duration::from_secs(5)).await,
        handler: Rows,
        retry: retry(3),
        remember: Duration::from_secs(3600),
    };
    world.serve(subscription).await
}

/// Waits until the rows hold this data, in the order of their keys.
pub(crate) async fn until_rows(world: &World, expected: &[Value]) {
    eventually(SOON, &format!("the rows {expected:?}"), async || {
        let rows = sqlx::query("SELECT value FROM things ORDER BY key");
        let rows = rows.fetch_all(world.database.readers()).await.unwrap();
        let rows: Vec<Value> = rows.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect();
        if rows == expected { Ok(()) } else { Err(format!("{rows:?}")) }
    })
    .await;
}
