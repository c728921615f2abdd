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

/// Counts what stands open.
pub async fn summary(database: &Database) -> Result<Summary, sqlx::Error> {
    let kinds = "SELECT kind, COUNT(*), MIN(created_at) FROM dead_letters
                 WHERE state <> 'closed' GROUP BY kind";
    // Grouped, as the index has them: of a million letters no set is made.
    let keys = "SELECT COUNT(*) FROM (SELECT event_key FROM dead_letters
                WHERE state <> 'closed' AND kind NOT IN ('invalid', 'foreign') AND event_key IS NOT NULL
                GROUP BY destination, event_key) AS keys";
    let wanted = "SELECT wanted, COUNT(*) FROM dead_letters
                  WHERE wanted IS NOT NULL AND state <> 'closed' GROUP BY wanted";
    let found = "SELECT COUNT(*) FROM dead_letters WHERE state <> 'closed' AND kind = 'invalid' AND generation > 0";
    let counted = async {
        let mut summary = Summary::default();
        let mut oldest = None;
        for row in sqlx::query(kinds).fetch_all(database.readers()).await? {
            let (count, since): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
            summary.open += count;
            oldest = Some(oldest.map_or(since, |oldest: i64| oldest.min(since)));
            match row.try_get::<String, _>(0)?.as_str() {
                "failed" => summary.failed = count,
                "parked" => summary.parked = count,
                "invalid" => summary.invalid = count,
                _ => summary.foreign += count,
            }
        }
        if summary.failed + summary.parked > 0 {
            summary.parked_keys = sqlx::query(keys).fetch_one(database.readers()).await?.try_get(0)?;
        }
        if summary.invalid > 0 {
            summary.found_invalid = sqlx::query(found).fetch_one(database.readers()).await?.try_get(0)?;
        }
        if summary.open > 0 {
            for row in sqlx::query(wanted).fetch_all(database.readers()).await? {
                let count = row.try_get::<i64, _>(1)?;
                match row.try_get::<String, _>(0)?.as_str() {
                    "drop" => summary.wanted_drop += count,
                    _ => summary.wanted_replay += count,
                }
            }
        }
        let age = oldest.map_or(0, |oldest| jiff::Timestamp::now().as_millisecond().saturating_sub(oldest));
        summary.oldest_age_seconds = age.max(0) / 1000;
        Ok(summary)
    };
    database.in_time(counted).await
}
