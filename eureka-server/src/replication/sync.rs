//! What a registry asks its peers when it starts, before it tells anything: an empty answer would wipe its clients.

use super::Peer;
use crate::directory::Directory;
use crate::registry::Origin;
use anyhow::{Context, ensure};
use http::header;
use shared::discovery::wire::Applications;
use shared::discovery::wire::read::Rooted;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long to wait before peers are asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Takes over what the peers know, then opens: at once if one of them knew anybody or there is somebody already, else
/// after the time that the settings give.
pub async fn sync(directory: &Directory, client: &reqwest::Client, stop: &CancellationToken) {
    let until = Instant::now() + directory.settings.wait_when_empty;
    let asking = async {
        loop {
            for peer in directory.peers.iter() {
                match take_over(directory, peer, client).await {
                    Ok(count) => info!(peer = peer.name(), count, "took over what the peer knows"),
                    Err(error) => warn!(peer = peer.name(), error = format!("{error:#}"), "the peer tells nothing"),
                }
            }
            if !directory.table().is_empty() || Instant::now() >= until {
                return;
            }
            tokio::time::sleep_until(until.min(Instant::now() + AGAIN)).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = asking => directory.open(),
    }
}

async fn take_over(directory: &Directory, peer: &Peer, client: &reqwest::Client) -> anyhow::Result<usize> {
    let request = client.get(format!("{}/apps/", peer.url)).header(header::ACCEPT, "application/json");
    let answer = request.send().await?;
    let status = answer.status();
    ensure!(status.is_success(), "{status}");
    let body = answer.bytes().await?;
    let read: Rooted<Applications> = serde_json::from_slice(&body).context("the answer cannot be read")?;
    let instances: Vec<_> = read.instance.applications.into_iter().flat_map(|it| it.instances).collect();
    let count = instances.len();
    for instance in instances {
        let (app, id) = (instance.app.clone(), instance.id().to_owned());
        if directory.register(instance, Origin::Peer).is_err() {
            warn!(app, id, "the registry is full: an instance that a peer knows is not taken in");
        }
    }
    Ok(count)
}
