//! A place of its own for the services of one test: a folder that is removed at the end, a configuration, a binder.

use crate::servers::{found, postgres};
use crate::{Running, SOON, eventually};
use bytes::Bytes;
use serde::Serialize;
use shared::api::Destination;

use shared::messaging::event::Event;
use shared::messaging::ids::MessageIds;
use shared::messaging::{AUDIT_GROUP, Headers, Outgoing, ProducerBinding, Received};
use shared::service::config::{Config, Variables};
use shared::service::platform::Platform;
use shared::service::{Service, ServiceAddress};
use tempfile::TempDir;

/// The surroundings of the services of one test.
#[derive(Debug)]
pub struct Sandbox {
    /// What every service here is given; a test may hand out a changed copy.
    pub platform: Platform,
    _folder: TempDir,
}

impl Sandbox {
    /// As the landscape is without any variable set.
    pub async fn new() -> Self {
        Self::with([]).await
    }

    /// With these variables; `DATA_DIR` is always the sandbox's own.
    pub async fn with<const N: usize>(variables: [(&str, &str); N]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::read(&Variables::from(variables)).unwrap();
        config.data_dir = folder.path().to_owned();
        Self { platform: Platform::open(config, "test").await.unwrap(), _folder: folder }
    }

    /// As the landscape is without any variable set, and once more with PostgreSQL where there is such a server. A
    /// service alone: services that shared the database would share its tables.
    pub async fn on_each_database() -> Vec<Self> {
        let mut sandboxes = vec![Self::new().await];
        if let Some(server) = found(postgres().await) {
            sandboxes.push(Self::with([("DATABASE_URL", server.database().await.as_str())]).await);
        }
        sandboxes
    }

    /// Runs the service that `wire` makes.
    pub async fn start<F>(&self, wire: impl FnOnce(Platform, ServiceAddress) -> F) -> Running
    where
        F: Future<Output = anyhow::Result<Service>>,
    {
        Running::start(self.platform.clone(), wire).await
    }

    /// Publishes a creation as a service of ours does; returns the message id.
    pub async fn create<T: Serialize>(&self, destination: Destination, key: i32, data: T) -> String {
        self.event(destination, &Event::Create { key, data }).await
    }

    /// Publishes a deletion as a service of ours does; returns the message id.
    pub async fn delete(&self, destination: Destination, key: i32) -> String {
        self.event(destination, &Event::<()>::Delete { key }).await
    }

    /// Publishes `body`, whatever it is; returns the message id.
    pub async fn publish(&self, destination: Destination, key: i32, body: impl Into<Bytes>) -> String {
        let (id, headers) = (new_id(destination), Headers::new());
        let message =
            Outgoing { destination: destination.name.to_owned(), id: id.clone(), key, headers, body: body.into() };
        self.send(destination, vec![message]).await;
        id
    }

    /// Publishes messages; they are durable when this returns.
    pub async fn send(&self, destination: Destination, messages: Vec<Outgoing>) {
        let binding = ProducerBinding {
            destination: destination.name.to_owned(),
            partitions: self.platform.config.events.partitions,
            required_groups: vec![destination.group.to_owned()],
        };
        let producer = self.platform.binder.producer(&[binding]).await.unwrap();
        producer.send(messages).await.unwrap();
    }

    /// Everything that was sent to `destination`.
    pub async fn sent(&self, destination: Destination) -> Vec<Received> {
        let mut tail = self.platform.binder.tail(destination.name, None, true).await.unwrap();
        let mut sent = Vec::new();
        while let Some((_, message)) = tail.next().await.unwrap() {
            sent.push(message);
        }
        sent
    }

    /// How many messages were ever sent, whereto ever.
    pub async fn count(&self) -> i64 {
        let topics = self.platform.binder.topics().await.unwrap();
        topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.end).sum()
    }

    /// Waits until every service here has brought all its events to an end.
    pub async fn settled(&self) {
        eventually(SOON, "everything settled", async || {
            let topics = self.platform.binder.topics().await.unwrap();
            let groups = topics.iter().flat_map(|topic| &topic.groups);
            match groups.filter(|at| at.group != AUDIT_GROUP).map(|at| at.lag).sum() {
                0 => Ok(()),
                lag => Err(format!("a lag of {lag}")),
            }
        })
        .await;
    }

    async fn event<T: Serialize>(&self, destination: Destination, event: &Event<T>) -> String {
        let id = new_id(destination);
        let message = event.to_message(destination.name, id.clone(), Headers::new()).unwrap();
        self.send(destination, vec![message]).await;
        id
    }
}

fn new_id(destination: Destination) -> String {
    MessageIds::fresh().id(destination.name, 0)
}
