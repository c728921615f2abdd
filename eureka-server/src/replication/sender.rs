//! Sends what waits for a peer, and learns from what he answers.

use super::item::{Batch, BatchAnswer, Item};
use super::{Change, Peer, Task};
use crate::directory::Directory;
use crate::registry::Origin;
use anyhow::Context;
use http::{HeaderName, StatusCode, header};
use shared::discovery::wire::{Instance, Status};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

/// Names the registry that answers. One that meets itself among its peers stops talking to itself.
pub const REGISTRY: HeaderName = HeaderName::from_static("x-registry-id");
/// How many changes are sent at once, as the original does.
const BATCH: usize = 250;
/// How long the sender leaves a peer alone that is busy, or away.
const BUSY: Duration = Duration::from_secs(1);
const AWAY: Duration = Duration::from_millis(100);
/// What a peer may take to let us in, and to answer.
const CONNECT: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(5);

/// How a batch went.
enum Sent {
    /// Each change has its answer.
    Answered(BatchAnswer),
    /// It can be sent again after this time.
    Later(Duration, anyhow::Error),
    /// The peer is this registry.
    ToMyself,
}

/// A client for all peers.
pub fn client() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().connect_timeout(CONNECT).timeout(ANSWER).build()?)
}

/// Sends to `peer` until `stop`.
pub async fn send(directory: Arc<Directory>, peer: Arc<Peer>, client: reqwest::Client, stop: CancellationToken) {
    let sending = async {
        loop {
            let changes = peer.waiting().take(BATCH, directory.now());
            if changes.is_empty() {
                peer.more.notified().await;
                continue;
            }
            match sent(&directory, &peer, &client, &changes).await {
                Sent::ToMyself => {
                    peer.is_me();
                    info!(peer = peer.name(), "this peer is this registry; nothing is sent to it");
                    return;
                }
                Sent::Answered(answer) => {
                    if peer.answers(true) {
                        info!(peer = peer.name(), "the peer answers");
                    }
                    learn(&directory, &peer, &changes, answer);
                }
                Sent::Later(pause, error) => {
                    if peer.answers(false) {
                        warn!(
                            peer = peer.name(),
                            error = format!("{error:#}"),
                            "the peer does not answer; this is tried until it does"
                        );
                    }
                    peer.waiting().put_back(changes);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = sending => {}
    }
}

async fn sent(directory: &Directory, peer: &Peer, client: &reqwest::Client, changes: &[(u64, Change)]) -> Sent {
    match exchange(directory.peers.me, peer, client, changes).await {
        Ok(sent) => sent,
        Err(error) => {
            // Who let us in and did not answer in time has too much to do.
            let late =
                error.downcast_ref::<reqwest::Error>().is_some_and(|error| error.is_timeout() && !error.is_connect());
            Sent::Later(if late { BUSY } else { AWAY }, error)
        }
    }
}

async fn exchange(me: Uuid, peer: &Peer, client: &reqwest::Client, changes: &[(u64, Change)]) -> anyhow::Result<Sent> {
    let batch = Batch { replication_list: changes.iter().map(|(_, change)| change.item()).collect() };
    let request = client
        .post(format!("{}/peerreplication/batch/", peer.url))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json")
        .body(serde_json::to_vec(&batch)?);
    let answer = request.send().await?;
    if answer.headers().get(&REGISTRY).is_some_and(|id| id.as_bytes() == me.to_string().as_bytes()) {
        return Ok(Sent::ToMyself);
    }
    let status = answer.status();
    if status != StatusCode::OK {
        return Ok(Sent::Later(BUSY, anyhow::anyhow!("{status}")));
    }
    let answer: BatchAnswer = serde_json::from_slice(&answer.bytes().await?).context("the answer cannot be read")?;
    Ok(Sent::Answered(answer))
}

/// Who does not know an instance gets all of it; who knows a newer form is believed.
fn learn(directory: &Directory, peer: &Peer, changes: &[(u64, Change)], answer: BatchAnswer) {
    for ((_, change), answer) in changes.iter().zip(answer.response_list) {
        match (answer.status_code, answer.response_entity) {
            (404, _) if [Task::Heartbeat, Task::StatusUpdate].contains(&change.task) => {
                let (known, now) = (&change.instance, directory.now());
                let found = directory.table().any_instance(&known.app, known.id());
                if let Some(instance) = found {
                    let expires = now + 1000 * i64::from(instance.lease.renewal_interval_s);
                    peer.tell(Change { task: Task::Register, instance, expires });
                }
            }
            (409, Some(newer)) => {
                let (app, id, overridden) = (newer.app.clone(), newer.id().to_owned(), newer.overridden);
                if overridden != Status::Unknown {
                    directory.table().adopt_override(&app, &id, overridden);
                }
                if directory.register(newer, Origin::Peer).is_err() {
                    warn!(app, id, "the registry is full: a newer form of an instance is not taken");
                }
            }
            _ => {}
        }
    }
}

impl Change {
    fn item(&self) -> Item {
        let instance = &self.instance;
        let said = self.task != Task::Cancel;
        Item {
            app_name: instance.app.clone(),
            id: instance.id().to_owned(),
            last_dirty_timestamp: said.then_some(instance.last_dirty),
            overridden_status: said.then(|| instance.overridden.name().to_owned()),
            status: said.then(|| instance.status.name().to_owned()),
            instance_info: (self.task == Task::Register).then(|| Instance::clone(instance)),
            action: self.task,
        }
    }
}
