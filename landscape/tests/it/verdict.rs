//! What was promised, compared with the log and the tables.
//!
//! The tables show only what is left in the end, so each of them gets triggers that write down every row that comes or
//! goes, in the transaction that moves it: an effect that was lost, doubled or out of order is seen even where a later
//! one hides it.

use crate::process::{Landscape, SOON};
use crate::workload::{Key, Request, Write, recommendations, reviews, text};
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use testkit::eventually;

/// A topic with the database that its events end in.
struct Place {
    topic: &'static str,
    group: &'static str,
    file: &'static str,
    /// The column that tells rows of a key apart, and the one that names the version.
    part: &'static str,
    content: &'static str,
    /// How many rows a version has.
    parts: fn(u32) -> u32,
}

const PLACES: [Place; 3] = [
    Place { topic: "products", group: "productsGroup", file: "product.db", part: "1", content: "name", parts: |_| 1 },
    Place {
        topic: "recommendations",
        group: "recommendationsGroup",
        file: "recommendation.db",
        part: "recommendation_id",
        content: "content",
        parts: recommendations,
    },
    Place {
        topic: "reviews",
        group: "reviewsGroup",
        file: "review.db",
        part: "review_id",
        content: "content",
        parts: reviews,
    },
];

async fn open(file: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(file).connect().await.unwrap()
}

/// Writes down from now on what happens to the tables of a landscape that has started.
pub(crate) async fn keep_history(data_dir: &Path) {
    for Place { topic, file, part, content, .. } in &PLACES {
        let column = |row: &str, name: &str| if name == "1" { name.to_owned() } else { format!("{row}.{name}") };
        let trigger = |name: &str, when: &str, row: &str, sign: &str| {
            let (part, content) = (column(row, part), column(row, content));
            format!(
                "CREATE TRIGGER {name} AFTER {when} ON {topic} BEGIN
                     INSERT INTO history (event_key, part, change) VALUES ({row}.product_id, {part}, '{sign}' || {content});
                 END;"
            )
        };
        let sql = format!(
            "CREATE TABLE history (sequence INTEGER PRIMARY KEY, event_key INTEGER, part INTEGER, change TEXT);
             {} {}",
            trigger("comes", "INSERT", "NEW", "+"),
            trigger("goes", "DELETE", "OLD", "-"),
        );
        let mut database = open(&data_dir.join(file)).await;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut database).await.unwrap();
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
    for file in PLACES.iter().map(|place| place.file).chain(["events.db"]) {
        let mut database = open(&data_dir.join(file)).await;
        let sound = sqlx::query("PRAGMA integrity_check").fetch_one(&mut database).await.unwrap();
        assert_eq!(sound.get::<&str, _>(0), "ok", "{file}");
    }
    let logged = logged(data_dir).await;
    check_counts(keys, &logged);
    for place in &PLACES {
        check_order(place, keys, &logged);
        check_table(place, keys, &mut open(&data_dir.join(place.file)).await).await;
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

/// Every event has taken effect once and in order, and what stands there in the end is what was written last.
async fn check_table(place: &Place, keys: &[Key], database: &mut SqliteConnection) {
    let Place { topic, part, content, parts, .. } = place;

    let letters = sqlx::query("SELECT event_key, cause FROM dead_letters").fetch_all(&mut *database).await.unwrap();
    let letters: Vec<(i32, String)> = letters.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(letters, [], "{topic} have dead letters");

    let mut expected: BTreeMap<(i32, u32), Vec<String>> = BTreeMap::new();
    for Key { id, requests } in keys {
        for Request { write, .. } in requests {
            let (sign, version) = match *write {
                Write::Create { version } => ('+', version),
                Write::Delete { version } => ('-', version),
            };
            for part in 1..=parts(version) {
                expected.entry((*id, part)).or_default().push(format!("{sign}{}", text(version)));
            }
        }
    }
    let mut happened: BTreeMap<(i32, u32), Vec<String>> = BTreeMap::new();
    let history = sqlx::query("SELECT event_key, part, change FROM history ORDER BY sequence");
    for row in history.fetch_all(&mut *database).await.unwrap() {
        happened.entry((row.get(0), row.get(1))).or_default().push(row.get(2));
    }
    for row in expected.keys().chain(happened.keys()) {
        assert_eq!(happened.get(row), expected.get(row), "what happened to {row:?} in {topic}, and what was accepted");
    }

    let standing = sqlx::query(AssertSqlSafe(format!("SELECT product_id, {part}, {content} FROM {topic}")));
    let standing = standing.fetch_all(&mut *database).await.unwrap();
    let count = standing.len();
    let standing: BTreeMap<(i32, u32), String> =
        standing.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect();
    expected.retain(|_, changes| changes.last().unwrap().starts_with('+'));
    let expected: BTreeMap<_, _> =
        expected.into_iter().map(|(row, changes)| (row, changes.last().unwrap()[1..].to_owned())).collect();
    assert_eq!(standing, expected, "what is left in {topic}");
    assert_eq!(count, expected.len(), "{topic} have rows twice");

    let decided = sqlx::query("SELECT id, outcome FROM inbox").fetch_all(database).await.unwrap();
    let decided: BTreeSet<(String, String)> = decided.iter().map(|row| (row.get(0), row.get(1))).collect();
    let sent: BTreeSet<(String, String)> = keys
        .iter()
        .flat_map(|key| {
            key.requests.iter().flat_map(|request| request.write.message_ids(key.id).remove(topic).unwrap())
        })
        .map(|id| (id, "applied".to_owned()))
        .collect();
    assert!(decided == sent, "{topic} were decided on {} times, {} were sent", decided.len(), sent.len());
}
