//! The binder that needs no server: a partitioned log in one SQLite file, shared by all processes that open it.
//!
//! - this file: the binder
//! - [`log`]: the tables and their statements
//! - [`writer`]: the one writer of a process; concurrent sends share a commit
//! - [`consumer`]: partitions as they are read
//! - [`ownership`]: which partitions are ours, by kernel file locks
//!
//! Messages stay until they are old *and* every group that holds them has settled them. The audit group holds them
//! from its first reader on; without one, they stay for their age.

mod consumer;
mod log;
mod ownership;
mod writer;

use super::{
    AUDIT_GROUP, Binder, BinderError, BinderHealth, Consumer, ConsumerBinding, Copied, DeadLetter, DeadLetters,
    Outgoing, Producer, ProducerBinding, Received, Tail, Topic,
};
use crate::database::Database;
use anyhow::Context;
use async_trait::async_trait;
use log::Log;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use writer::{Declaration, Writer};

/// The embedded binder. A clone is the same log.
#[derive(Debug, Clone)]
pub struct EmbeddedBinder {
    log: Arc<Log>,
    writer: Writer,
    locks: PathBuf,
}

impl EmbeddedBinder {
    /// Opens the log in `folder`, or makes it. Settled messages older than `retention` are forgotten.
    pub async fn open(folder: &Path, retention: Duration) -> anyhow::Result<Self> {
        let locks = folder.join("locks");
        tokio::fs::create_dir_all(&locks).await.with_context(|| format!("cannot make {}", locks.display()))?;
        let path = folder.join("events.db");
        let log = Log::open(&path).await.with_context(|| format!("cannot open the log {}", path.display()))?;
        let log = Arc::new(log);
        Ok(Self { writer: Writer::start(log.clone(), retention), log, locks })
    }
}

#[async_trait]
impl Binder for EmbeddedBinder {
    fn name(&self) -> &'static str {
        "embedded"
    }

    async fn producer(&self, bindings: &[ProducerBinding]) -> Result<Box<dyn Producer>, BinderError> {
        for binding in bindings {
            let mut groups = binding.required_groups.clone();
            groups.push(AUDIT_GROUP.to_owned());
            let groups = groups.into_iter().map(|name| (name != AUDIT_GROUP, name));
            self.declare(&binding.destination, binding.partitions, groups.collect(), true).await?;
        }
        Ok(Box::new(EmbeddedProducer(self.writer.clone())))
    }

    async fn consumer(&self, binding: &ConsumerBinding, _: &Database) -> Result<Box<dyn Consumer>, BinderError> {
        let groups = vec![(true, binding.group.clone())];
        let topic = self.declare(&binding.destination, binding.partitions, groups, false).await?;
        let ownership = ownership::Ownership::new(&self.locks, binding)
            .map_err(|error| BinderError::unavailable(format!("join {}", binding.group), error))?;
        Ok(Box::new(consumer::EmbeddedConsumer::new(
            topic,
            binding.clone(),
            ownership,
            self.log.clone(),
            self.writer.clone(),
        )))
    }

    async fn dead_letter(&self, _: &DeadLetter) -> Result<Copied, BinderError> {
        // The letters in the service's database are as durable as this log would be: there is no second copy.
        Ok(Copied::Nowhere)
    }

    async fn dead_letters(&self, _: &ConsumerBinding) -> Result<Option<Box<dyn DeadLetters>>, BinderError> {
        Ok(None)
    }

    async fn health(&self) -> BinderHealth {
        let checked = async {
            self.writer.check().await?;
            self.log.version().await.map_err(anyhow::Error::from)
        };
        match checked.await {
            Ok(version) => BinderHealth { up: true, details: vec![("version", Value::from(version))] },
            Err(error) => BinderHealth { up: false, details: vec![("error", Value::from(format!("{error:#}")))] },
        }
    }

    async fn topics(&self) -> Result<Vec<Topic>, BinderError> {
        self.log.topics().await.map_err(|error| BinderError::unavailable("list the topics", error))
    }

    async fn tail(
        &self,
        destination: &str,
        partition: Option<u32>,
        from_beginning: bool,
    ) -> Result<Box<dyn Tail>, BinderError> {
        let look = || format!("look into {destination}");
        let topics = self.log.topics().await.map_err(|error| BinderError::unavailable(look(), error))?;
        let topic = topics.into_iter().find(|topic| topic.name == destination);
        let topic = topic.ok_or_else(|| BinderError::refused(look(), anyhow::anyhow!("there is no such topic")))?;
        let mut next: Vec<(u32, i64)> = topic
            .partitions
            .iter()
            .filter(|at| partition.is_none_or(|wanted| wanted == at.partition))
            .map(|at| (at.partition, if from_beginning { at.first } else { at.end }))
            .collect();
        if next.is_empty() {
            return Err(BinderError::refused(look(), anyhow::anyhow!("there is no such partition")));
        }
        next.sort_unstable();
        let id = self.log.topic_id(destination).await.map_err(|error| BinderError::unavailable(look(), error))?;
        Ok(Box::new(EmbeddedTail { log: self.log.clone(), topic: id, next, read: Vec::new().into_iter() }))
    }
}

impl EmbeddedBinder {
    async fn declare(
        &self,
        destination: &str,
        partitions: u32,
        groups: Vec<(bool, String)>,
        decides: bool,
    ) -> Result<i64, BinderError> {
        let attempt = || format!("declare {destination}");
        let plain = |name: &str| {
            let named = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
            named && !name.is_empty() && !name.starts_with('.')
        };
        // Names become file names of locks.
        if let Some(name) =
            [destination].into_iter().chain(groups.iter().map(|(_, name)| name.as_str())).find(|name| !plain(name))
        {
            let source =
                anyhow::anyhow!("the name {name:?} has other characters than letters, digits, '.', '_' and '-'");
            return Err(BinderError::refused(attempt(), source));
        }
        let declaration =
            Declaration { destination: destination.to_owned(), partitions: partitions.max(1), groups, decides };
        self.writer.declare(declaration).await.map_err(|error| BinderError::unavailable(attempt(), error))
    }
}

struct EmbeddedProducer(Writer);

#[async_trait]
impl Producer for EmbeddedProducer {
    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), BinderError> {
        self.0.append(messages).await.map_err(|error| BinderError::unavailable("write to the log", error))
    }
}

struct EmbeddedTail {
    log: Arc<Log>,
    topic: i64,
    next: Vec<(u32, i64)>,
    read: std::vec::IntoIter<(u32, Received)>,
}

#[async_trait]
impl Tail for EmbeddedTail {
    async fn next(&mut self) -> Result<Option<(u32, Received)>, BinderError> {
        if self.read.len() == 0 {
            let mut read = Vec::new();
            for (partition, next) in &mut self.next {
                let messages = self.log.read(self.topic, *partition, *next, 100).await;
                let messages = messages.map_err(|error| BinderError::unavailable("read the log", error))?;
                if let Some(last) = messages.last() {
                    *next = last.position.0 + 1;
                }
                read.extend(messages.into_iter().map(|message| (*partition, message)));
            }
            // What is there now is shown in the order in which it was sent.
            read.sort_by_key(|(_, message)| message.timestamp);
            self.read = read.into_iter();
        }
        Ok(self.read.next())
    }
}
