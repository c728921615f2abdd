//! What was promised, compared with the log and the tables of a landscape on SQLite.

use crate::process::{Landscape, SOON};
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Row};
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use testkit::eventually;
use testkit::verdict::{Found, PLACES, Place, history};
use testkit::workload::{Key, Request};

fn file(data_dir: &Path, place: &Place) -> PathBuf {
    data_dir.join(place.service).with_extension("db")
}

fn url(data_dir: &Path, place: &Place) -> String {
    format!("sqlite:{}", file(data_dir, place).display())
}

async fn open(file: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(file).connect().await.unwrap()
}

/// Runs these statements in the database of a service that has started.
pub(crate) async fn execute(data_dir: &Path, service: &str, sql: &'static str) {
    let place = PLACES.iter().find(|place| place.service == service).unwrap();
    sqlx::raw_sql(sql).execute(&mut open(&file(data_dir, place)).await).await.unwrap();
}

/// Writes down from now on what happens to the tables of a landscape that has started.
pub(crate) async fn keep_history(data_dir: &Path) {
    for place in &PLACES {
        history::keep(place, &url(data_dir, place)).await;
    }
}

/// How many events of a landscape that was killed have been sent and not settled.
pub(crate) async fn waiting(data_dir: &Path) -> i64 {
    // A copy: a look at the files themselves would repair what the next start has to repair.
    let copy = tempfile::tempdir().unwrap();
    for file in ["events.db", "events.db-wal"] {
        // There is no write-ahead log where everything was folded back.
        let _ = fs::copy(data_dir.join(file), copy.path().join(file));
    }
    let mut log = open(&copy.path().join("events.db")).await;
    let row = sqlx::query(
        "SELECT SUM(p.end_offset - COALESCE(o.settled, 0))
         FROM partitions p JOIN topic_groups g ON g.topic = p.topic AND g.holds = 1
         LEFT JOIN offsets o ON o.topic = p.topic AND o.name = g.name AND o.partition = p.partition",
    );
    row.fetch_one(&mut log).await.unwrap().get(0)
}

/// Waits until every group has settled everything.
pub(crate) async fn all_settled(landscape: &Landscape, data_dir: &Path) {
    for Place { topic, group, .. } in &PLACES {
        eventually(SOON, "the group has settled everything", async || {
            let described = landscape.command(data_dir, &["topics", "describe", topic, "--json"]).await;
            let described: Value = serde_json::from_str(&described.stdout).unwrap();
            let groups = described["groups"].as_array().unwrap().iter().filter(|row| row["group"] == *group);
            let lags: Vec<i64> = groups.map(|row| row["lag"].as_i64().unwrap()).collect();
            if !lags.is_empty() && lags.iter().all(|lag| *lag == 0) { Ok(()) } else { Err(described) }
        })
        .await;
    }
}

/// Compares everything with a landscape that has ended, and returns how many events that was.
pub(crate) async fn check(data_dir: &Path, keys: &[Key]) -> usize {
    for file in PLACES.iter().map(|place| file(data_dir, place)).chain([data_dir.join("events.db")]) {
        let mut database = open(&file).await;
        let sound = sqlx::query("PRAGMA integrity_check").fetch_one(&mut database).await.unwrap();
        assert_eq!(sound.get::<&str, _>(0), "ok", "{}", file.display());
    }
    let logged = logged(data_dir).await;
    check_counts(keys, &logged);
    for place in &PLACES {
        check_order(place, keys, &logged);
        Found::read(place, &url(data_dir, place)).await.check(place, keys);
    }
    logged.len()
}

/// Where each message stands in the log: topic, partition and offset of all its copies, in order.
type Logged = HashMap<String, Vec<(String, u32, i64)>>;

async fn logged(data_dir: &Path) -> Logged {
    let mut log = open(&data_dir.join("events.db")).await;
    let rows = sqlx::query(
        "SELECT m.id, t.name, m.partition, m.position FROM messages m JOIN topics t ON t.id = m.topic
         ORDER BY t.name, m.partition, m.position",
    );
    let mut logged = Logged::new();
    for row in rows.fetch_all(&mut log).await.unwrap() {
        logged.entry(row.get(0)).or_default().push((row.get(1), row.get(2), row.get(3)));
    }
    logged
}

/// The events of a request are in the log all or none; as often as it was accepted, or else as often as it was sent;
/// and nothing else is there.
fn check_counts(keys: &[Key], logged: &Logged) {
    let mut ids = 0;
    for Key { id, requests } in keys {
        for request @ Request { write, accepted, unanswered } in requests {
            let found: BTreeSet<usize> = write
                .message_ids(*id)
                .into_values()
                .flatten()
                .map(|message| {
                    ids += 1;
                    logged.get(&message).map_or(0, Vec::len)
                })
                .collect();
            let (least, most) = (*accepted as usize, (accepted + unanswered) as usize);
            let [count] = Vec::from_iter(&found)[..] else {
                panic!("{request:?} of {id} is in the log in part: {found:?}")
            };
            assert!((least..=most).contains(count), "{request:?} of {id} is in the log {count} times");
        }
    }
    assert_eq!(logged.len(), ids, "there are messages that nobody sent");
}

/// The events of a key stand in one partition, in the order in which their requests were accepted.
fn check_order(place: &Place, keys: &[Key], logged: &Logged) {
    for Key { id, requests } in keys {
        let messages = requests.iter().flat_map(|request| request.write.message_ids(*id).remove(place.topic).unwrap());
        let first: Vec<_> = messages.map(|message| &logged[&message][0]).collect();
        assert!(
            first.is_sorted_by(|a, b| a.0 == b.0 && a.1 == b.1 && a.2 < b.2),
            "{} of {id} are out of order: {first:?}",
            place.topic
        );
    }
}
