//! A trigger that makes the events of some keys fail while somebody wants it: their rows are refused, in a way that is no
//! fault of the events.

use super::Place;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Error};

/// Of so many keys, one is refused.
const KEYS: u32 = 37;

/// Makes refusals possible in the table of `place`, which a service has made in the database at `url`.
pub async fn prepare(place: &Place, url: &str) -> Result<(), Error> {
    let topic = place.topic;
    let refused = format!("EXISTS (SELECT 1 FROM refusals WHERE ABS(NEW.product_id) % {KEYS} = remainder)");
    let trigger = if url.starts_with("sqlite") {
        // A text is no number of a row: unlike a constraint, that is a mismatch.
        format!(
            "CREATE TRIGGER refuse BEFORE INSERT ON {topic} WHEN {refused} BEGIN
                 INSERT INTO refusals (number) VALUES ('refused');
             END;"
        )
    } else {
        format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF {refused} THEN RAISE EXCEPTION 'refused for a while'; END IF;
                 RETURN NEW;
             END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON {topic} FOR EACH ROW EXECUTE FUNCTION refuse();"
        )
    };
    execute(url, "CREATE TABLE refusals (number INTEGER PRIMARY KEY, remainder INTEGER)").await?;
    execute(url, &trigger).await
}

/// Refuses a part of the keys from now on, the one that `choice` says.
pub async fn begin(url: &str, choice: u64) -> Result<(), Error> {
    let remainder = choice % u64::from(KEYS);
    execute(url, &format!("DELETE FROM refusals; INSERT INTO refusals VALUES (1, {remainder})")).await
}

/// Refuses nothing any more.
pub async fn end(url: &str) -> Result<(), Error> {
    execute(url, "DELETE FROM refusals").await
}

async fn execute(url: &str, sql: &str) -> Result<(), Error> {
    sqlx::any::install_default_drivers();
    let mut database = AnyConnection::connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut database).await?;
    database.close().await
}
