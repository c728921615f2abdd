//! A binder whose producer fails as a test says.

use async_trait::async_trait;
use shared::database::Database;
use shared::messaging::{
    Binder, BinderError, BinderHealth, Consumer, ConsumerBinding, Copied, DeadLetter, DeadLetters, Outgoing, Producer,
    ProducerBinding, Tail, Topic,
};
use std::sync::{Arc, Mutex};

/// What is wrong with the broker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Trouble {
    /// Nothing.
    None,
    /// It cannot be reached.
    Away,
    /// It can be reached, and does not answer.
    Silent,
    /// It takes what it is sent, and the answer is lost.
    AnswerLost,
    /// It refuses what it is sent.
    Refusing,
}

/// A binder in trouble. A clone is in the same.
#[derive(Clone)]
pub(crate) struct Broken {
    inner: Arc<dyn Binder>,
    trouble: Arc<Mutex<Trouble>>,
}

impl Broken {
    pub(crate) fn new(inner: Arc<dyn Binder>, trouble: Trouble) -> Self {
        Self { inner, trouble: Arc::new(Mutex::new(trouble)) }
    }

    pub(crate) fn set(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap() = trouble;
    }

    fn trouble(&self) -> Trouble {
        *self.trouble.lock().unwrap()
    }

    async fn reach(&self) -> Result<(), BinderError> {
        match self.trouble() {
            Trouble::None | Trouble::AnswerLost => Ok(()),
            Trouble::Away => Err(away()),
            Trouble::Silent => std::future::pending().await,
            Trouble::Refusing => Err(BinderError::refused("do it", anyhow::anyhow!("secret"))),
        }
    }
}

fn away() -> BinderError {
    BinderError::unavailable("reach the broker", anyhow::anyhow!("secret"))
}

#[async_trait]
impl Binder for Broken {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn producer(&self, bindings: &[ProducerBinding]) -> Result<Box<dyn Producer>, BinderError> {
        self.reach().await?;
        let inner = self.inner.producer(bindings).await?;
        Ok(Box::new(BrokenProducer { inner, broker: self.clone() }))
    }

    async fn consumer(&self, binding: &ConsumerBinding, database: &Database) -> Result<Box<dyn Consumer>, BinderError> {
        self.inner.consumer(binding, database).await
    }

    async fn dead_letter(&self, letter: &DeadLetter) -> Result<Copied, BinderError> {
        self.inner.dead_letter(letter).await
    }

    async fn dead_letters(&self, binding: &ConsumerBinding) -> Result<Option<Box<dyn DeadLetters>>, BinderError> {
        self.inner.dead_letters(binding).await
    }

    async fn health(&self) -> BinderHealth {
        let up = self.trouble() == Trouble::None;
        BinderHealth { up, details: Vec::new() }
    }

    async fn topics(&self) -> Result<Vec<Topic>, BinderError> {
        self.inner.topics().await
    }

    async fn tail(
        &self,
        destination: &str,
        partition: Option<u32>,
        from_beginning: bool,
    ) -> Result<Box<dyn Tail>, BinderError> {
        self.inner.tail(destination, partition, from_beginning).await
    }
}

struct BrokenProducer {
    inner: Box<dyn Producer>,
    broker: Broken,
}

#[async_trait]
impl Producer for BrokenProducer {
    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), BinderError> {
        self.broker.reach().await?;
        self.inner.send(messages).await?;
        if self.broker.trouble() == Trouble::AnswerLost { Err(away()) } else { Ok(()) }
    }
}
