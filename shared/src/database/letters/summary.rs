//! How many letters are open, and since when.

use crate::database::Database;
use serde::Serialize;
use sqlx::Row;

/// What stands open, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// All of them.
    pub open: i64,
    /// Those that all attempts failed for.
    pub failed: i64,
    /// Those that came behind others of their key.
    pub parked: i64,
    /// Those that the domain refused.
    pub invalid: i64,
    /// Those of them that a replay found so.
    pub found_invalid: i64,
    /// Those that others left.
    pub foreign: i64,
    /// Keys whose events wait.
    pub parked_keys: i64,
    /// How many seconds ago the oldest was written; 0 without any.
    pub oldest_age_seconds: i64,
    /// Those whose replay was asked for.
    pub wanted_replay: i64,
    /// Those whose drop was asked for.
    pub wanted_drop: i64,
}

/// Counts what stands open, in one statement and so at one moment: who follows a request must not find something open
/// that was closed when nothing was wanted any more.
pub async fn summary(database: &Database) -> Result<Summary, sqlx::Error> {
    // Keys are grouped, as the index has them: of a million letters no set is made.
    let counted = sqlx::query(
        "SELECT 'kind', kind, COUNT(*), MIN(created_at) FROM dead_letters WHERE state <> 'closed' GROUP BY kind
         UNION ALL
         SELECT 'wanted', wanted, COUNT(*), NULL FROM dead_letters
         WHERE wanted IS NOT NULL AND state <> 'closed' GROUP BY wanted
         UNION ALL
         SELECT 'found', 'invalid', COUNT(*), NULL FROM dead_letters
         WHERE state <> 'closed' AND kind = 'invalid' AND generation > 0
         UNION ALL
         SELECT 'keys', 'parked', COUNT(*), NULL FROM (
             SELECT event_key FROM dead_letters
             WHERE state <> 'closed' AND kind NOT IN ('invalid', 'foreign') AND event_key IS NOT NULL
             GROUP BY destination, event_key) AS keys",
    );
    let (mut summary, mut oldest) = (Summary::default(), None);
    for row in database.in_time(counted.fetch_all(database.readers())).await? {
        let (count, since): (i64, Option<i64>) = (row.try_get(2)?, row.try_get(3)?);
        summary.open += since.map_or(0, |_| count);
        oldest = oldest.into_iter().chain(since).min();
        match (row.try_get(0)?, row.try_get(1)?) {
            ("kind", "failed") => summary.failed = count,
            ("kind", "parked") => summary.parked = count,
            ("kind", "invalid") => summary.invalid = count,
            ("kind", _) => summary.foreign += count,
            ("wanted", "drop") => summary.wanted_drop += count,
            ("wanted", _) => summary.wanted_replay += count,
            ("found", _) => summary.found_invalid = count,
            _ => summary.parked_keys = count,
        }
    }
    let age = oldest.map_or(0, |oldest| jiff::Timestamp::now().as_millisecond().saturating_sub(oldest));
    summary.oldest_age_seconds = age.max(0) / 1000;
    Ok(summary)
}
