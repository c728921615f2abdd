//! The events that were given up. A letter is written in the transaction that writes its inbox row: an event takes
//! effect or becomes a dead letter, never both, never neither.
//!
//! - this file: writing and reading letters
//! - [`wanted`]: what somebody asks for; [`decided`]: what becomes of it
//! - [`summary`]: how many there are, and how old
//!
//! What must never happen: a letter that is closed and opened again; a letter of a key that is decided on before an
//! older one of that key; a letter that comes to stand in front of one that was shown already.

pub mod decided;
pub mod summary;
pub mod wanted;

use super::Database;
use super::rows::{self, List};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use std::collections::HashMap;

/// Why there is a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The domain refused the event, or it could not be read. Parks nothing.
    Invalid,
    /// All attempts failed. Parks its key.
    Failed,
    /// It came behind an open letter of its key. Parks its key.
    Parked,
    /// Another service left it on the broker. Parks nothing.
    Foreign,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Failed => "failed",
            Self::Parked => "parked",
            Self::Foreign => "foreign",
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

/// A letter as it stands in the table, without its content: many letters together would be any amount of memory.
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
    /// `invalid`, `failed`, `parked` or `foreign`.
    pub kind: String,
    /// The cause in words.
    pub cause: String,
    /// How often the event was tried.
    pub attempts: u32,
    /// How often it was replayed.
    pub generation: u32,
    /// `unsent` (the broker's copy is missing), `waiting` or `closed`.
    pub state: String,
    /// `replay`, `replay-key` or `drop`, where somebody asked for it; see [`wanted::Wanted`].
    pub wanted: Option<String>,
    /// When it was written, in milliseconds since 1970.
    pub created_at: i64,
}

/// The message that a letter was. It never changes, whatever becomes of the letter.
#[derive(Debug, Clone)]
pub struct Content {
    /// The headers as JSON.
    pub headers: String,
    /// Where it came from, as JSON.
    pub origin: String,
    /// The body.
    pub body: Vec<u8>,
}

/// What a transaction does that others must not do meanwhile.
#[derive(Debug, Clone, Copy)]
enum Doing {
    /// It wants something of many letters, while nobody holds many.
    Wanting,
    /// It holds many for anything else, along with others.
    Deciding,
    /// It writes letters, alone.
    Writing,
}

/// Waits until the transaction may do this, and keeps others from it until its end. The one writer of an SQLite file does
/// everything alone.
async fn hold(connection: &mut AnyConnection, doing: Doing) -> Result<(), sqlx::Error> {
    /// The numbers of the locks, among those of this database.
    const DECISIONS: i64 = 0x6c65_7474_6572_7300;
    const ORDER: i64 = DECISIONS + 1;
    if connection.backend_name() == "SQLite" {
        return Ok(());
    }
    let alone = "SELECT 1 FROM pg_advisory_xact_lock($1)";
    let (sql, lock) = match doing {
        Doing::Wanting => (alone, DECISIONS),
        Doing::Deciding => ("SELECT 1 FROM pg_advisory_xact_lock_shared($1)", DECISIONS),
        Doing::Writing => (alone, ORDER),
    };
    sqlx::query(sql).bind(lock).execute(connection).await.map(drop)
}

/// Writes letters whose inbox rows were just won; their order is the order of `letters`. From here to its end the
/// transaction must wait for nobody: others write theirs after that, so that who sees a letter has seen, or could have,
/// all that stand before it.
pub async fn write(
    connection: &mut AnyConnection,
    destination: &str,
    partition: u32,
    letters: &[NewLetter<'_>],
) -> Result<(), sqlx::Error> {
    hold(connection, Doing::Writing).await?;
    let now = jiff::Timestamp::now().as_millisecond();
    // Not padded: a row that is there twice would have to be passed over, and a letter that is there already must not. Nor
    // kept prepared: any number of letters is rare.
    for batch in letters.chunks(rows::most(connection)) {
        let sql = rows::statement(
            "INSERT INTO dead_letters
                 (destination, partition, created_at, id, event_key, headers, origin, body, kind, cause, attempts, state)
             VALUES ",
            List::Rows { given: 3, shared: "$1, $2, $3, ", columns: 9 },
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
                // Of what came from the broker's dead letters, no copy goes back there.
                .bind(if letter.kind == Kind::Foreign { "waiting" } else { "unsent" })
        });
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Which of `keys` are parked, and behind which letter: the first that is open. Never to be cached: it must see what
/// was committed while this transaction waited for the inbox. Nobody decides on these letters until it ends, so that who
/// decides on the last of a key sees what came to stand behind it.
pub async fn parked(
    connection: &mut AnyConnection,
    destination: &str,
    keys: &[i32],
) -> Result<HashMap<i32, String>, sqlx::Error> {
    let mut parked = HashMap::new();
    for batch in rows::padded(rows::most(connection), keys) {
        loop {
            let first = first_open(connection, destination, &batch).await?;
            if first.is_empty() || held(connection, &first).await? {
                parked.extend(first.into_iter().map(|(_, key, id)| (key, id)));
                break;
            }
        }
    }
    Ok(parked)
}

/// The first open letter of each of `keys` that has one: sequence, key and id.
async fn first_open(
    connection: &mut AnyConnection,
    destination: &str,
    keys: &[&i32],
) -> Result<Vec<(i64, i32, String)>, sqlx::Error> {
    // Each key looks for its own first letter: grouped, all that stand behind it would be read too.
    let sql = rows::statement(
        "WITH keys (event_key) AS (VALUES ",
        List::Rows { given: 1, shared: "", columns: 1 },
        keys.len(),
        ") SELECT sequence, event_key, id FROM dead_letters WHERE sequence IN (
             SELECT (SELECT sequence FROM dead_letters
                     WHERE destination = $1 AND event_key = keys.event_key AND state <> 'closed'
                       AND kind NOT IN ('invalid', 'foreign')
                     ORDER BY sequence LIMIT 1)
             FROM keys)",
    );
    let query = keys.iter().fold(sqlx::query(sql).bind(destination), |query, key| query.bind(**key));
    let rows = query.fetch_all(&mut *connection).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
}

/// Holds these letters as they are until the transaction ends, unless one of them has ceased to park its key since it
/// was read.
async fn held(connection: &mut AnyConnection, letters: &[(i64, i32, String)]) -> Result<bool, sqlx::Error> {
    // The one writer of an SQLite file holds everything.
    if connection.backend_name() == "SQLite" {
        return Ok(true);
    }
    decided::apart(connection).await?;
    let mut held = 0;
    for batch in rows::padded(rows::most(connection), letters) {
        let sql = rows::statement(
            "SELECT 1 FROM dead_letters WHERE state <> 'closed' AND kind NOT IN ('invalid', 'foreign') AND sequence IN ",
            List::Keys { given: 0 },
            batch.len(),
            " ORDER BY sequence FOR NO KEY UPDATE",
        );
        let query = batch.into_iter().fold(sqlx::query(sql), |query, (sequence, ..)| query.bind(*sequence));
        held += query.fetch_all(&mut *connection).await?.len();
    }
    Ok(held == letters.len())
}

/// The oldest letters of a partition that still need the broker's copy.
pub async fn unsent(database: &Database, destination: &str, partition: u32) -> Result<Vec<Letter>, sqlx::Error> {
    let sql = select("WHERE destination = $1 AND partition = $2 AND state = 'unsent' ORDER BY sequence LIMIT 100");
    let unsent = sqlx::query(sql).bind(destination).bind(i64::from(partition)).fetch_all(database.readers());
    database.in_time(unsent).await?.iter().map(letter).collect()
}

/// Notes that the broker has its copy, and whether that is to go when the letter is closed. A letter that somebody closed
/// meanwhile stays closed.
pub async fn sent(connection: &mut AnyConnection, letters: &[Letter], copied: bool) -> Result<(), sqlx::Error> {
    decided::apart(connection).await?;
    for batch in rows::padded(rows::most(connection), letters) {
        let sql = rows::statement(
            "UPDATE dead_letters SET state = 'waiting', copied = $1 WHERE state = 'unsent' AND sequence IN ",
            List::Keys { given: 1 },
            batch.len(),
            "",
        );
        let query = sqlx::query(sql).bind(i32::from(copied));
        let query = batch.into_iter().fold(query, |query, letter| query.bind(letter.sequence));
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// The open letters behind `after`, in order, at most `limit`; of one key or kind where one is given.
pub async fn page(
    database: &Database,
    after: i64,
    limit: u32,
    key: Option<i32>,
    kind: Option<Kind>,
) -> Result<Vec<Letter>, sqlx::Error> {
    let sql = select(&format!(
        "WHERE state <> 'closed' AND {} AND (kind = $2 OR $2 IS NULL) AND sequence > $3 ORDER BY sequence LIMIT $4",
        of(key)
    ));
    let page = sqlx::query(sql).bind(key).bind(kind.map(Kind::name)).bind(after).bind(i64::from(limit));
    database.in_time(page.fetch_all(database.readers())).await?.iter().map(letter).collect()
}

/// How many letters are open; of one key or kind where one is given.
pub async fn count(database: &Database, key: Option<i32>, kind: Option<Kind>) -> Result<i64, sqlx::Error> {
    let sql = format!(
        "SELECT COUNT(*) FROM dead_letters WHERE state <> 'closed' AND {} AND (kind = $2 OR $2 IS NULL)",
        of(key)
    );
    let count = sqlx::query(AssertSqlSafe(sql)).bind(key).bind(kind.map(Kind::name)).fetch_one(database.readers());
    database.in_time(count).await?.try_get(0)
}

/// Of the key `$1`, or of any where it is none. Told apart in the text, so that either finds its index.
fn of(key: Option<i32>) -> &'static str {
    if key.is_some() { "event_key = $1" } else { "CAST($1 AS INTEGER) IS NULL" }
}

/// The sequence of the newest letter that is open.
pub async fn last(database: &Database) -> Result<Option<i64>, sqlx::Error> {
    let sql = "SELECT sequence FROM dead_letters WHERE state <> 'closed' ORDER BY sequence DESC LIMIT 1";
    let last = sqlx::query(sql).fetch_optional(database.readers());
    database.in_time(last).await?.map(|row| row.try_get(0)).transpose()
}

/// The letter of this message, open or closed.
pub async fn find(database: &Database, id: &str) -> Result<Option<Letter>, sqlx::Error> {
    let found = sqlx::query(select("WHERE id = $1")).bind(id).fetch_optional(database.readers());
    database.in_time(found).await?.as_ref().map(letter).transpose()
}

/// The content of one letter.
pub async fn content(database: &Database, letter: &Letter) -> Result<Content, sqlx::Error> {
    let content = sqlx::query("SELECT headers, origin, body FROM dead_letters WHERE sequence = $1");
    let content = content.bind(letter.sequence).fetch_one(database.readers());
    let row = database.in_time(content).await?;
    Ok(Content { headers: row.try_get(0)?, origin: row.try_get(1)?, body: row.try_get(2)? })
}

/// All columns by name, but for the content: where a migration adds one, a statement that was prepared before it still
/// holds.
fn select(which: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!(
        "SELECT sequence, id, destination, partition, event_key, kind, cause, attempts, generation, state, wanted,
                created_at
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
        kind: row.try_get("kind")?,
        cause: row.try_get("cause")?,
        attempts: number("attempts")?,
        generation: number("generation")?,
        state: row.try_get("state")?,
        wanted: row.try_get("wanted")?,
        created_at: row.try_get("created_at")?,
    })
}
