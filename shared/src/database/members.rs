//! Who is in a group of consumers, where the broker does not say: a row each, with a beat that grows while its member
//! is there. Whether a beat has stopped is seen by each reader on a clock of its own.

use super::Database;
use sqlx::Row;

/// A member as its row says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What it is known by.
    pub id: String,
    /// Its `INSTANCE_INDEX`.
    pub index: Option<u32>,
    /// Grows while it is there.
    pub beat: i64,
}

/// Beats once for the member `id`, which joins by that.
pub async fn beat(
    database: &Database,
    destination: &str,
    group: &str,
    id: &str,
    index: Option<u32>,
) -> Result<(), sqlx::Error> {
    let beating = sqlx::query(
        "INSERT INTO members (id, destination, group_name, instance_index, beat) VALUES ($1, $2, $3, $4, 1)
         ON CONFLICT (id) DO UPDATE SET beat = members.beat + 1",
    )
    .bind(id)
    .bind(destination)
    .bind(group)
    .bind(index.map(i64::from));
    let written = async {
        let mut transaction = database.begin().await?;
        beating.execute(&mut *transaction).await?;
        transaction.commit().await
    };
    database.in_time(written).await
}

/// All members of a group.
pub async fn list(database: &Database, destination: &str, group: &str) -> Result<Vec<Member>, sqlx::Error> {
    let members =
        sqlx::query("SELECT id, instance_index, beat FROM members WHERE destination = $1 AND group_name = $2")
            .bind(destination)
            .bind(group)
            .fetch_all(database.readers());
    database
        .in_time(members)
        .await?
        .iter()
        .map(|row| {
            let index: Option<i64> = row.try_get(1)?;
            Ok(Member {
                id: row.try_get(0)?,
                index: index.and_then(|index| index.try_into().ok()),
                beat: row.try_get(2)?,
            })
        })
        .collect()
}

/// Removes the rows of members that left.
pub async fn remove(database: &Database, ids: &[&str]) -> Result<(), sqlx::Error> {
    let removed = async {
        let mut transaction = database.begin().await?;
        for id in ids {
            sqlx::query("DELETE FROM members WHERE id = $1").bind(*id).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    };
    database.in_time(removed).await
}
