//! The tables of the log and their statements. Offsets of a partition have no gaps, as in Kafka.

use crate::database::alone;
use crate::database::rows::{self, List};
use crate::messaging::{Headers, Outgoing, Position, Received, Topic, TopicGroup, TopicPartition, ids};
use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Row, SqliteConnection, SqlitePool};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// The most bytes of bodies in one read, the first message aside.
const READ_BYTES: usize = 4 << 20;

/// The log as readers see it.
#[derive(Debug)]
pub(super) struct Log {
    options: SqliteConnectOptions,
    readers: SqlitePool,
}

impl Log {
    pub(super) async fn open(path: &Path) -> Result<Self, sqlx::Error> {
        let _alone = alone(path).await?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A commit is on the disk when it returns: that is what 202 promises.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5))
            .pragma("cache_size", "-2048")
            .disable_statement_logging();
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .idle_timeout(Duration::from_secs(60))
            .acquire_timeout(Duration::from_secs(5))
            .connect_lazy_with(options.clone());
        sqlx::migrate!("./migrations/log").run(&readers).await?;
        Ok(Self { options, readers })
    }

    /// A connection of its own, for who writes.
    pub(super) async fn connect(&self) -> Result<SqliteConnection, sqlx::Error> {
        self.options.connect().await
    }

    /// The version of SQLite, which says that the log can be read.
    pub(super) async fn version(&self) -> Result<String, sqlx::Error> {
        sqlx::query("SELECT sqlite_version()").fetch_one(&self.readers).await?.try_get(0)
    }

    pub(super) async fn topic_id(&self, name: &str) -> Result<i64, sqlx::Error> {
        sqlx::query("SELECT id FROM topics WHERE name = $1").bind(name).fetch_one(&self.readers).await?.try_get(0)
    }

    /// How many partitions the topic has now.
    pub(super) async fn partitions(&self, topic: i64) -> Result<u32, sqlx::Error> {
        let row = sqlx::query("SELECT partitions FROM topics WHERE id = $1").bind(topic);
        row.fetch_one(&self.readers).await?.try_get(0)
    }

    /// The offset that the next message of a partition gets.
    pub(super) async fn end(&self, topic: i64, partition: u32) -> Result<i64, sqlx::Error> {
        let row = sqlx::query("SELECT end_offset FROM partitions WHERE topic = $1 AND partition = $2");
        let row = row.bind(topic).bind(partition).fetch_optional(&self.readers).await?;
        row.map_or(Ok(0), |row| row.try_get(0))
    }

    /// The offset that the group reads next; a new group starts with the oldest message.
    pub(super) async fn settled(&self, topic: i64, group: &str, partition: u32) -> Result<i64, sqlx::Error> {
        let row = sqlx::query("SELECT settled FROM offsets WHERE topic = $1 AND name = $2 AND partition = $3");
        let row = row.bind(topic).bind(group).bind(partition).fetch_optional(&self.readers).await?;
        row.map_or(Ok(0), |row| row.try_get(0))
    }

    /// The messages from `offset` on, at most `most` of them, and of bytes what is bearable.
    pub(super) async fn read(
        &self,
        topic: i64,
        partition: u32,
        offset: i64,
        most: u32,
    ) -> Result<Vec<Received>, sqlx::Error> {
        let mut rows = sqlx::query(
            "SELECT position, id, headers, body, sent_at FROM messages
             WHERE topic = $1 AND partition = $2 AND position >= $3 ORDER BY position LIMIT $4",
        )
        .bind(topic)
        .bind(partition)
        .bind(offset)
        .bind(most)
        .fetch(&self.readers);
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.try_next().await? {
            let (position, timestamp): (i64, i64) = (row.try_get(0)?, row.try_get(4)?);
            let body: Vec<u8> = row.try_get(3)?;
            bytes += body.len();
            if bytes > READ_BYTES && !messages.is_empty() {
                break;
            }
            let origin = [("offset".to_owned(), position.into()), ("timestamp".to_owned(), timestamp.into())];
            messages.push(Received {
                id: ids::known(row.try_get(1)?),
                position: Position(position),
                timestamp,
                content_type: None,
                headers: serde_json::from_str(row.try_get(2)?).unwrap_or_default(),
                body: body.into(),
                origin: Headers::from_iter(origin),
            });
        }
        Ok(messages)
    }

    /// Everything that stands here, by name.
    pub(super) async fn topics(&self) -> Result<Vec<Topic>, sqlx::Error> {
        let mut topics: BTreeMap<String, Topic> = BTreeMap::new();
        let partitions = sqlx::query(
            "SELECT t.name, p.partition, p.first_offset, p.end_offset FROM topics t JOIN partitions p ON p.topic = t.id
             WHERE p.partition < t.partitions OR p.end_offset > p.first_offset ORDER BY t.name, p.partition",
        );
        for row in partitions.fetch_all(&self.readers).await? {
            let name: String = row.try_get(0)?;
            let topic = Topic { name: name.clone(), partitions: Vec::new(), groups: Vec::new() };
            let partition = TopicPartition { partition: row.try_get(1)?, first: row.try_get(2)?, end: row.try_get(3)? };
            topics.entry(name).or_insert(topic).partitions.push(partition);
        }
        let groups = sqlx::query(
            "SELECT t.name, g.name, p.partition, MAX(COALESCE(o.settled, 0), p.first_offset), p.end_offset
             FROM topics t JOIN topic_groups g ON g.topic = t.id JOIN partitions p ON p.topic = t.id
             LEFT JOIN offsets o ON o.topic = t.id AND o.name = g.name AND o.partition = p.partition
             WHERE p.partition < t.partitions OR p.end_offset > p.first_offset ORDER BY t.name, g.name, p.partition",
        );
        for row in groups.fetch_all(&self.readers).await? {
            let (settled, end): (i64, i64) = (row.try_get(3)?, row.try_get(4)?);
            let group =
                TopicGroup { group: row.try_get(1)?, partition: row.try_get(2)?, settled, lag: (end - settled).max(0) };
            if let Some(topic) = topics.get_mut(row.try_get::<&str, _>(0)?) {
                topic.groups.push(group);
            }
        }
        Ok(topics.into_values().collect())
    }
}

/// A topic as a writer needs it, read inside its transaction.
#[derive(Debug, Clone, Copy)]
pub(super) struct TopicRow {
    pub(super) id: i64,
    pub(super) partitions: u32,
    pub(super) wanted: u32,
}

pub(super) async fn topic(connection: &mut SqliteConnection, name: &str) -> Result<Option<TopicRow>, sqlx::Error> {
    let row = sqlx::query("SELECT id, partitions, wanted FROM topics WHERE name = $1").bind(name);
    let row = row.fetch_optional(connection).await?;
    row.map(|row| Ok(TopicRow { id: row.try_get(0)?, partitions: row.try_get(1)?, wanted: row.try_get(2)? }))
        .transpose()
}

/// Makes a topic, or notes the count that it shall have.
pub(super) async fn declare_topic(
    connection: &mut SqliteConnection,
    name: &str,
    partitions: u32,
    decides: bool,
) -> Result<TopicRow, sqlx::Error> {
    sqlx::query("INSERT INTO topics (name, partitions, wanted) VALUES ($1, $2, $2) ON CONFLICT DO NOTHING")
        .bind(name)
        .bind(partitions)
        .execute(&mut *connection)
        .await?;
    if decides {
        let wanted = sqlx::query("UPDATE topics SET wanted = $2 WHERE name = $1 AND wanted <> $2");
        wanted.bind(name).bind(partitions).execute(&mut *connection).await?;
    }
    let row = topic(connection, name).await?.ok_or(sqlx::Error::RowNotFound)?;
    make_partitions(connection, row.id, row.partitions).await?;
    Ok(row)
}

/// Gives the topic its wanted count, if every group that holds the log has settled everything: only then can no key
/// have events in two partitions.
pub(super) async fn repartition(connection: &mut SqliteConnection, topic: TopicRow) -> Result<u32, sqlx::Error> {
    let unsettled = sqlx::query(
        "SELECT 1 FROM partitions p JOIN topic_groups g ON g.topic = p.topic AND g.holds = 1
         LEFT JOIN offsets o ON o.topic = p.topic AND o.name = g.name AND o.partition = p.partition
         WHERE p.topic = $1 AND MAX(COALESCE(o.settled, 0), p.first_offset) < p.end_offset LIMIT 1",
    );
    if unsettled.bind(topic.id).fetch_optional(&mut *connection).await?.is_some() {
        return Ok(topic.partitions);
    }
    let counted = sqlx::query("UPDATE topics SET partitions = wanted WHERE id = $1").bind(topic.id);
    counted.execute(&mut *connection).await?;
    make_partitions(connection, topic.id, topic.wanted).await?;
    Ok(topic.wanted)
}

async fn make_partitions(connection: &mut SqliteConnection, topic: i64, count: u32) -> Result<(), sqlx::Error> {
    for partition in 0..count {
        let made = sqlx::query("INSERT INTO partitions (topic, partition) VALUES ($1, $2) ON CONFLICT DO NOTHING");
        made.bind(topic).bind(partition).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Names a group; one that holds once holds for good.
pub(super) async fn declare_group(
    connection: &mut SqliteConnection,
    topic: i64,
    name: &str,
    holds: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO topic_groups (topic, name, holds) VALUES ($1, $2, $3)
         ON CONFLICT DO UPDATE SET holds = MAX(holds, excluded.holds)",
    )
    .bind(topic)
    .bind(name)
    .bind(holds)
    .execute(connection)
    .await
    .map(drop)
}

/// A message with its topic and partition.
pub(super) struct Placed<'a> {
    pub(super) topic: i64,
    pub(super) partition: u32,
    pub(super) message: &'a Outgoing,
}

/// Writes messages at the ends of their partitions, in the order given.
pub(super) async fn append(connection: &mut SqliteConnection, messages: &[Placed<'_>]) -> Result<(), sqlx::Error> {
    let mut counts: BTreeMap<(i64, u32), i64> = BTreeMap::new();
    for message in messages {
        *counts.entry((message.topic, message.partition)).or_default() += 1;
    }
    let mut next = BTreeMap::new();
    for ((topic, partition), count) in counts {
        let row = sqlx::query(
            "UPDATE partitions SET end_offset = end_offset + $3 WHERE topic = $1 AND partition = $2 RETURNING end_offset",
        );
        let row = row.bind(topic).bind(partition).bind(count).fetch_one(&mut *connection).await?;
        next.insert((topic, partition), row.try_get::<i64, _>(0)? - count);
    }
    let now = jiff::Timestamp::now().as_millisecond();
    let positioned: Vec<(&Placed<'_>, i64)> = messages
        .iter()
        .map(|message| {
            let next = next.entry((message.topic, message.partition)).or_default();
            *next += 1;
            (message, *next - 1)
        })
        .collect();
    let weight = |(placed, _): &(&Placed<'_>, i64)| placed.message.body.len();
    let mut written = 0;
    for batch in rows::padded_lightly(rows::MOST_ON_SQLITE, &positioned, weight) {
        let sql = rows::statement(
            "INSERT INTO messages (sent_at, topic, partition, position, id, headers, body) VALUES ",
            List::Rows { given: 1, shared: "$1, ", columns: 6 },
            batch.len(),
            " ON CONFLICT DO NOTHING",
        );
        let query = batch.into_iter().fold(sqlx::query(sql).bind(now), |query, (placed, position)| {
            let headers = serde_json::Value::Object(placed.message.headers.clone()).to_string();
            query
                .bind(placed.topic)
                .bind(placed.partition)
                .bind(*position)
                .bind(placed.message.id.as_str())
                .bind(headers)
                .bind(placed.message.body.as_ref())
        });
        written += query.execute(&mut *connection).await?.rows_affected();
    }
    // The padding conflicts with its own rows and nothing else does, or a message would be lost here.
    if written != messages.len() as u64 {
        return Err(sqlx::Error::Protocol(format!("{written} of {} messages were written", messages.len())));
    }
    Ok(())
}

/// Settles everything before `offset`; never goes back.
pub(super) async fn settle(
    connection: &mut SqliteConnection,
    topic: i64,
    group: &str,
    partition: u32,
    offset: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO offsets (topic, name, partition, settled) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO UPDATE SET settled = MAX(settled, excluded.settled)",
    )
    .bind(topic)
    .bind(group)
    .bind(partition)
    .bind(offset)
    .execute(connection)
    .await
    .map(drop)
}

/// Forgets up to `most` messages of each partition that are older than `before` and that no group holds.
pub(super) async fn forget(connection: &mut SqliteConnection, before: i64, most: u32) -> Result<u64, sqlx::Error> {
    let partitions = sqlx::query(
        "SELECT p.topic, p.partition, p.first_offset,
                (SELECT MIN(COALESCE(o.settled, 0)) FROM topic_groups g
                 LEFT JOIN offsets o ON o.topic = g.topic AND o.name = g.name AND o.partition = p.partition
                 WHERE g.topic = p.topic AND g.holds = 1)
         FROM partitions p",
    );
    let mut forgotten = 0;
    for row in partitions.fetch_all(&mut *connection).await? {
        let (topic, partition, first): (i64, u32, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let Some(settled) = row.try_get::<Option<i64>, _>(3)? else { continue };
        let deleted = sqlx::query(
            "DELETE FROM messages
             WHERE topic = $1 AND partition = $2 AND position >= $3 AND position < MIN($4, $3 + $5) AND sent_at < $6",
        );
        let deleted = deleted.bind(topic).bind(partition).bind(first).bind(settled).bind(most).bind(before);
        let deleted = deleted.execute(&mut *connection).await?.rows_affected();
        if deleted > 0 {
            let moved = sqlx::query(
                "UPDATE partitions SET first_offset = COALESCE(
                     (SELECT MIN(position) FROM messages m WHERE m.topic = $1 AND m.partition = $2), end_offset)
                 WHERE topic = $1 AND partition = $2",
            );
            moved.bind(topic).bind(partition).execute(&mut *connection).await?;
            forgotten += deleted;
        }
    }
    Ok(forgotten)
}
