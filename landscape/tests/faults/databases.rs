//! The databases of the services: a history of what happens to their tables, and the verdict on it.

use crate::compose::DATABASES;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::{Duration, Instant};
use testkit::eventually;
use testkit::verdict::{Found, PLACES, Place};
use testkit::workload::Key;

/// Writes down from now on what happens to the tables of a landscape that has started.
pub(crate) async fn keep_history() {
    for Place { topic, service, part, content, .. } in &PLACES {
        let column = |row: &str, name: &str| if name == "1" { name.to_owned() } else { format!("{row}.{name}") };
        let trigger = |name: &str, when: &str, row: &str, sign: &str| {
            let (part, content) = (column(row, part), column(row, content));
            format!(
                "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                     INSERT INTO history (event_key, part, change) VALUES ({row}.product_id, {part}, '{sign}' || {content});
                     RETURN NULL;
                 END $$;
                 CREATE TRIGGER {name} AFTER {when} ON {topic} FOR EACH ROW EXECUTE FUNCTION {name}();"
            )
        };
        let sql = format!(
            "BEGIN;
             CREATE TABLE history (sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event_key INTEGER, part INTEGER, change TEXT);
             {} {}
             COMMIT;",
            trigger("comes", "INSERT", "NEW", "+"),
            trigger("goes", "DELETE", "OLD", "-"),
        );
        let mut database = PgConnection::connect(&url(service)).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut database).await.unwrap();
    }
}

/// Waits until PostgreSQL answers, and returns when it did.
pub(crate) async fn until_answered() -> Instant {
    eventually(Duration::from_secs(60), "PostgreSQL answers", async || {
        let connected = tokio::time::timeout(Duration::from_secs(5), PgConnection::connect(&url("review"))).await;
        connected.map_err(|error| error.to_string())?.map(drop).map_err(|error| error.to_string())
    })
    .await;
    Instant::now()
}

/// Compares everything with what was accepted.
pub(crate) async fn check(keys: &[Key]) {
    for place in &PLACES {
        Found::read(place, &url(place.service)).await.check(place, keys);
    }
}

fn url(service: &str) -> String {
    format!("{DATABASES}{service}")
}
