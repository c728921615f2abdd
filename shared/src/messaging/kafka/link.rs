//! How things stand with the brokers: one loop asks them and says when they go and come. Who uses them asks here first,
//! since the clients themselves wait for brokers instead of telling that there are none.

use super::KafkaBrokers;
use crate::messaging::BinderError;
use rdkafka::admin::AdminClient;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};

/// How long a broker may take for one answer.
pub(super) const ANSWER: Duration = Duration::from_secs(3);
/// How often the brokers are asked, and how long it may be until they count as away.
const LOOK: Duration = Duration::from_secs(1);

/// A client that asks, and what it last heard. A clone is the same one.
#[derive(Clone)]
pub(super) struct Link {
    clients: Clients,
    admin: Arc<AdminClient<Said>>,
    /// The topics that were declared; the first is what the brokers are asked for, which is cheaper than all of them.
    topics: Arc<watch::Sender<BTreeSet<String>>>,
    state: watch::Receiver<State>,
    _loop: Arc<AbortOnDropHandle<()>>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("brokers", &self.clients.brokers).finish_non_exhaustive()
    }
}

/// How things stand with the brokers.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// None answers, for this reason.
    Away(Arc<str>),
    /// They answer.
    Up,
}

/// What all clients of a process have in common.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    brokers: KafkaBrokers,
    name: Arc<str>,
}

impl Clients {
    pub(super) fn new(brokers: KafkaBrokers, name: &str) -> Self {
        Self { brokers, name: name.into() }
    }

    /// A client of this `role`, which the broker's logs and tools show.
    pub(super) fn client(&self, role: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.brokers.as_str())
            .set("client.id", format!("{} {role}", self.name))
            // A broker that comes back is found again soon.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("socket.connection.setup.timeout.ms", "5000")
            .set("socket.timeout.ms", "5000")
            .set("socket.keepalive.enable", "true")
            // A topic that somebody deletes is noticed before it is made again.
            .set("topic.metadata.refresh.interval.ms", "1000")
            .set("topic.metadata.propagation.max.ms", "500")
            .set_log_level(RDKafkaLogLevel::Info);
        config
    }
}

/// A client that says by itself only what is for who looks into it.
#[derive(Debug)]
pub(super) struct Said;

impl ClientContext for Said {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "a client has a problem");
    }
}

/// What clients log is for who looks into them: they repeat themselves for as long as a broker is away.
pub(super) fn client_log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    debug!(?level, facility, message, "the client says");
}

impl Link {
    /// Starts to ask.
    pub(super) fn start(clients: Clients) -> anyhow::Result<Self> {
        let admin = Arc::new(clients.client("admin").create_with_context(Said)?);
        let (topics, declared) = watch::channel(BTreeSet::new());
        let begin = format!("KAFKA_BROKERS: no answer from {} yet", clients.brokers);
        let (state, watched) = watch::channel(State::Away(begin.into()));
        let supervised = tokio::spawn(supervise(clients.brokers.clone(), Arc::clone(&admin), declared, state));
        let supervised = Arc::new(AbortOnDropHandle::new(supervised));
        Ok(Self { clients, admin, topics: Arc::new(topics), state: watched, _loop: supervised })
    }

    pub(super) fn clients(&self) -> &Clients {
        &self.clients
    }

    pub(super) fn admin(&self) -> &AdminClient<Said> {
        &self.admin
    }

    pub(super) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Notes that a topic stands.
    pub(super) fn declared(&self, topic: &str) {
        self.topics.send_if_modified(|topics| topics.insert(topic.to_owned()));
    }

    /// Whether a topic has stood before.
    pub(super) fn has_declared(&self, topic: &str) -> bool {
        self.topics.borrow().contains(topic)
    }

    /// Refuses what would only wait.
    pub(super) fn up(&self) -> Result<(), BinderError> {
        match self.state() {
            State::Up => Ok(()),
            State::Away(reason) => Err(BinderError::unavailable("reach Kafka", anyhow::anyhow!("{reason}"))),
        }
    }

    /// As [`Link::up`]; while nothing was heard yet, waits for that.
    pub(super) async fn first_up(&self) -> Result<(), BinderError> {
        // What this receiver has seen is what it began with: it has changed as soon as anything was heard.
        let _ = tokio::time::timeout(ANSWER + LOOK, self.state.clone().changed()).await;
        self.up()
    }

    /// Asks through the client that asks, apart from the threads that must not wait.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        attempt: &str,
        question: impl FnOnce(&AdminClient<Said>) -> KafkaResult<T> + Send + 'static,
    ) -> Result<T, BinderError> {
        let admin = self.admin.clone();
        blocking(attempt, move || question(&admin)).await
    }
}

/// What waits for an answer, apart from the threads that must not.
pub(super) async fn blocking<T: Send + 'static>(
    attempt: &str,
    question: impl FnOnce() -> KafkaResult<T> + Send + 'static,
) -> Result<T, BinderError> {
    let answered = tokio::task::spawn_blocking(question).await;
    let answer = answered.map_err(|ended| BinderError::unavailable(attempt, ended))?;
    answer.map_err(|error| unavailable(attempt, &error))
}

/// The error of a client, whose sources would only say the same again.
pub(super) fn unavailable(attempt: &str, error: &KafkaError) -> BinderError {
    BinderError::unavailable(attempt, anyhow::anyhow!("{error}"))
}

async fn supervise(
    brokers: KafkaBrokers,
    admin: Arc<AdminClient<Said>>,
    topics: watch::Receiver<BTreeSet<String>>,
    state: watch::Sender<State>,
) {
    let mut told = None;
    loop {
        let (asking, topic) = (admin.clone(), topics.borrow().first().cloned());
        let question = move || asking.inner().fetch_metadata(topic.as_deref(), ANSWER).map(drop);
        let silence = match tokio::task::spawn_blocking(question).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(ended) => Some(ended.to_string()),
        };
        if let Some(silence) = silence {
            let reason = format!("KAFKA_BROKERS: no answer from {brokers}: {silence}");
            if told.replace(false) != Some(false) {
                warn!(reason, "Kafka is waited for");
            }
            state.send_replace(State::Away(reason.into()));
        } else {
            if told.replace(true) != Some(true) {
                info!(%brokers, "connected to Kafka");
            }
            state.send_replace(State::Up);
        }
        tokio::time::sleep(LOOK).await;
    }
}
