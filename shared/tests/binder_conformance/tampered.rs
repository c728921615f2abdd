//! A binder that is held up, or fails, at a chosen step, and that keeps a list of the copies it passed on.

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use shared::database::Database;
use shared::messaging::{
    Batch, Binder, BinderError, BinderHealth, Consumer, ConsumerBinding, Copied, DeadLetter, DeadLetters, Partition,
    Position, Producer, ProducerBinding, Tail, Topic,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Where a service stands with its broker.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A batch came, which the service has not seen yet.
    Received,
    /// A copy of a dead letter is to be kept.
    CopyAsked(DeadLetter),
    /// The broker has the copy, which the service does not know yet.
    CopyKept,
    /// A batch is to be settled.
    SettleAsked,
    /// It is settled, or the partition is lost, which the service does not know yet.
    Settled,
}

/// What happens at a step; an error is what the service gets in place of the real answer.
pub(crate) type At = Arc<dyn Fn(Step) -> BoxFuture<'static, Result<(), BinderError>> + Send + Sync>;

/// A binder that does what `at` says at each step.
pub(crate) struct Tampered {
    inner: Arc<dyn Binder>,
    at: At,
    copies: Arc<Mutex<Vec<DeadLetter>>>,
}

impl Tampered {
    pub(crate) fn new<F>(inner: Arc<dyn Binder>, at: impl Fn(Step) -> F + Send + Sync + 'static) -> Arc<Self>
    where
        F: Future<Output = Result<(), BinderError>> + Send + 'static,
    {
        Arc::new(Self { inner, at: Arc::new(move |step| Box::pin(at(step))), copies: Arc::default() })
    }

    /// The copies that the broker was given.
    pub(crate) fn copies(&self) -> Vec<DeadLetter> {
        self.copies.lock().unwrap().clone()
    }
}

#[async_trait]
impl Binder for Tampered {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn producer(&self, bindings: &[ProducerBinding]) -> Result<Box<dyn Producer>, BinderError> {
        self.inner.producer(bindings).await
    }

    async fn consumer(&self, binding: &ConsumerBinding, database: &Database) -> Result<Box<dyn Consumer>, BinderError> {
        let inner = self.inner.consumer(binding, database).await?;
        Ok(Box::new(TamperedConsumer { inner, at: self.at.clone() }))
    }

    async fn dead_letter(&self, letter: &DeadLetter) -> Result<Copied, BinderError> {
        (self.at)(Step::CopyAsked(letter.clone())).await?;
        let copied = self.inner.dead_letter(letter).await?;
        self.copies.lock().unwrap().push(letter.clone());
        (self.at)(Step::CopyKept).await?;
        Ok(copied)
    }

    async fn dead_letters(&self, binding: &ConsumerBinding) -> Result<Option<Box<dyn DeadLetters>>, BinderError> {
        self.inner.dead_letters(binding).await
    }

    async fn health(&self) -> BinderHealth {
        self.inner.health().await
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

struct TamperedConsumer {
    inner: Box<dyn Consumer>,
    at: At,
}

#[async_trait]
impl Consumer for TamperedConsumer {
    async fn assigned(&mut self) -> Result<Box<dyn Partition>, BinderError> {
        let inner = self.inner.assigned().await?;
        Ok(Box::new(TamperedPartition { inner, at: self.at.clone(), received: None }))
    }

    fn keeps(&self) -> Duration {
        self.inner.keeps()
    }

    async fn leave(self: Box<Self>) {
        self.inner.leave().await;
    }
}

struct TamperedPartition {
    inner: Box<dyn Partition>,
    at: At,
    /// What came and has not been handed out.
    received: Option<(Batch, JoinHandle<Result<(), BinderError>>)>,
}

#[async_trait]
impl Partition for TamperedPartition {
    fn number(&self) -> u32 {
        self.inner.number()
    }

    async fn count(&self) -> Result<u32, BinderError> {
        self.inner.count().await
    }

    async fn receive(&mut self) -> Result<Option<Batch>, BinderError> {
        // A receive that is dropped at this step has lost nothing: the next one goes on waiting there.
        let (_, step) = match &mut self.received {
            Some(received) => received,
            none => {
                let Some(batch) = self.inner.receive().await? else { return Ok(None) };
                none.insert((batch, tokio::spawn((self.at)(Step::Received))))
            }
        };
        let passed = step.await.unwrap();
        let received = self.received.take();
        passed.map(|()| received.map(|(batch, _)| batch))
    }

    async fn settle(&mut self, upto: Position) -> Result<(), BinderError> {
        (self.at)(Step::SettleAsked).await?;
        let settled = self.inner.settle(upto).await;
        (self.at)(Step::Settled).await?;
        settled
    }

    async fn lost(&self) {
        self.inner.lost().await;
    }

    fn caught_up(&self) -> bool {
        self.inner.caught_up()
    }

    async fn release(self: Box<Self>) {
        self.inner.release().await;
    }
}

/// Where somebody is held up until it is opened, and seen standing.
#[derive(Clone)]
pub(crate) struct Gate(watch::Sender<(usize, bool)>);

impl Gate {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new((0, false)))
    }

    /// A gate that holds nobody up and only sees who passes.
    pub(crate) fn opened() -> Self {
        Self(watch::Sender::new((0, true)))
    }

    /// Arrives, and goes on when the gate is open.
    pub(crate) async fn pass(&self) {
        self.0.send_modify(|(arrived, _)| *arrived += 1);
        self.0.subscribe().wait_for(|(_, open)| *open).await.unwrap();
    }

    /// Waits for the first who arrives.
    pub(crate) async fn reached(&self) {
        self.reached_by(1).await;
    }

    /// Waits for this number of arrivals.
    pub(crate) async fn reached_by(&self, count: usize) {
        self.0.subscribe().wait_for(|(arrived, _)| *arrived >= count).await.unwrap();
    }

    pub(crate) fn open(&self) {
        self.0.send_modify(|(_, open)| *open = true);
    }
}
