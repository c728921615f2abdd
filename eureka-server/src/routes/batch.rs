//! What peers send: many changes at once, each answered as a request of its own would be.

use super::ok;
use super::request::body;
use super::writes::valid;
use crate::directory::{Directory, Override};
use crate::registry::{Origin, Renewed};
use crate::replication::Task;
use crate::replication::item::{Answer, Batch, BatchAnswer, Item};
use crate::replication::sender::REGISTRY;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use shared::discovery::wire::Status;
use tracing::warn;

/// As many instances as a peer sends at once, each as large as it may be alone, is more than any peer sends.
const BATCH: usize = 4 << 20;

pub(super) async fn batch(directory: &Directory, request: Request) -> Response {
    let body = match body(request, BATCH).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let batch: Batch = match serde_json::from_slice(&body) {
        Ok(batch) => batch,
        Err(error) => {
            warn!(%error, "what a peer sent cannot be read");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let answers = batch.replication_list.into_iter().map(|item| apply(directory, item));
    let answer = BatchAnswer { response_list: answers.collect() };
    match serde_json::to_string(&answer) {
        Ok(body) => ([(REGISTRY, directory.peers.me.to_string())], ok("application/json", body)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn apply(directory: &Directory, item: Item) -> Answer {
    let (app, id, last_dirty) = (item.app_name.to_uppercase(), item.id, item.last_dirty_timestamp);
    let status = item.status.as_deref().and_then(Status::named);
    let found = |was_there| plain(if was_there { 200 } else { 404 });
    match item.action {
        Task::Heartbeat => match directory.renew(&app, &id, last_dirty, Origin::Peer) {
            Renewed::Yes => plain(200),
            Renewed::Unknown => {
                let said = item.overridden_status.as_deref().and_then(Status::named);
                if let Some(said) = said.filter(|said| *said != Status::Unknown) {
                    directory.table().adopt_override(&app, &id, said);
                }
                plain(404)
            }
            Renewed::Newer(instance) => Answer { status_code: 409, response_entity: Some((*instance).clone()) },
        },
        // The original answers 200 whatever becomes of it, and a sender could do nothing about another answer.
        Task::Register => {
            let valid = item.instance_info.filter(|instance| valid(instance, &app).is_ok());
            if valid.is_some_and(|instance| directory.register(instance, Origin::Peer).is_err()) {
                warn!(app, id, "the registry is full: what a peer registered is not taken in");
            }
            plain(200)
        }
        Task::Cancel => found(directory.cancel(&app, &id, Origin::Peer)),
        Task::StatusUpdate | Task::DeleteStatusOverride
            if directory.table().instance(&app, &id, directory.now()).is_none() =>
        {
            plain(404)
        }
        Task::StatusUpdate => match status {
            None => plain(500),
            Some(status) => {
                found(directory.override_status((&app, &id), Override::Set(status), last_dirty, Origin::Peer))
            }
        },
        Task::DeleteStatusOverride => {
            let status = status.unwrap_or(Status::Unknown);
            found(directory.override_status((&app, &id), Override::Remove(status), last_dirty, Origin::Peer))
        }
    }
}

fn plain(status_code: u16) -> Answer {
    Answer { status_code, response_entity: None }
}
