//! Triggers that write down every row that comes or goes, into `history (sequence, event_key, part, change)`: a change is
//! the content behind a `+` or `-`.

use super::Place;
use sqlx::{AnyConnection, AssertSqlSafe, Connection};

/// Writes down from now on what happens to the table of `place`, which a service has made in the database at `url`.
pub async fn keep(place: &Place, url: &str) {
    sqlx::any::install_default_drivers();
    let trigger: fn(&Change<'_>) -> String = if url.starts_with("sqlite") { on_sqlite } else { on_postgres };
    let number = if url.starts_with("sqlite") { "INTEGER PRIMARY KEY" } else { "BIGINT GENERATED ALWAYS AS IDENTITY" };
    let comes = Change { place, name: "comes", when: "INSERT", row: "NEW", sign: '+' };
    let goes = Change { place, name: "goes", when: "DELETE", row: "OLD", sign: '-' };
    let mut database = AnyConnection::connect(url).await.unwrap();
    for sql in [
        format!("CREATE TABLE history (sequence {number}, event_key INTEGER, part INTEGER, change TEXT)"),
        trigger(&comes),
        trigger(&goes),
    ] {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut database).await.unwrap();
    }
    database.close().await.unwrap();
}

struct Change<'a> {
    place: &'a Place,
    name: &'a str,
    when: &'a str,
    row: &'a str,
    sign: char,
}

impl Change<'_> {
    fn insert(&self) -> String {
        let Self { place: Place { part, content, .. }, row, sign, .. } = self;
        let part = if *part == "1" { (*part).to_owned() } else { format!("{row}.{part}") };
        format!(
            "INSERT INTO history (event_key, part, change) VALUES ({row}.product_id, {part}, '{sign}' || {row}.{content});"
        )
    }
}

fn on_sqlite(change: &Change<'_>) -> String {
    let Change { place, name, when, .. } = change;
    format!("CREATE TRIGGER {name} AFTER {when} ON {} BEGIN {} END;", place.topic, change.insert())
}

fn on_postgres(change: &Change<'_>) -> String {
    let Change { place, name, when, .. } = change;
    format!(
        "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} RETURN NULL; END $$;
         CREATE TRIGGER {name} AFTER {when} ON {} FOR EACH ROW EXECUTE FUNCTION {name}();",
        change.insert(),
        place.topic
    )
}
