//! What somebody asks for. It is noted in the letters themselves: whoever works on the partition of their key carries it
//! out, after any crash, and asking twice is asking once.

use super::{Doing, Letter, hold, letter, of, select};
use crate::database::Database;
use serde::Serialize;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

/// What is to become of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// It is applied.
    Replay,
    /// It is applied, and so is what came to stand behind it meanwhile.
    ReplayKey,
    /// It is closed without an effect.
    Drop,
}

impl Wanted {
    /// As it stands in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::ReplayKey => "replay-key",
            Self::Drop => "drop",
        }
    }
}

/// The letters that something is wanted of from now on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Marked {
    /// How many there are.
    pub wanted: u64,
    /// None of them stands behind this one, by its sequence.
    pub upto: i64,
}

/// Why something is not done to a letter.
#[derive(Debug, thiserror::Error)]
pub enum Unwanted {
    /// There never was such a letter.
    #[error("No dead letter found for id: {0}")]
    Unknown(String),
    /// It was decided on before.
    #[error("The dead letter {0} is closed already")]
    Closed(String),
    /// An older one of its key comes first.
    #[error("The dead letter {id} comes behind {first} of the same key: decide on that first")]
    Behind {
        /// The letter.
        id: String,
        /// The first open one of its key.
        first: String,
    },
    /// The database did not do it.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// How many letters are marked in one transaction.
pub(super) const AT_ONCE: u32 = 5_000;

/// Wants this of one letter.
pub async fn one(database: &Database, id: &str, wanted: Wanted) -> Result<Marked, Unwanted> {
    let marked = async {
        let mut transaction = database.begin().await?;
        let found = sqlx::query(select("WHERE id = $1")).bind(id).fetch_optional(&mut *transaction).await?;
        let Some(found) = found.as_ref().map(letter).transpose()? else {
            return Err(Unwanted::Unknown(id.to_owned()));
        };
        if found.state == "closed" {
            return Err(Unwanted::Closed(id.to_owned()));
        }
        let first = first(&mut transaction, &found).await?;
        // What parks nothing is applied as a new event, and that would come behind the letters of its key.
        let stands_apart = !found.parks() && wanted == Wanted::Drop;
        if let Some((first, _)) = first.filter(|(first, _)| *first != found.id && !stands_apart) {
            return Err(Unwanted::Behind { id: found.id, first });
        }
        let marked = sqlx::query("UPDATE dead_letters SET wanted = $1 WHERE sequence = $2 AND state <> 'closed'");
        let marked = marked.bind(wanted.name()).bind(found.sequence).execute(&mut *transaction).await?;
        // Somebody was deciding on it, whom this waited for.
        if marked.rows_affected() == 0 {
            return Err(Unwanted::Closed(found.id));
        }
        transaction.commit().await?;
        Ok(Marked { wanted: 1, upto: found.sequence })
    };
    database.in_time(marked).await
}

/// Wants this of the letters that park a key, or of those that park any, the oldest first. Those behind `upto` are not
/// meant, nor those that came after the request: nobody has seen them.
pub async fn parking(
    database: &Database,
    key: Option<i32>,
    upto: Option<i64>,
    wanted: Wanted,
) -> Result<Marked, sqlx::Error> {
    let (of, mut after, mut count) = (of(key), 0, 0);
    let last = sqlx::query(AssertSqlSafe(format!(
        "SELECT sequence FROM dead_letters WHERE state <> 'closed' AND kind NOT IN ('invalid', 'foreign') AND {of}
         ORDER BY sequence DESC LIMIT 1"
    )));
    let last = database.in_time(last.bind(key).fetch_optional(database.readers())).await?;
    let Some(last) = last else { return Ok(Marked::default()) };
    let last = last.try_get::<i64, _>(0)?.min(upto.unwrap_or(i64::MAX));
    while after < last {
        let marked = async {
            let mut transaction = database.begin().await?;
            hold(&mut transaction, Doing::Wanting).await?;
            let marked = sqlx::query(AssertSqlSafe(format!(
                "UPDATE dead_letters SET wanted = $2 WHERE state <> 'closed' AND sequence IN (
                     SELECT sequence FROM dead_letters
                     WHERE state <> 'closed' AND kind NOT IN ('invalid', 'foreign') AND {of}
                       AND sequence > $3 AND sequence <= $4
                     ORDER BY sequence LIMIT $5)
                 RETURNING sequence"
            )));
            let marked = marked.bind(key).bind(wanted.name()).bind(after).bind(last).bind(i64::from(AT_ONCE));
            let marked = marked.fetch_all(&mut *transaction).await?;
            transaction.commit().await?;
            marked.iter().map(|row| row.try_get::<i64, _>(0)).collect::<Result<Vec<_>, _>>()
        };
        let marked = database.in_time::<_, sqlx::Error>(marked).await?;
        count += marked.len() as u64;
        after = marked.into_iter().max().unwrap_or(last);
    }
    Ok(Marked { wanted: count, upto: last })
}

/// The first open letter that parks the key of `letter`, and what is wanted of it.
pub(super) async fn first(
    connection: &mut AnyConnection,
    letter: &Letter,
) -> Result<Option<(String, Option<String>)>, sqlx::Error> {
    let first = sqlx::query(
        "SELECT id, wanted FROM dead_letters
         WHERE destination = $1 AND event_key = $2 AND state <> 'closed' AND kind NOT IN ('invalid', 'foreign')
         ORDER BY sequence LIMIT 1",
    );
    let first = first.bind(letter.destination.as_str()).bind(letter.key).fetch_optional(connection).await?;
    first.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
}

impl Letter {
    /// Whether its key is parked while it is open.
    pub(super) fn parks(&self) -> bool {
        matches!(self.kind.as_str(), "failed" | "parked")
    }
}
