//! Which events have been decided on. The row of an event and its effect are written in one transaction, so an event
//! takes effect at most once, whatever is redelivered, by whom, after what crash.

use super::rows::{self, List};
use sqlx::{AnyConnection, Row};
use std::collections::HashSet;

/// What was decided on an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect.
    Applied,
    /// It is a dead letter.
    Dead,
}

/// Takes the events with these ids, and tells which of them nobody had taken before. Waits for whoever is taking the
/// same events in another transaction.
pub async fn take<'a>(
    connection: &mut AnyConnection,
    destination: &str,
    partition: u32,
    outcome: Outcome,
    ids: &[&'a str],
) -> Result<HashSet<&'a str>, sqlx::Error> {
    let outcome = match outcome {
        Outcome::Applied => "applied",
        Outcome::Dead => "dead",
    };
    let now = jiff::Timestamp::now().as_millisecond();
    let mut taken = HashSet::with_capacity(ids.len());
    let most = rows::most(connection);
    for (batch, given) in rows::padded(most, ids).zip(ids.chunks(most)) {
        let sql = rows::statement(
            "INSERT INTO inbox (outcome, destination, partition, decided_at, id) VALUES ",
            List::Rows { given: 4, shared: "$1, $2, $3, $4, ", columns: 1 },
            batch.len(),
            " ON CONFLICT DO NOTHING RETURNING id",
        );
        let query = sqlx::query(sql).bind(outcome).bind(destination).bind(i64::from(partition)).bind(now);
        let query = batch.into_iter().fold(query, |query, id| query.bind(*id));
        let rows = query.fetch_all(&mut *connection).await?;
        if rows.len() == given.len() {
            taken.extend(given);
            continue;
        }
        let new: HashSet<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        taken.extend(given.iter().copied().filter(|id| new.contains(*id)));
    }
    Ok(taken)
}

/// Notes that events which this transaction took are dead letters.
pub async fn mark_dead(connection: &mut AnyConnection, ids: &[&str]) -> Result<(), sqlx::Error> {
    for batch in rows::padded(rows::most(connection), ids) {
        let sql =
            rows::statement("UPDATE inbox SET outcome = 'dead' WHERE id IN ", List::Keys { given: 0 }, batch.len(), "");
        let query = batch.into_iter().fold(sqlx::query(sql), |query, id| query.bind(*id));
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Notes that an event that was dead takes effect now, in the transaction of that effect.
pub async fn revive(
    connection: &mut AnyConnection,
    destination: &str,
    partition: u32,
    id: &str,
) -> Result<(), sqlx::Error> {
    let revived = sqlx::query(
        "INSERT INTO inbox (outcome, destination, partition, decided_at, id, generation)
         VALUES ('applied', $1, $2, $3, $4, 1)
         ON CONFLICT (id) DO UPDATE SET outcome = 'applied', generation = inbox.generation + 1",
    );
    let now = jiff::Timestamp::now().as_millisecond();
    revived.bind(destination).bind(i64::from(partition)).bind(now).bind(id).execute(connection).await.map(drop)
}

/// Forgets what was decided on a partition before `before`, at most `most` rows; an event with a letter, open or closed,
/// is remembered: a second letter of it could not be written. To be called only when everything that could still be
/// redelivered is younger.
pub async fn forget(
    connection: &mut AnyConnection,
    destination: &str,
    partition: u32,
    before: i64,
    most: u32,
) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query(
        "DELETE FROM inbox WHERE id IN (
             SELECT id FROM inbox
             WHERE decided_at < $1 AND destination = $2 AND partition = $3
               AND NOT EXISTS (SELECT 1 FROM dead_letters l WHERE l.id = inbox.id)
             ORDER BY decided_at LIMIT $4)",
    )
    .bind(before)
    .bind(destination)
    .bind(i64::from(partition))
    .bind(i64::from(most))
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}
