//! The events that were given up. A letter is written in the transaction that writes its inbox row: an event takes
//! effect or becomes a dead letter, never both, never neither.

use super::Database;
use super::rows::{self, List};
use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use std::collections::HashMap;

/// Why there is a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The domain refused the event, or it could not be read. Parks nothing.
    Invalid,
    /// All attempts failed. Parks its key.
    Failed,
    /// It came behind an open letter of its key. Parks its key.
    Parked,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Failed => "failed",
            Self::Parked => "parked",
        }
    }
}

/// A letter to be written.
#[derive(Debug)]
pub struct NewLetter<'a> {
    /// The message id.
    pub id: &'a str,
    /// The key, where the message says one.
    pub key: Option<i32>,
    /// The headers as JSON.
    pub headers: String,
    /// Where it came from, as JSON.
    pub origin: String,
    /// The body.
    pub body: &'a [u8],
    /// Why there is a letter.
    pub kind: Kind,
    /// The cause in words.
    pub cause: String,
    /// How often the event was tried.
    pub attempts: u32,
}

/// A letter as it stands in the table.
#[derive(Debug, Clone)]
pub struct Letter {
    /// The order in which letters were written.
    pub sequence: i64,
    /// The message id.
    pub id: String,
    /// Where the event was sent to.
    pub destination: String,
    /// The partition it stood in.
    pub partition: u32,
    /// The key, where the message says one.
    pub key: Option<i32>,
    /// The headers as JSON.
    pub headers: String,
    /// Where it came from, as JSON.
    pub origin: String,
    /// The body.
    pub body: Vec<u8>,
    /// `invalid`, `failed` or `parked`.
    pub kind: String,
    /// The cause in words.
    pub cause: String,
    /// How often the event was tried.
    pub attempts: u32,
    /// How often it was replayed.
    pub generation: u32,
    /// `unsent` (the broker's copy is missing), `waiting` or `closed`.
    pub state: String,
    /// `replay` or `drop`, where somebody asked for it.
    pub wanted: Option<String>,
    /// When it was written, in milliseconds since 1970.
    pub created_at: i64,
}

/// Writes letters whose inbox rows were just won; their order is the order of `letters`.
pub async fn write(
    connection: &mut AnyConnection,
    destination: &str,
    partition: u32,
    letters: &[NewLetter<'_>],
) -> Result<(), sqlx::Error> {
    let now = jiff::Timestamp::now().as_millisecond();
    // Not padded: a row that is there twice would have to be passed over, and a letter that is there already must not. Nor
    // kept prepared: any number of letters is rare.
    for batch in letters.chunks(rows::most(connection)) {
        let sql = rows::statement(
            "INSERT INTO dead_letters
                 (destination, partition, created_at, id, event_key, headers, origin, body, kind, cause, attempts) VALUES ",
            List::Rows { given: 3, shared: "$1, $2, $3, ", columns: 8 },
            batch.len(),
            "",
        );
        let query = sqlx::query(sql).persistent(false).bind(destination).bind(i64::from(partition)).bind(now);
        let query = batch.iter().fold(query, |query, letter| {
            query
                .bind(letter.id)
                .bind(letter.key)
                .bind(letter.headers.as_str())
                .bind(letter.origin.as_str())
                .bind(letter.body)
                .bind(letter.kind.name())
                // PostgreSQL has no NUL in a text, and a letter must be writable whatever its cause says.
                .bind(letter.cause.replace('\0', "\u{fffd}"))
                .bind(i64::from(letter.attempts))
        });
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Which of `keys` are parked, and behind which letter: the first that is open. Never to be cached: it must see what
/// was committed while this transaction waited for the inbox.
pub async fn parked(
    connection: &mut AnyConnection,
    destination: &str,
    keys: &[i32],
) -> Result<HashMap<i32, String>, sqlx::Error> {
    let mut parked = HashMap::new();
    for batch in rows::padded(rows::most(connection), keys) {
        let sql = rows::statement(
            "SELECT event_key, id FROM dead_letters WHERE sequence IN (
                 SELECT MIN(sequence) FROM dead_letters
                 WHERE destination = $1 AND state <> 'closed' AND kind IN ('failed', 'parked') AND event_key IN ",
            List::Keys { given: 1 },
            batch.len(),
            " GROUP BY event_key)",
        );
        let query = batch.into_iter().fold(sqlx::query(sql).bind(destination), |query, key| query.bind(*key));
        for row in query.fetch_all(&mut *connection).await? {
            parked.insert(row.try_get(0)?, row.try_get(1)?);
        }
    }
    Ok(parked)
}

/// The oldest letters of a partition that still need the broker's copy.
pub async fn unsent(database: &Database, destination: &str, partition: u32) -> Result<Vec<Letter>, sqlx::Error> {
    let sql = select("WHERE destination = $1 AND partition = $2 AND state = 'unsent' ORDER BY sequence LIMIT 100");
    let unsent = sqlx::query(sql).bind(destination).bind(i64::from(partition)).fetch_all(database.readers());
    database.in_time(unsent).await?.iter().map(letter).collect()
}

/// Notes that the broker has its copy. A letter that somebody closed meanwhile stays closed.
pub async fn sent(connection: &mut AnyConnection, letters: &[Letter]) -> Result<(), sqlx::Error> {
    for batch in rows::padded(rows::most(connection), letters) {
        let sql = rows::statement(
            "UPDATE dead_letters SET state = 'waiting' WHERE state = 'unsent' AND sequence IN ",
            List::Keys { given: 0 },
            batch.len(),
            "",
        );
        let query = batch.into_iter().fold(sqlx::query(sql), |query, letter| query.bind(letter.sequence));
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// The open letters behind `after`, in order, at most `limit`.
pub async fn page(database: &Database, after: i64, limit: u32) -> Result<Vec<Letter>, sqlx::Error> {
    let sql = select("WHERE state <> 'closed' AND sequence > $1 ORDER BY sequence LIMIT $2");
    let page = sqlx::query(sql).bind(after).bind(i64::from(limit)).fetch_all(database.readers());
    database.in_time(page).await?.iter().map(letter).collect()
}

/// How many letters are open.
pub async fn count(database: &Database) -> Result<i64, sqlx::Error> {
    let count = sqlx::query("SELECT COUNT(*) FROM dead_letters WHERE state <> 'closed'").fetch_one(database.readers());
    database.in_time(count).await?.try_get(0)
}

/// The letter of this message, open or closed.
pub async fn find(database: &Database, id: &str) -> Result<Option<Letter>, sqlx::Error> {
    let found = sqlx::query(select("WHERE id = $1")).bind(id).fetch_optional(database.readers());
    database.in_time(found).await?.as_ref().map(letter).transpose()
}

/// All columns by name: where a migration adds one, a statement that was prepared before it still holds.
fn select(which: &'static str) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!(
        "SELECT sequence, id, destination, partition, event_key, headers, origin, body, kind, cause, attempts,
                generation, state, wanted, created_at
         FROM dead_letters {which}"
    ))
}

fn letter(row: &AnyRow) -> Result<Letter, sqlx::Error> {
    let number = |column: &str| -> Result<u32, sqlx::Error> {
        let value: i64 = row.try_get(column)?;
        u32::try_from(value).map_err(|error| sqlx::Error::Decode(error.into()))
    };
    Ok(Letter {
        sequence: row.try_get("sequence")?,
        id: row.try_get("id")?,
        destination: row.try_get("destination")?,
        partition: number("partition")?,
        key: row.try_get("event_key")?,
        headers: row.try_get("headers")?,
        origin: row.try_get("origin")?,
        body: row.try_get("body")?,
        kind: row.try_get("kind")?,
        cause: row.try_get("cause")?,
        attempts: number("attempts")?,
        generation: number("generation")?,
        state: row.try_get("state")?,
        wanted: row.try_get("wanted")?,
        created_at: row.try_get("created_at")?,
    })
}
