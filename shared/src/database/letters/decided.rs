//! What becomes of letters: each is closed once, in the transaction of its effect, and within a key in order.

use super::wanted::{AT_ONCE, first};
use super::{Doing, Letter, hold, letter, select};
use crate::database::Database;
use crate::database::rows::{self, List};
use sqlx::{AnyConnection, Row};
use std::collections::HashSet;

/// The oldest letters of which something is wanted, where the partition that their key belongs to now is `partition` of
/// `count`; at most `limit`. A letter without a key goes by the partition that it stood in.
pub async fn due(
    database: &Database,
    destination: &str,
    (partition, count): (u32, u32),
    limit: u32,
) -> Result<Vec<Letter>, sqlx::Error> {
    // The key's partition as `messaging::partition` computes it. SQLite takes an index only where its condition stands
    // here word for word.
    let sql = select(
        "WHERE destination = $1 AND wanted IS NOT NULL AND state <> 'closed' AND state = 'waiting'
           AND (CASE WHEN event_key IS NULL THEN partition WHEN event_key = -2147483648 THEN 0 ELSE ABS(event_key) END)
               % $2 = $3
         ORDER BY sequence LIMIT $4",
    );
    let due = sqlx::query(sql).bind(destination).bind(i64::from(count.max(1))).bind(i64::from(partition));
    let due = due.bind(i64::from(limit)).fetch_all(database.readers());
    database.in_time(due).await?.iter().map(letter).collect()
}

/// Keeps out whoever wants something of many letters, until the transaction ends; to be called before it holds a letter.
/// Both hold many rows, in orders of their own, and could wait for each other. Those who decide, on keys of their own, come
/// in together.
pub async fn apart(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    hold(connection, Doing::Deciding).await
}

/// What came of the wish to close a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It is closed, if the transaction is committed.
    Closed,
    /// It is not as it was read.
    Changed,
    /// An older one of its key comes first.
    Behind,
}

/// Closes `letter` if it is as it was read and the first of its key.
pub async fn claim(connection: &mut AnyConnection, letter: &Letter) -> Result<Claim, sqlx::Error> {
    let drop = letter.wanted.as_deref() == Some("drop");
    // What parks nothing is applied as a new event: behind all that is open.
    let sql = match (letter.parks(), drop) {
        (true, _) => claim_unless("AND first.sequence < dead_letters.sequence"),
        (false, false) => claim_unless(""),
        (false, true) => claim_unless("AND FALSE"),
    };
    let claimed = sqlx::query(sql).bind(letter.sequence).bind(letter.wanted.as_deref()).bind(letter.kind.as_str());
    if claimed.execute(&mut *connection).await?.rows_affected() == 1 {
        return Ok(Claim::Closed);
    }
    let unchanged =
        "SELECT 1 FROM dead_letters WHERE sequence = $1 AND state = 'waiting' AND wanted = $2 AND kind = $3";
    let unchanged = sqlx::query(unchanged).bind(letter.sequence).bind(letter.wanted.as_deref());
    let unchanged = unchanged.bind(letter.kind.as_str()).fetch_optional(connection).await?;
    Ok(if unchanged.is_some() { Claim::Behind } else { Claim::Changed })
}

fn claim_unless(first: &'static str) -> sqlx::AssertSqlSafe<String> {
    sqlx::AssertSqlSafe(format!(
        "UPDATE dead_letters SET state = 'closed', generation = generation + 1
         WHERE sequence = $1 AND state = 'waiting' AND wanted = $2 AND kind = $3 AND NOT EXISTS (
             SELECT 1 FROM dead_letters first
             WHERE first.destination = dead_letters.destination AND first.event_key = dead_letters.event_key
               AND first.state <> 'closed' AND first.kind NOT IN ('invalid', 'foreign') {first})"
    ))
}

/// Wants the replay of what is now the first of the key, where it came to stand behind `letter` after that was asked
/// for.
pub async fn pass_on(connection: &mut AnyConnection, letter: &Letter) -> Result<(), sqlx::Error> {
    if letter.wanted.as_deref() != Some("replay-key") {
        return Ok(());
    }
    if let Some((id, None)) = first(connection, letter).await? {
        let passed = sqlx::query("UPDATE dead_letters SET wanted = 'replay-key' WHERE id = $1 AND state <> 'closed'");
        passed.bind(id).execute(connection).await?;
    }
    Ok(())
}

/// Gives up what is wanted of a letter that stands behind one of which nothing is wanted, and of some behind it: they
/// would wait for ever. Tells whether there were any.
pub async fn unwant_if_stuck(connection: &mut AnyConnection, letter: &Letter) -> Result<bool, sqlx::Error> {
    let Some((first, _)) = first(connection, letter).await? else { return Ok(false) };
    if !letter.parks() {
        let unwanted = sqlx::query(
            "UPDATE dead_letters SET wanted = NULL WHERE sequence = $1 AND state <> 'closed' AND wanted = $2",
        );
        unwanted.bind(letter.sequence).bind(letter.wanted.as_deref()).execute(connection).await?;
        return Ok(true);
    }
    // Held until the end: who wants something of the whole key has marked the first one too, or waits here.
    let held = "UPDATE dead_letters SET state = state WHERE id = $1 AND state <> 'closed' AND wanted IS NULL";
    let stuck = sqlx::query(held).bind(first).execute(&mut *connection).await?.rows_affected() == 1;
    if stuck {
        unwant(connection, letter).await?;
    }
    Ok(stuck)
}

/// Gives up what is wanted of `letter` and of those of its key behind it: of no more than one transaction bears. Those
/// that are left are found to be stuck.
async fn unwant(connection: &mut AnyConnection, letter: &Letter) -> Result<(), sqlx::Error> {
    let unwanted = sqlx::query(
        "UPDATE dead_letters SET wanted = NULL WHERE state <> 'closed' AND sequence IN (
             SELECT sequence FROM dead_letters
             WHERE destination = $1 AND event_key = $2 AND state <> 'closed' AND kind NOT IN ('invalid', 'foreign')
               AND wanted IS NOT NULL AND sequence >= $3
             ORDER BY sequence LIMIT $4)",
    );
    let unwanted = unwanted.bind(letter.destination.as_str()).bind(letter.key).bind(letter.sequence);
    unwanted.bind(i64::from(AT_ONCE)).execute(connection).await.map(drop)
}

/// Notes that a replay of `letter` failed once more, and that the rest of its key waits for another word.
pub async fn failed(
    connection: &mut AnyConnection,
    letter: &Letter,
    cause: &str,
    attempts: u32,
) -> Result<(), sqlx::Error> {
    let kind = if letter.parks() { "failed" } else { letter.kind.as_str() };
    if keep(connection, letter, kind, cause, attempts).await? && letter.parks() {
        unwant(connection, letter).await?;
    }
    Ok(())
}

/// Notes that `letter` was found invalid: it parks nothing any more, and its key goes on.
pub async fn invalid(
    connection: &mut AnyConnection,
    letter: &Letter,
    cause: &str,
    attempts: u32,
) -> Result<(), sqlx::Error> {
    if keep(connection, letter, "invalid", cause, attempts).await? {
        pass_on(connection, letter).await?;
    }
    Ok(())
}

/// Keeps a letter with what was learnt, unless somebody has wanted something else of it meanwhile.
async fn keep(
    connection: &mut AnyConnection,
    letter: &Letter,
    kind: &str,
    cause: &str,
    attempts: u32,
) -> Result<bool, sqlx::Error> {
    let kept = sqlx::query(
        "UPDATE dead_letters
         SET kind = $1, cause = $2, attempts = attempts + $3, generation = generation + 1, wanted = NULL
         WHERE sequence = $4 AND state = 'waiting' AND generation = $5 AND wanted = $6",
    );
    // PostgreSQL has no NUL in a text.
    let kept = kept.bind(kind).bind(cause.replace('\0', "\u{fffd}")).bind(i64::from(attempts));
    let kept = kept.bind(letter.sequence).bind(i64::from(letter.generation)).bind(letter.wanted.as_deref());
    Ok(kept.execute(connection).await?.rows_affected() == 1)
}

/// Ids of closed letters of which the broker may still have copies; at most `limit`.
pub async fn copied(database: &Database, destination: &str, limit: u32) -> Result<Vec<String>, sqlx::Error> {
    let sql = "SELECT id FROM dead_letters WHERE copied = 1 AND state = 'closed' AND destination = $1
               ORDER BY sequence LIMIT $2";
    let copied = sqlx::query(sql).bind(destination).bind(i64::from(limit)).fetch_all(database.readers());
    database.in_time(copied).await?.iter().map(|row| row.try_get(0)).collect()
}

/// Notes that the broker has no copies of these letters any more.
pub async fn uncopied(connection: &mut AnyConnection, ids: &[String]) -> Result<(), sqlx::Error> {
    for batch in rows::padded(rows::most(connection), ids) {
        let sql = rows::statement(
            "UPDATE dead_letters SET copied = 0 WHERE id IN ",
            List::Keys { given: 0 },
            batch.len(),
            "",
        );
        let query = batch.into_iter().fold(sqlx::query(sql), |query, id| query.bind(id.as_str()));
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Which of these ids are those of letters: of open ones, and of closed ones.
pub async fn known(database: &Database, ids: &[&str]) -> Result<(HashSet<String>, HashSet<String>), sqlx::Error> {
    let (mut open, mut closed) = (HashSet::new(), HashSet::new());
    for batch in rows::padded(rows::MOST_ON_SQLITE, ids) {
        let sql = rows::statement(
            "SELECT id, state FROM dead_letters WHERE id IN ",
            List::Keys { given: 0 },
            batch.len(),
            "",
        );
        let query = batch.into_iter().fold(sqlx::query(sql), |query, id| query.bind(*id));
        for row in database.in_time(query.fetch_all(database.readers())).await? {
            let letters = if row.try_get::<String, _>(1)? == "closed" { &mut closed } else { &mut open };
            letters.insert(row.try_get(0)?);
        }
    }
    Ok((open, closed))
}
