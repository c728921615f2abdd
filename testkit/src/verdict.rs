//! What was promised to the clients of a [`workload`](crate::workload), compared with the tables of a database.
//!
//! The tables show only what is left in the end. So each of them gets triggers that write down every row that comes or
//! goes, in the transaction that moves it: an effect that was lost, doubled or out of order is seen even where a later
//! one hides it.
//!
//! - this file: what a database holds in the end
//! - [`history`]: the triggers; [`refusal`]: others, which refuse
//! - [`tally`]: what of it is not as it was promised, counted
//! - [`waiting`]: what has not come to it yet

pub mod history;
pub mod refusal;
pub mod tally;
pub mod waiting;

use crate::workload::{Key, recommendations, reviews};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use std::collections::HashSet;
pub use tally::Tally;

/// A topic with the tables that its events end in.
#[derive(Debug)]
pub struct Place {
    /// The name of the topic, and of the table.
    pub topic: &'static str,
    /// The group of the service.
    pub group: &'static str,
    /// The name of the service, and of its database.
    pub service: &'static str,
    /// The column that tells the rows of a key apart, or the number of the only one.
    pub part: &'static str,
    /// The column that names the version.
    pub content: &'static str,
    /// How many rows a version has.
    pub parts: fn(u32) -> u32,
}

/// All of them.
pub const PLACES: [Place; 3] = [
    Place { topic: "products", group: "productsGroup", service: "product", part: "1", content: "name", parts: |_| 1 },
    Place {
        topic: "recommendations",
        group: "recommendationsGroup",
        service: "recommendation",
        part: "recommendation_id",
        content: "content",
        parts: recommendations,
    },
    Place {
        topic: "reviews",
        group: "reviewsGroup",
        service: "review",
        part: "review_id",
        content: "content",
        parts: reviews,
    },
];

/// What a database holds in the end.
#[derive(Debug, Default)]
pub struct Found {
    /// The dead letters that are open: key and cause.
    pub letters: Vec<(Option<i32>, String)>,
    /// How many others there were, which somebody has decided on.
    pub closed: u64,
    /// What happened to the table, in order: key, part and change.
    pub history: Vec<(i32, u32, String)>,
    /// What stands in the table: key, part and content.
    pub standing: Vec<(i32, u32, String)>,
    /// What the inbox says: message and outcome.
    pub decided: Vec<(String, String)>,
}

impl Found {
    /// Reads it all from the database of `place`, which is at `url`.
    pub async fn read(place: &Place, url: &str) -> Self {
        sqlx::any::install_default_drivers();
        let mut database = AnyConnection::connect(url).await.unwrap();
        let Place { topic, part, content, .. } = place;
        let standing = format!("SELECT product_id, {part}, {content} FROM {topic}");
        let letters = sqlx::query("SELECT event_key, cause FROM dead_letters WHERE state <> 'closed'");
        let letters = letters.fetch_all(&mut database).await.unwrap();
        let letters = letters.iter().map(|row| (row.get(0), row.get(1))).collect();
        let closed = sqlx::query("SELECT COUNT(*) FROM dead_letters WHERE state = 'closed'");
        let closed = closed.fetch_one(&mut database).await.unwrap().get::<i64, _>(0).unsigned_abs();
        let mut changes = Vec::new();
        for sql in ["SELECT event_key, part, change FROM history ORDER BY sequence", &standing] {
            let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut database).await.unwrap();
            let part = |row: &AnyRow| u32::try_from(row.get::<i32, _>(1)).unwrap();
            changes.push(rows.iter().map(|row| (row.get(0), part(row), row.get(2))).collect());
        }
        let [history, standing] = changes.try_into().unwrap();
        let decided = sqlx::query("SELECT id, outcome FROM inbox").fetch_all(&mut database).await.unwrap();
        let decided = decided.iter().map(|row| (row.get(0), row.get(1))).collect();
        database.close().await.unwrap();
        Self { letters, closed, history, standing, decided }
    }

    /// Every event has taken effect once and in order, what stands there in the end is what was written last, and
    /// nothing was given up.
    pub fn check(&self, place: &Place, keys: &[Key]) {
        let tally = Tally::of(self, place, keys, &HashSet::new());
        assert!(tally.is_clean(), "{}: {tally:#?}", place.topic);
    }
}
