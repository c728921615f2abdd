//! How people see the registry: a page that asks for its state every second. What clients say of themselves comes as
//! JSON and is put on the page as text, so that nothing of it is ever read as HTML.

use crate::directory::Directory;
use crate::registry::Remembered;
use crate::registry::expiry::Preservation;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use shared::discovery::wire::Instance;
use std::sync::Arc;

/// More rows than this nobody reads: who looks for one of the others filters.
const ROWS: usize = 500;
/// Nothing is loaded from elsewhere, nothing runs that is not ours.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page and what it needs.
pub fn routes() -> Router<Arc<Directory>> {
    let asset = |content_type: &'static str, body: &'static str| {
        get(
            move || async move { ([(header::CONTENT_TYPE, content_type), (header::CONTENT_SECURITY_POLICY, POLICY)], body) },
        )
    };
    Router::new()
        .route("/", asset("text/html; charset=utf-8", include_str!("dashboard/index.html")))
        .route("/dashboard/style.css", asset("text/css; charset=utf-8", include_str!("dashboard/style.css")))
        .route("/dashboard/script.js", asset("text/javascript; charset=utf-8", include_str!("dashboard/script.js")))
        .route("/dashboard/state", get(state))
        // Where Spring's page has what is at the end of ours.
        .route("/lastn", get(|| async { Redirect::temporary("/#lastn") }))
}

#[derive(Deserialize)]
struct Wanted {
    /// What the page shows already.
    version: Option<u64>,
    /// Only instances in whose application, id, host, status or zone this stands.
    #[serde(default)]
    filter: String,
}

#[derive(Serialize)]
struct Page {
    version: u64,
    now: i64,
    open: bool,
    preservation: Preservation,
    peers: Vec<String>,
    unreachable: Vec<String>,
    total: usize,
    matching: usize,
    instances: Vec<Row>,
    /// The last registrations and cancellations, if the page does not show them already.
    #[serde(skip_serializing_if = "Option::is_none")]
    recent: Option<Recent>,
}

#[derive(Serialize)]
struct Recent {
    registered: Vec<Remembered>,
    cancelled: Vec<Remembered>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    app: String,
    id: String,
    host: String,
    port: i32,
    status: &'static str,
    overridden: bool,
    zone: Option<String>,
    link: Option<String>,
    up_since: i64,
    /// How many seconds the lease has left; less than none where it is over.
    lease_left_s: i64,
}

impl Row {
    fn of(instance: &Instance, overridden: bool, now: i64) -> Self {
        let over = instance.lease.renewed + 1000 * i64::from(instance.lease.duration_s);
        Self {
            app: instance.app.clone(),
            id: instance.id().to_owned(),
            host: instance.host_name.clone(),
            port: if instance.port.enabled { instance.port.number } else { instance.secure_port.number },
            status: instance.status.name(),
            overridden,
            zone: instance.metadata.get("zone").cloned(),
            link: instance.status_page_url.clone(),
            up_since: instance.lease.up_since,
            lease_left_s: (over - now).div_euclid(1000),
        }
    }

    fn matches(&self, filter: &str) -> bool {
        let texts = [&self.app, &self.id, &self.host].into_iter().chain(&self.zone);
        self.status.to_lowercase().contains(filter)
            || texts.into_iter().any(|text| text.to_lowercase().contains(filter))
    }
}

async fn state(State(directory): State<Arc<Directory>>, Query(wanted): Query<Wanted>) -> impl IntoResponse {
    let now = directory.now();
    // Rows are made when nobody waits for the table any more.
    let (version, preservation, recent, all) = {
        let table = directory.table();
        let recent = (wanted.version != Some(table.version())).then(|| {
            let (registered, cancelled) = table.remembered();
            Recent { registered, cancelled }
        });
        let all: Vec<_> =
            table.ids().map(|(_, leased)| (Arc::clone(&leased.instance), leased.is_overridden())).collect();
        (table.version(), table.preservation(now), recent, all)
    };
    let filter = wanted.filter.to_lowercase();
    let rows = all.iter().map(|(instance, overridden)| Row::of(instance, *overridden, now));
    let (mut matching, mut instances) = (0, Vec::new());
    for row in rows.filter(|row| filter.is_empty() || row.matches(&filter)) {
        matching += 1;
        if instances.len() < ROWS {
            instances.push(row);
        }
    }
    Json(Page {
        version,
        now,
        open: directory.is_open(),
        preservation,
        peers: directory.peers.names(),
        unreachable: directory.peers.unreachable(),
        total: all.len(),
        matching,
        instances,
        recent,
    })
}
