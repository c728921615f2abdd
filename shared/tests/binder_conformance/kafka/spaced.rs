//! A binder that knows no names but those of a space, and does not show what they begin with.

use super::space::spaced;
use async_trait::async_trait;
use shared::database::Database;
use shared::messaging::kafka::KafkaBinder;
use shared::messaging::{
    Binder, BinderError, BinderHealth, Consumer, ConsumerBinding, Copied, DeadLetter, DeadLetters, Outgoing, Producer,
    ProducerBinding, Tail, Topic, TopicGroup,
};

/// A binder in a space.
pub(crate) struct Spaced {
    space: String,
    inner: KafkaBinder,
}

impl Spaced {
    pub(crate) fn new(space: &str, inner: KafkaBinder) -> Self {
        Self { space: space.to_owned(), inner }
    }

    fn of(&self, name: &str) -> String {
        spaced(&self.space, name)
    }

    /// A name as trials know it, if it is one of this space.
    fn known(&self, name: &str) -> Option<String> {
        Some(name.strip_prefix(&self.space)?.strip_prefix('.')?.to_owned())
    }
}

#[async_trait]
impl Binder for Spaced {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn producer(&self, bindings: &[ProducerBinding]) -> Result<Box<dyn Producer>, BinderError> {
        let spaced = |binding: &ProducerBinding| ProducerBinding {
            destination: self.of(&binding.destination),
            partitions: binding.partitions,
            required_groups: binding.required_groups.iter().map(|group| self.of(group)).collect(),
        };
        let inner = self.inner.producer(&bindings.iter().map(spaced).collect::<Vec<_>>()).await?;
        Ok(Box::new(SpacedProducer { space: self.space.clone(), inner }))
    }

    async fn consumer(&self, binding: &ConsumerBinding, database: &Database) -> Result<Box<dyn Consumer>, BinderError> {
        let (destination, group) = (self.of(&binding.destination), self.of(&binding.group));
        self.inner.consumer(&ConsumerBinding { destination, group, ..binding.clone() }, database).await
    }

    async fn dead_letter(&self, letter: &DeadLetter) -> Result<Copied, BinderError> {
        let (destination, group) = (self.of(&letter.destination), self.of(&letter.group));
        self.inner.dead_letter(&DeadLetter { destination, group, ..letter.clone() }).await
    }

    async fn dead_letters(&self, binding: &ConsumerBinding) -> Result<Option<Box<dyn DeadLetters>>, BinderError> {
        let (destination, group) = (self.of(&binding.destination), self.of(&binding.group));
        self.inner.dead_letters(&ConsumerBinding { destination, group, ..binding.clone() }).await
    }

    async fn health(&self) -> BinderHealth {
        self.inner.health().await
    }

    async fn topics(&self) -> Result<Vec<Topic>, BinderError> {
        let group = |at: TopicGroup| Some(TopicGroup { group: self.known(&at.group)?, ..at });
        let topic = |topic: Topic| {
            let groups = topic.groups.into_iter().filter_map(group).collect();
            Some(Topic { name: self.known(&topic.name)?, groups, ..topic })
        };
        Ok(self.inner.topics().await?.into_iter().filter_map(topic).collect())
    }

    async fn tail(
        &self,
        destination: &str,
        partition: Option<u32>,
        from_beginning: bool,
    ) -> Result<Box<dyn Tail>, BinderError> {
        self.inner.tail(&self.of(destination), partition, from_beginning).await
    }
}

struct SpacedProducer {
    space: String,
    inner: Box<dyn Producer>,
}

#[async_trait]
impl Producer for SpacedProducer {
    async fn send(&self, mut messages: Vec<Outgoing>) -> Result<(), BinderError> {
        for message in &mut messages {
            message.destination = spaced(&self.space, &message.destination);
        }
        self.inner.send(messages).await
    }
}
