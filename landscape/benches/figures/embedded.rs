//! The event layer on the embedded log and SQLite, beside what SQLite does alone.

use crate::Table;
use crate::layer::{MANY, apply, platform, posts, producer, rows, send, write};
use tempfile::TempDir;

pub(crate) async fn embedded(table: &mut Table) {
    let folders: [TempDir; 4] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let [alone, events, posted, applied] = folders.each_ref().map(|folder| folder.path().to_str().unwrap());
    let database = |folder: &str| format!("sqlite:{folder}/product.db");
    let bare = rows(&database(alone)).await;
    let written = write(&database(events)).await;
    let posted = posts(platform([("DATA_DIR", posted)]).await).await;
    let waiting = platform([("DATA_DIR", applied)]).await;
    send(&*producer(&waiting, 1).await, MANY).await;
    let applied = apply(waiting, &database(applied)).await;
    let on = "embedded, SQLite";
    table.row(on, "rows of many a statement", &format!("{bare:.0}/s"), "bare");
    table.row(on, "durable events of POSTs", &format!("{posted:.0}/s"), &format!("{:.2} of bare rows", posted / bare));
    table.row(on, "inbox and table alone", &format!("{written:.0}/s"), &format!("{:.2} of bare rows", written / bare));
    table.row(
        on,
        "events applied",
        &format!("{applied:.0}/s"),
        &format!("{:.2} of inbox and table alone", applied / written),
    );
}
