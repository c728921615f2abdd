//! A connection that is supervised: one loop connects, sees the loss, and connects again with growing pauses. Who uses
//! it asks for what is there now and never waits for more.

use super::stream::{self, Room, Share};
use super::url::RabbitUrl;
use crate::messaging::BinderError;
use crate::messaging::retry::Waiting;
use futures_util::StreamExt;
use lapin::{Channel, Connection, ConnectionProperties, Event};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

/// How long the broker may take for one answer, or for the handshake.
pub(super) const ANSWER: Duration = Duration::from_secs(5);
/// After which time a connection counts as a good one.
const STEADY: Duration = Duration::from_secs(5);
/// How often the connection is looked at, besides its own events.
const LOOK: Duration = Duration::from_millis(500);

/// A supervised connection. A clone is the same one; the last that is dropped closes it.
#[derive(Debug, Clone)]
pub(super) struct Link {
    state: watch::Receiver<State>,
    blocked: watch::Receiver<Option<String>>,
    room: Room,
    _loop: Arc<AbortOnDropHandle<()>>,
}

/// How things stand with the broker.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// There is no connection, for this reason.
    Away(Arc<str>),
    /// There is this one.
    Up(Arc<Connection>),
}

impl Link {
    /// Starts to connect, under a name that the management page shows.
    pub(super) fn start(url: RabbitUrl, name: String) -> Self {
        let (state, watched) = watch::channel(State::Away("not connected yet".into()));
        let (blocked, is_blocked) = watch::channel(None);
        let room = Room::default();
        let supervised = tokio::spawn(supervise(url, name, room.clone(), state, blocked));
        Self { state: watched, blocked: is_blocked, room, _loop: Arc::new(AbortOnDropHandle::new(supervised)) }
    }

    /// Counts what will be delivered on `channel`, so that no more is read than there is room for.
    pub(super) fn share(&self, channel: &Channel) -> Share {
        self.room.share(channel.id())
    }

    pub(super) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Why the broker takes no messages on this connection, where it does not.
    pub(super) fn blocked(&self) -> Option<String> {
        self.blocked.borrow().clone()
    }

    /// Resolves when the broker takes no messages on this connection.
    pub(super) async fn until_blocked(&self) -> String {
        let mut blocked = self.blocked.clone();
        let reason = blocked.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        match reason {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }

    /// The connection that is there now.
    pub(super) fn connection(&self) -> Result<Arc<Connection>, BinderError> {
        match self.state() {
            State::Up(connection) if connection.status().connected() => Ok(connection),
            State::Up(_) => Err(away("the connection to RabbitMQ was lost")),
            State::Away(reason) => Err(away(&reason)),
        }
    }

    /// As [`Link::connection`]; while a start is under way, waits a moment for it.
    pub(super) async fn first_connection(&self) -> Result<Arc<Connection>, BinderError> {
        let connected = async {
            let mut state = self.state.clone();
            let _ = state.wait_for(|state| matches!(state, State::Up(_))).await;
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), connected).await;
        self.connection()
    }

    /// Resolves when `connection` is no longer the one that is there.
    pub(super) async fn lost(&self, connection: &Arc<Connection>) {
        let other = |state: &State| !matches!(state, State::Up(now) if Arc::ptr_eq(now, connection));
        let _ = self.state.clone().wait_for(other).await;
    }
}

/// A new channel, or why there is none.
pub(super) async fn channel(connection: &Connection) -> Result<Channel, BinderError> {
    answer("open a channel", connection.create_channel()).await
}

/// What the broker answers, in time.
pub(super) async fn answer<T>(attempt: &str, asked: impl Future<Output = lapin::Result<T>>) -> Result<T, BinderError> {
    in_time(attempt, asked).await?.map_err(|error| BinderError::unavailable(attempt, error))
}

/// As [`answer`], where a refusal is an answer too.
pub(super) async fn in_time<T>(
    attempt: &str,
    asked: impl Future<Output = lapin::Result<T>>,
) -> Result<lapin::Result<T>, BinderError> {
    tokio::time::timeout(ANSWER, asked).await.map_err(|elapsed| BinderError::unavailable(attempt, elapsed))
}

fn away(reason: &str) -> BinderError {
    BinderError::unavailable("reach RabbitMQ", anyhow::anyhow!("{reason}"))
}

async fn supervise(
    url: RabbitUrl,
    name: String,
    room: Room,
    state: watch::Sender<State>,
    blocked: watch::Sender<Option<String>>,
) {
    let (mut waiting, mut told): (Option<Waiting>, bool) = (None, false);
    loop {
        match connect(&url, &name, room.clone()).await {
            Ok(connection) => {
                info!(connection = name, broker = %url, "connected to RabbitMQ");
                told = false;
                let since = Instant::now();
                let connection = Arc::new(connection);
                state.send_replace(State::Up(connection.clone()));
                let reason = follow(&connection, &name, &room, &blocked).await;
                warn!(connection = name, broker = %url, reason, "the connection to RabbitMQ was lost");
                blocked.send_replace(None);
                state.send_replace(State::Away(format!("the connection to RabbitMQ was lost: {reason}").into()));
                // One that is lost again and again is waited for like one that cannot be made.
                if since.elapsed() > STEADY {
                    waiting = None;
                }
                tokio::time::sleep(waiting.get_or_insert_default().pause()).await;
            }
            Err(error) => {
                let reason = format!("RABBITMQ_URL: cannot connect to {url}: {error}");
                if !std::mem::replace(&mut told, true) {
                    warn!(connection = name, reason, "RabbitMQ is waited for");
                }
                state.send_replace(State::Away(reason.into()));
                tokio::time::sleep(waiting.get_or_insert_default().pause()).await;
            }
        }
    }
}

async fn connect(url: &RabbitUrl, name: &str, room: Room) -> anyhow::Result<Connection> {
    let properties = ConnectionProperties::default()
        .with_client_property("product".into(), "product-composite landscape".into())
        .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into())
        .with_connection_name(name.into());
    Ok(tokio::time::timeout(ANSWER, stream::connect(url.amqp(), properties, room)).await??)
}

/// Follows a connection until it ends; returns why it did.
async fn follow(connection: &Connection, name: &str, room: &Room, blocked: &watch::Sender<Option<String>>) -> String {
    let mut events = std::pin::pin!(connection.events_listener());
    let mut last = "it was closed".to_owned();
    loop {
        // Events may be missed or come before the state has changed: the state decides.
        match tokio::time::timeout(LOOK, events.next()).await {
            Ok(Some(Event::ConnectionBlocked(reason))) => {
                warn!(connection = name, reason, "RabbitMQ takes no messages");
                blocked.send_replace(Some(reason));
            }
            Ok(Some(Event::ConnectionUnblocked)) => {
                info!(connection = name, "RabbitMQ takes messages again");
                blocked.send_replace(None);
            }
            Ok(Some(Event::Error(error))) => last = error.to_string(),
            Ok(Some(_)) | Err(_) => {}
            Ok(None) => return last,
        }
        if !connection.status().connected() {
            return last;
        }
        room.tick();
    }
}
