//! What was promised to the clients of a [`workload`](crate::workload), compared with the tables of a database.
//!
//! The tables show only what is left in the end. So each of them gets triggers that write down every row that comes or
//! goes, in the transaction that moves it: an effect that was lost, doubled or out of order is seen even where a later
//! one hides it. Who knows the kind of database makes them; they write into
//! `history (sequence, event_key, part, change)`, where a change is the content behind a `+` or `-`.

use crate::workload::{Key, Request, Write, recommendations, reviews, text};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use std::collections::{BTreeMap, BTreeSet};

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
    /// The dead letters: key and cause.
    pub letters: Vec<(Option<i32>, String)>,
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
        let letters = sqlx::query("SELECT event_key, cause FROM dead_letters").fetch_all(&mut database);
        let letters = letters.await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
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
        Self { letters, history, standing, decided }
    }

    /// Every event has taken effect once and in order, what stands there in the end is what was written last, and
    /// nothing was given up.
    pub fn check(self, place: &Place, keys: &[Key]) {
        let topic = place.topic;
        assert_eq!(self.letters, [], "{topic} have dead letters");

        let mut expected = promised(place, keys);
        let mut happened: BTreeMap<(i32, u32), Vec<String>> = BTreeMap::new();
        for (key, part, change) in self.history {
            happened.entry((key, part)).or_default().push(change);
        }
        for row in expected.keys().chain(happened.keys()) {
            let (happened, expected) = (happened.get(row), expected.get(row));
            assert_eq!(happened, expected, "what happened to {row:?} in {topic}, and what was accepted");
        }

        let count = self.standing.len();
        let standing: BTreeMap<_, _> =
            self.standing.into_iter().map(|(key, part, content)| ((key, part), content)).collect();
        expected.retain(|_, changes| changes.last().unwrap().starts_with('+'));
        let expected: BTreeMap<_, _> =
            expected.into_iter().map(|(row, changes)| (row, changes.last().unwrap()[1..].to_owned())).collect();
        assert_eq!(standing, expected, "what is left in {topic}");
        assert_eq!(count, expected.len(), "{topic} have rows twice");

        let count = self.decided.len();
        let decided: BTreeSet<_> = self.decided.into_iter().collect();
        assert_eq!(count, decided.len(), "{topic} were decided on twice");
        let sent: BTreeSet<_> = keys
            .iter()
            .flat_map(|key| {
                key.requests.iter().flat_map(|request| request.write.message_ids(key.id).remove(topic).unwrap())
            })
            .map(|id| (id, "applied".to_owned()))
            .collect();
        assert!(
            decided == sent,
            "{topic} were decided on {} times, {} were sent; not applied: {:?}; applied and not sent: {:?}",
            decided.len(),
            sent.len(),
            sent.difference(&decided).take(5).collect::<Vec<_>>(),
            decided.difference(&sent).take(5).collect::<Vec<_>>()
        );
    }
}

/// What has to happen to each row of a place, in order.
fn promised(place: &Place, keys: &[Key]) -> BTreeMap<(i32, u32), Vec<String>> {
    let mut promised: BTreeMap<(i32, u32), Vec<String>> = BTreeMap::new();
    for Key { id, requests } in keys {
        for Request { write, .. } in requests {
            let (sign, version) = match *write {
                Write::Create { version } => ('+', version),
                Write::Delete { version } => ('-', version),
            };
            for part in 1..=(place.parts)(version) {
                promised.entry((*id, part)).or_default().push(format!("{sign}{}", text(version)));
            }
        }
    }
    promised
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key that was created, deleted and created again, and what is found where all of it took effect.
    fn kept() -> (Vec<Key>, Found) {
        let writes = [Write::Create { version: 1 }, Write::Delete { version: 1 }, Write::Create { version: 2 }];
        let requests = writes.map(|write| Request { write, accepted: 1, unanswered: 0 });
        let keys = vec![Key { id: 7, requests: requests.into() }];
        let history = ["+v1", "-v1", "+v2"].map(|change| (7, 1, change.to_owned())).into();
        let ids = writes.into_iter().flat_map(|write| write.message_ids(7).remove("products").unwrap());
        let decided = ids.map(|id| (id, "applied".to_owned())).collect();
        (keys, Found { letters: Vec::new(), history, standing: vec![(7, 1, "v2".to_owned())], decided })
    }

    #[track_caller]
    fn refused(break_it: impl FnOnce(&mut Found), reason: &str) {
        let (keys, mut found) = kept();
        break_it(&mut found);
        let check = std::panic::AssertUnwindSafe(|| found.check(&PLACES[0], &keys));
        let said = *std::panic::catch_unwind(check).unwrap_err().downcast::<String>().unwrap();
        assert!(said.contains(reason), "{said}");
    }

    #[test]
    fn a_promise_that_was_kept_is_recognised() {
        let (keys, found) = kept();
        found.check(&PLACES[0], &keys);
    }

    #[test]
    fn what_was_lost_doubled_reordered_or_given_up_is_noticed() {
        let happened = "what happened to (7, 1) in products";
        refused(|found| drop(found.history.remove(1)), happened);
        refused(|found| found.history.push((7, 1, "+v2".to_owned())), happened);
        refused(|found| found.history.swap(0, 1), happened);
        refused(|found| found.history.push((8, 1, "+v1".to_owned())), "what happened to (8, 1) in products");
        refused(|found| drop(found.standing.pop()), "what is left in products");
        refused(|found| found.standing.push((7, 1, "v2".to_owned())), "products have rows twice");
        refused(|found| found.letters.push((Some(7), "cause".to_owned())), "products have dead letters");
        refused(|found| drop(found.decided.pop()), "products were decided on 2 times, 3 were sent");
        refused(|found| found.decided[0].1 = "dead".to_owned(), "products were decided on 3 times, 3 were sent");
        refused(|found| found.decided.push(found.decided[0].clone()), "products were decided on twice");
    }
}
