//! A trigger that makes the events of some keys fail while somebody wants it: their rows are refused, in a way that is no
//! fault of the events.

use super::Place;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Error, Row};
use std::ops::Range;

/// Of so many keys, one is refused. It is odd, so that the partitions of either parity have some.
const KEYS: u64 = 37;
/// Of those that most events are of, one of fewer: not so many that events come faster than letters are replayed.
const HOT_KEYS: u64 = 25;

/// Makes refusals possible in the table of `place`, which a service has made in the database at `url`.
pub async fn prepare(place: &Place, url: &str) -> Result<(), Error> {
    let topic = place.topic;
    let refused = "EXISTS (SELECT 1 FROM refusals
                   WHERE NEW.product_id BETWEEN first AND last AND NEW.product_id % modulus = remainder)";
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
    let columns = "number INTEGER PRIMARY KEY, first INTEGER, last INTEGER, modulus INTEGER, remainder INTEGER";
    execute(url, &format!("CREATE TABLE refusals ({columns})")).await?;
    execute(url, &trigger).await
}

/// Refuses a part of the keys from now on, the one that `choice` says, and a larger part of the `hot` ones.
pub async fn begin(url: &str, hot: Range<i32>, choice: u64) -> Result<(), Error> {
    let (any, of_hot) = (choice % KEYS, choice % HOT_KEYS);
    let Range { start, end } = hot;
    let sql = format!(
        "DELETE FROM refusals;
         INSERT INTO refusals VALUES (1, 0, {max}, {KEYS}, {any}), (2, {start}, {end} - 1, {HOT_KEYS}, {of_hot})",
        max = i32::MAX
    );
    execute(url, &sql).await
}

/// Refuses nothing any more.
pub async fn end(url: &str) -> Result<(), Error> {
    execute(url, "DELETE FROM refusals").await
}

/// How many dead letters are open in the database at `url`.
pub async fn letters(url: &str) -> Result<i64, Error> {
    sqlx::any::install_default_drivers();
    let mut database = AnyConnection::connect(url).await?;
    let open =
        sqlx::query("SELECT COUNT(*) FROM dead_letters WHERE state <> 'closed'").fetch_one(&mut database).await?;
    database.close().await?;
    open.try_get(0)
}

async fn execute(url: &str, sql: &str) -> Result<(), Error> {
    sqlx::any::install_default_drivers();
    let mut database = AnyConnection::connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut database).await?;
    database.close().await
}
