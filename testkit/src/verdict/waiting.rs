//! Events that were accepted and that no service has decided on yet, as the tables say it. What a broker tells of its groups is
//! no such count: it knows of marks and offsets that are no events, and nothing while it is away.

use sqlx::{AnyConnection, AssertSqlSafe, Connection, Error, Row};
use std::collections::HashSet;

/// How many events wait for the service whose database is at `url`: those of even keys, and those of odd ones. `accepted` tells
/// keys and ids, and is asked at the last moment: few wait for long.
pub async fn waiting(url: &str, accepted: impl FnOnce() -> Vec<(i32, String)>) -> Result<[u64; 2], Error> {
    sqlx::any::install_default_drivers();
    let mut database = AnyConnection::connect(url).await?;
    let accepted = accepted();
    // The first is there so that the list is never empty.
    let list: Vec<_> = accepted.iter().map(|(_, id)| format!(", '{id}'")).collect();
    let decided = format!("SELECT id FROM inbox WHERE id IN (''{})", list.concat());
    let decided = sqlx::query(AssertSqlSafe(decided)).fetch_all(&mut database).await?;
    database.close().await?;
    let decided: HashSet<String> = decided.iter().map(|row| row.get(0)).collect();
    let mut waiting = [0; 2];
    for (key, _) in accepted.iter().filter(|(_, id)| !decided.contains(id)) {
        waiting[usize::from(key % 2 != 0)] += 1;
    }
    Ok(waiting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_accepted_waits_until_the_inbox_has_it() {
        sqlx::any::install_default_drivers();
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}?mode=rwc", folder.path().join("reviews.db").display());
        let mut database = AnyConnection::connect(&url).await.unwrap();
        sqlx::raw_sql("CREATE TABLE inbox (id TEXT)").execute(&mut database).await.unwrap();
        let accepted = || [(4, "a"), (5, "b"), (7, "c"), (-7, "d")].map(|(key, id)| (key, id.to_owned())).into();
        assert_eq!(waiting(&url, Vec::new).await.unwrap(), [0, 0]);
        assert_eq!(waiting(&url, accepted).await.unwrap(), [1, 3]);
        sqlx::raw_sql("INSERT INTO inbox VALUES ('a'), ('d')").execute(&mut database).await.unwrap();
        assert_eq!(waiting(&url, accepted).await.unwrap(), [0, 2]);
    }
}
