//! The tables that every service has, on each database: what the event layer asks of them is answered alike.

// Outside the test functions too, a test that cannot go on ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod many;
mod server;
mod wishes;

use shared::database::inbox::{self, Outcome};
use shared::database::letters::{self, Kind, Letter, NewLetter};
use shared::database::together::{Statement, Together};
use shared::database::{Database, PoolConfig, Trouble, trouble};
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Row};
use std::collections::{HashMap, HashSet};
use std::time::Instant;
use tempfile::TempDir;
use testkit::servers::{found, postgres};

/// No tables but the shared ones.
static NONE: Migrator = Migrator::DEFAULT;

/// Every database there is here, each empty; the folder is that of the file.
async fn databases() -> (Vec<Database>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut urls = vec![format!("sqlite:{}", folder.path().join("test.db").display())];
    if let Some(server) = found(postgres().await) {
        urls.push(server.database().await);
    }
    let mut databases = Vec::new();
    for url in urls {
        databases.push(open(&url).await);
    }
    (databases, folder)
}

async fn open(url: &str) -> Database {
    Database::open(url, &PoolConfig::default(), &NONE).await.unwrap()
}

fn letter<'a>(id: &'a str, key: Option<i32>, kind: Kind) -> NewLetter<'a> {
    let (headers, origin) = ("{\"h\":\"\\u0000\"}".to_owned(), "{}".to_owned());
    NewLetter { id, key, headers, origin, body: b"\0\xff", kind, cause: "no\0luck".to_owned(), attempts: 3 }
}

#[tokio::test]
async fn an_event_is_taken_once() {
    let (databases, _folder) = databases().await;
    for database in databases {
        // More than one statement, and a number of rows that is no power of two.
        let ids: Vec<String> = (0..300).map(|number| format!("id-{number}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let mut transaction = database.begin().await.unwrap();
        let some = inbox::take(&mut transaction, "d", 3, Outcome::Applied, &ids[10..20]).await.unwrap();
        assert_eq!(some.len(), 10);
        let rest = inbox::take(&mut transaction, "d", 3, Outcome::Applied, &ids).await.unwrap();
        let expected: HashSet<&str> = ids[..10].iter().chain(&ids[20..]).copied().collect();
        assert_eq!(rest, expected, "{database:?}");
        inbox::mark_dead(&mut transaction, &ids[..40]).await.unwrap();
        transaction.commit().await.unwrap();
        let dead: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM inbox WHERE outcome = 'dead'")
            .fetch_one(database.readers())
            .await
            .unwrap();
        assert_eq!(dead, 40);
        database.close().await;
    }
}

#[tokio::test]
async fn letters_stand_in_order_as_they_were_written() {
    let (databases, _folder) = databases().await;
    for database in databases {
        let ids: Vec<String> = (0..300).map(|number| format!("id-{number}")).collect();
        let all: Vec<NewLetter<'_>> =
            ids.iter().enumerate().map(|(n, id)| letter(id, (n > 0).then_some(7), Kind::Failed)).collect();
        let mut transaction = database.begin().await.unwrap();
        letters::write(&mut transaction, "d", 3, &all).await.unwrap();
        let parked = letters::parked(&mut transaction, "d", &[5, 6, 7]).await.unwrap();
        assert_eq!(parked.into_iter().collect::<Vec<_>>(), [(7, "id-1".to_owned())], "{database:?}");
        transaction.commit().await.unwrap();

        let page = letters::page(&database, 0, 1000, None, None).await.unwrap();
        // Each field is named, and none is the content: what is read many at a time must not grow with the bodies.
        let Letter {
            sequence: _,
            id: _,
            destination: _,
            partition: _,
            key: _,
            kind: _,
            cause: _,
            attempts: _,
            generation: _,
            state: _,
            wanted: _,
            created_at: _,
        } = &page[0];
        assert_eq!(page.iter().map(|letter| &letter.id).collect::<Vec<_>>(), ids.iter().collect::<Vec<_>>());
        assert!(page.is_sorted_by_key(|letter| letter.sequence));
        assert_eq!(letters::unsent(&database, "d", 3).await.unwrap().len(), 100);
        let mut transaction = database.begin().await.unwrap();
        letters::sent(&mut transaction, &page[..295], false).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(letters::unsent(&database, "d", 3).await.unwrap().len(), 5);
        assert_eq!(letters::count(&database, None, None).await.unwrap(), 300);
        assert_eq!(letters::count(&database, Some(7), Some(Kind::Failed)).await.unwrap(), 299);

        let first = letters::find(&database, "id-0").await.unwrap().unwrap();
        assert_eq!((first.key, first.partition, first.attempts, first.generation), (None, 3, 3, 0));
        assert_eq!((first.cause.as_str(), first.wanted.as_ref()), ("no\u{fffd}luck", None));
        assert_eq!((first.state.as_str(), first.kind.as_str()), ("waiting", "failed"));
        let content = letters::content(&database, &first).await.unwrap();
        assert_eq!((content.headers.as_str(), content.origin.as_str()), ("{\"h\":\"\\u0000\"}", "{}"));
        assert_eq!(content.body, b"\0\xff");
        database.close().await;
    }
}

#[tokio::test]
async fn a_letter_that_is_there_is_not_passed_over() {
    let (databases, _folder) = databases().await;
    for database in databases {
        let mut transaction = database.begin().await.unwrap();
        letters::write(&mut transaction, "d", 0, &[letter("a", None, Kind::Invalid)]).await.unwrap();
        let again = [letter("b", None, Kind::Invalid), letter("a", None, Kind::Invalid)];
        let error = letters::write(&mut transaction, "d", 0, &again).await.unwrap_err();
        assert_eq!(trouble(&error), Trouble::Constraint, "{error}");
        transaction.rollback().await.unwrap();
        database.close().await;
    }
}

#[tokio::test]
async fn what_is_old_and_has_no_letter_is_forgotten() {
    let (databases, _folder) = databases().await;
    for database in databases {
        let mut transaction = database.begin().await.unwrap();
        inbox::take(&mut transaction, "d", 0, Outcome::Applied, &["a", "b", "c"]).await.unwrap();
        letters::write(&mut transaction, "d", 0, &[letter("b", None, Kind::Invalid)]).await.unwrap();
        assert_eq!(inbox::forget(&mut transaction, "d", 0, 0, 100).await.unwrap(), 0);
        assert_eq!(inbox::forget(&mut transaction, "d", 1, i64::MAX, 100).await.unwrap(), 0);
        assert_eq!(inbox::forget(&mut transaction, "d", 0, i64::MAX, 1).await.unwrap(), 1);
        assert_eq!(inbox::forget(&mut transaction, "d", 0, i64::MAX, 100).await.unwrap(), 1);
        transaction.commit().await.unwrap();
        database.close().await;
    }
}

/// Writes letters of key 7 that wait, each known by its number.
async fn standing(database: &Database, first: i64, last: i64) {
    standing_with(database, first, last, b"").await;
}

async fn standing_with(database: &Database, first: i64, last: i64, body: &[u8]) {
    let numbers = match database.product() {
        "SQLite" => "WITH RECURSIVE n (n) AS (VALUES ($1) UNION ALL SELECT n + 1 FROM n WHERE n < $2) SELECT n FROM n",
        _ => "SELECT n FROM generate_series(CAST($1 AS BIGINT), CAST($2 AS BIGINT)) AS n",
    };
    let sql = format!(
        "INSERT INTO dead_letters
             (id, destination, partition, event_key, headers, origin, body, kind, cause, attempts, state, created_at)
         SELECT CAST(n AS TEXT), 'd', 0, 7, '{{}}', '{{}}', $3, 'failed', '', 1, 'waiting', 0
         FROM ({numbers}) AS numbers ORDER BY n"
    );
    let mut transaction = database.begin().await.unwrap();
    let written = sqlx::query(AssertSqlSafe(sql)).bind(first).bind(last).bind(body);
    assert_eq!(written.execute(&mut *transaction).await.unwrap().rows_affected(), last.abs_diff(first) + 1);
    transaction.commit().await.unwrap();
}

/// How many letters somebody wants something of.
async fn wanted_of(database: &Database) -> i64 {
    let wanted = sqlx::query_scalar("SELECT COUNT(*) FROM dead_letters WHERE wanted IS NOT NULL");
    wanted.fetch_one(database.readers()).await.unwrap()
}

async fn found_letter(database: &Database, id: &str) -> Letter {
    letters::find(database, id).await.unwrap().unwrap()
}

#[tokio::test]
async fn who_parks_an_event_reads_one_letter_of_its_key_however_many_there_are() {
    let (databases, _folder) = databases().await;
    for database in databases {
        let mut times = Vec::new();
        for (first, last) in [(1, 1), (2, 10_000)] {
            standing(&database, first, last).await;
            let mut transaction = database.begin().await.unwrap();
            let since = Instant::now();
            for _ in 0..100 {
                let parked = letters::parked(&mut transaction, "d", &[7, 8]).await.unwrap();
                assert_eq!(parked, HashMap::from([(7, "1".to_owned())]));
            }
            times.push(since.elapsed());
            transaction.rollback().await.unwrap();
        }
        // Without the others' letters in between it is the same; each of them read, hundreds of times that.
        assert!(times[1] < times[0] * 20, "{times:?} in {database:?}");
        database.close().await;
    }
}

/// Wants this of some letters.
async fn mark(database: &Database, which: &str, wanted: &str) {
    let mut transaction = database.begin().await.unwrap();
    let marked = format!("UPDATE dead_letters SET wanted = '{wanted}' WHERE {which}");
    sqlx::query(AssertSqlSafe(marked)).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
}

/// The key and the name of a row.
fn named(row: &sqlx::any::AnyRow) -> Result<(i32, String), sqlx::Error> {
    Ok((row.try_get(0)?, row.try_get(1)?))
}

#[tokio::test]
async fn who_reads_together_gets_what_is_his() {
    let (databases, _folder) = databases().await;
    for database in databases {
        let mut transaction = database.begin().await.unwrap();
        for sql in [
            "CREATE TABLE things (key INTEGER NOT NULL, name TEXT NOT NULL)",
            "INSERT INTO things VALUES (1, 'a'), (1, 'b'), (2, 'c'), (70, 'd')",
        ] {
            sqlx::query(sql).execute(&mut *transaction).await.unwrap();
        }
        transaction.commit().await.unwrap();
        let reading = |select: &'static str| {
            Together::new(database.clone(), Statement { select, after: " ORDER BY name", row: named })
        };
        let things = reading("SELECT key, name FROM things WHERE key IN ");
        // More than one statement takes, and everybody twice.
        let keys = (0..100).chain(0..100);
        let found = futures_util::future::join_all(keys.clone().map(|key| things.find(key))).await;
        for (key, found) in keys.zip(found) {
            let expected: &[&str] = match key {
                1 => &["a", "b"],
                2 => &["c"],
                70 => &["d"],
                _ => &[],
            };
            assert_eq!(found.unwrap(), expected, "{key} in {database:?}");
        }
        // Who leaves takes nothing from the others, and nothing stays taken.
        let mut leaving = Box::pin(things.find(1));
        assert!(futures_util::poll!(&mut leaving).is_pending());
        drop(leaving);
        assert_eq!(things.find(2).await.unwrap(), ["c"]);

        let nothing = reading("SELECT key, name FROM nothing WHERE key IN ");
        let failed = futures_util::future::join_all((0..100).map(|key| nothing.find(key))).await;
        assert!(failed.iter().all(Result::is_err), "{database:?}");
    }
}

#[tokio::test]
async fn who_takes_events_that_another_is_taking_waits_and_sees_what_that_one_committed() {
    let Some(server) = found(postgres().await) else { return };
    let database = open(&server.database().await).await;
    let mut first = database.begin().await.unwrap();
    inbox::take(&mut first, "d", 0, Outcome::Dead, &["a"]).await.unwrap();
    let second = async {
        let mut second = database.begin().await.unwrap();
        let new = inbox::take(&mut second, "d", 0, Outcome::Applied, &["b", "a"]).await.unwrap();
        let parked = letters::parked(&mut second, "d", &[7]).await.unwrap();
        second.commit().await.unwrap();
        (new.into_iter().collect::<Vec<_>>(), parked.into_values().collect::<Vec<_>>())
    };
    let first = async {
        server.execute("SELECT pg_sleep(0.2)").await;
        letters::write(&mut first, "d", 0, &[letter("a", Some(7), Kind::Failed)]).await.unwrap();
        first.commit().await.unwrap();
    };
    let ((), (new, parked)) = tokio::join!(first, second);
    assert_eq!((new, parked), (vec!["b"], vec!["a".to_owned()]));
    database.close().await;
}
