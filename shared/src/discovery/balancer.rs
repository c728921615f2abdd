//! Which instance gets the next request.
//!
//! - this file: [`Balancer`] over what a source knows, and [`Pick`], which is told what became of it
//! - [`set`]: the instances, their health, and the choice among them; without a clock, without a lock
//! - [`member`]: what is known of one instance
//!
//! Of two random instances (of all, where there are few) the one that costs less is picked: its peak response time times
//! what it has in hand. Costs within a factor of two are no difference: then the one that was picked least lately is next.
//! An instance that fails costs more, and is left alone when it goes on failing, for longer each time; one request then
//! tries whether it is back. When fewer than half are well, health says more of the caller than of them, and all are used.

mod member;
mod set;
#[cfg(test)]
mod tests;

use super::{Endpoint, Endpoints, Source};
use set::{Outcome, Set, Slot};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// How an instance is chosen among those that are well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// The one of two that costs less.
    #[default]
    PeakEwma,
    /// One after the other.
    RoundRobin,
    /// Any.
    Random,
}

/// How a balancer chooses.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Among those that are well.
    pub policy: Policy,
    /// The caller's zone: its instances come first while at least half of them are well.
    pub zone: Option<String>,
}

/// What went wrong with a request. How much each says of the instance is [`Trouble::weight`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// No connection could be made: nobody is there.
    Refused,
    /// It did not answer in time.
    Late,
    /// It broke off, or answered that it has failed (5xx).
    Failed,
}

/// What a balancer calls one instance, as long as it is in the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceId(u64);

/// Chooses among the instances that a source knows; `T` is what the caller keeps for each, such as its connections. A
/// clone is the same balancer.
pub struct Balancer<T> {
    shared: Arc<Shared<T>>,
    _feeding: Arc<AbortOnDropHandle<()>>,
}

struct Shared<T> {
    set: Mutex<Set<T>>,
    /// Whether the source has said anything yet.
    known: watch::Sender<bool>,
    doubts: Arc<Notify>,
}

impl<T: Send + Sync + 'static> Balancer<T> {
    /// A balancer over what `source` knows, in a runtime. `keep` makes what is kept for an instance, once; an instance for
    /// which it makes nothing is left out.
    pub fn new(source: Source, options: Options, keep: impl Fn(&Endpoint) -> Option<T> + Send + 'static) -> Self {
        let Source { mut endpoints, doubts } = source;
        let set = Mutex::new(Set::new(options, fastrand::Rng::new()));
        let shared = Arc::new(Shared { set, known: watch::Sender::new(false), doubts });
        // A source that is gone will never know more.
        if endpoints.has_changed().unwrap_or(true) || !endpoints.borrow().is_empty() {
            shared.learn(&endpoints.borrow_and_update().clone(), &keep);
        }
        let feeding = feed(endpoints, shared.clone(), keep);
        Self { shared, _feeding: Arc::new(AbortOnDropHandle::new(tokio::spawn(feeding))) }
    }

    /// The instance for the next request, which is none of `avoid`. Nothing when there is none.
    pub fn pick(&self, avoid: &[InstanceId]) -> Option<Pick<T>> {
        let now = Instant::now();
        let (slot, instance) = self.shared.set().pick(avoid, now)?;
        Some(Pick { shared: self.shared.clone(), slot: Some(slot), id: slot.id, instance, since: now })
    }

    /// How many instances there are, well or not.
    pub fn len(&self) -> usize {
        self.shared.set().len()
    }

    /// Whether there is no instance.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns when the source has said which instances there are, perhaps that there are none.
    pub async fn known(&self) {
        // The sender is kept here too, so there is no error.
        let _ = self.shared.known.subscribe().wait_for(|known| *known).await;
    }
}

async fn feed<T>(mut endpoints: super::Discovered, shared: Arc<Shared<T>>, keep: impl Fn(&Endpoint) -> Option<T>) {
    while endpoints.changed().await.is_ok() {
        let now = endpoints.borrow_and_update().clone();
        shared.learn(&now, &keep);
    }
    shared.known.send_replace(true);
}

impl<T> Shared<T> {
    fn learn(&self, endpoints: &Endpoints, keep: &impl Fn(&Endpoint) -> Option<T>) {
        self.set().update(endpoints, keep, Instant::now());
        self.known.send_replace(true);
    }

    fn set(&self) -> MutexGuard<'_, Set<T>> {
        // Nothing in there is left half done.
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Balancer<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), _feeding: self._feeding.clone() }
    }
}

impl<T> fmt::Debug for Balancer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balancer").finish_non_exhaustive()
    }
}

/// An instance that has a request in hand. Dropped without a word, the request was given up by the caller, which says
/// nothing of the instance. It may leave the set meanwhile: the request goes on.
pub struct Pick<T> {
    shared: Arc<Shared<T>>,
    slot: Option<Slot>,
    id: InstanceId,
    instance: Arc<T>,
    since: Instant,
}

impl<T> Pick<T> {
    /// What the caller keeps for it.
    pub fn instance(&self) -> &Arc<T> {
        &self.instance
    }

    /// Which one it is.
    pub fn id(&self) -> InstanceId {
        self.id
    }

    /// It has answered.
    pub fn succeeded(mut self) {
        self.end(Outcome::Succeeded);
    }

    /// It has not.
    pub fn failed(mut self, trouble: Trouble) {
        self.end(Outcome::Failed(trouble));
        if trouble == Trouble::Refused {
            self.shared.doubts.notify_one();
        }
    }

    fn end(&mut self, outcome: Outcome) {
        if let Some(slot) = self.slot.take() {
            let now = Instant::now();
            self.shared.set().end(slot, outcome, now.saturating_duration_since(self.since), now);
        }
    }
}

impl<T> Drop for Pick<T> {
    fn drop(&mut self) {
        self.end(Outcome::Cancelled);
    }
}

impl<T> fmt::Debug for Pick<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pick").field("id", &self.id).finish_non_exhaustive()
    }
}
