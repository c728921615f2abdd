//! Telling the other registries, as Netflix's `PeerEurekaNode` does, in either role: an original can be a peer.
//!
//! - this file: what waits for each peer
//! - [`item`]: one change on the wire
//! - [`sender`]: sends it, and learns from what a peer answers
//! - [`sync`]: what a registry asks its peers when it starts
//!
//! Evictions are told to nobody: each registry evicts by itself.

pub mod item;
pub mod sender;
pub mod sync;

use serde::{Deserialize, Serialize};
use shared::discovery::wire::Instance;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use uuid::Uuid;

/// What may wait for a peer: when he is back, a renewal tells him whom he does not know.
const WAITING: usize = 10_000;
/// How long a change that is no renewal waits for its peer, in milliseconds.
const PATIENCE: i64 = 30_000;

/// What happened to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Task {
    /// It renewed.
    Heartbeat,
    /// It registered.
    Register,
    /// It left.
    Cancel,
    /// An operator set its status.
    StatusUpdate,
    /// An operator took that back.
    DeleteStatusOverride,
}

/// The other registries.
#[derive(Debug)]
pub struct Peers {
    peers: Vec<Arc<Peer>>,
    /// What this registry is called in its answers to peers, so that it knows itself among them.
    pub me: Uuid,
}

/// Another registry, and what waits for it.
#[derive(Debug)]
pub struct Peer {
    /// Up to `/eureka`, without a slash at the end.
    url: String,
    waiting: Mutex<Waiting>,
    more: Notify,
    reachable: AtomicBool,
    /// It turned out to be this registry.
    me: AtomicBool,
}

/// Changes in their order; of equal ones of an instance the last.
#[derive(Debug, Default)]
struct Waiting {
    changes: BTreeMap<u64, Change>,
    last: HashMap<Key, u64>,
    count: u64,
}

type Key = (Task, String, String);

/// A change that waits.
#[derive(Debug, Clone)]
struct Change {
    task: Task,
    instance: Arc<Instance>,
    expires: i64,
}

impl Change {
    fn key(&self) -> Key {
        (self.task, self.instance.app.clone(), self.instance.id().to_owned())
    }
}

impl Peers {
    /// The registries at `urls`; nothing is sent yet.
    pub fn new(urls: &[String]) -> Self {
        let peers = urls.iter().map(|url| Arc::new(Peer::new(url))).collect();
        Self { peers, me: Uuid::new_v4() }
    }

    /// Whether there is any.
    pub fn any(&self) -> bool {
        !self.peers.is_empty()
    }

    /// Each.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.peers.iter()
    }

    /// Has `task` told of `instance` to each.
    pub fn tell(&self, task: Task, instance: &Arc<Instance>, now: i64) {
        let patience = match task {
            Task::Heartbeat | Task::Register => 1000 * i64::from(instance.lease.renewal_interval_s),
            _ => PATIENCE,
        };
        for peer in &self.peers {
            peer.tell(Change { task, instance: Arc::clone(instance), expires: now + patience });
        }
    }

    fn others(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.peers.iter().filter(|peer| !peer.me.load(Ordering::Relaxed))
    }

    /// Their addresses, for people.
    pub fn names(&self) -> Vec<String> {
        self.others().map(|peer| peer.name()).collect()
    }

    /// Those that answered last time.
    pub fn reachable(&self) -> Vec<String> {
        self.others().filter(|peer| peer.is_reachable()).map(|peer| peer.name()).collect()
    }

    /// The others.
    pub fn unreachable(&self) -> Vec<String> {
        self.others().filter(|peer| !peer.is_reachable()).map(|peer| peer.name()).collect()
    }
}

impl Peer {
    fn new(url: &str) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            waiting: Mutex::default(),
            more: Notify::new(),
            reachable: AtomicBool::new(false),
            me: AtomicBool::new(false),
        }
    }

    /// Its address without a password.
    pub fn name(&self) -> String {
        match self.url.split_once("://").zip(self.url.rsplit_once('@')) {
            Some(((scheme, _), (_, host))) => format!("{scheme}://{host}"),
            None => self.url.clone(),
        }
    }

    fn is_reachable(&self) -> bool {
        self.reachable.load(Ordering::Relaxed)
    }

    /// Notes whether it answers, and tells whether that is new.
    fn answers(&self, reachable: bool) -> bool {
        self.reachable.swap(reachable, Ordering::Relaxed) != reachable
    }

    fn tell(&self, change: Change) {
        if !self.me.load(Ordering::Relaxed) {
            self.waiting().push(change);
            self.more.notify_one();
        }
    }

    /// Is told nothing any more, and is no replica: it is this registry.
    fn is_me(&self) {
        self.me.store(true, Ordering::Relaxed);
        *self.waiting() = Waiting::default();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn push(&mut self, change: Change) {
        self.count += 1;
        if let Some(before) = self.last.insert(change.key(), self.count) {
            self.changes.remove(&before);
        }
        self.changes.insert(self.count, change);
        if self.changes.len() > WAITING {
            self.pop();
        }
    }

    fn pop(&mut self) -> Option<(u64, Change)> {
        let (number, change) = self.changes.pop_first()?;
        self.last.remove(&change.key());
        Some((number, change))
    }

    /// The first that have not expired, at most `most`.
    fn take(&mut self, most: usize, now: i64) -> Vec<(u64, Change)> {
        let waiting = std::iter::from_fn(|| self.pop());
        waiting.filter(|(_, change)| change.expires > now).take(most).collect()
    }

    /// Puts back what was not sent, unless the same came again meanwhile.
    fn put_back(&mut self, changes: Vec<(u64, Change)>) {
        for (number, change) in changes {
            if let Entry::Vacant(vacant) = self.last.entry(change.key()) {
                vacant.insert(number);
                self.changes.insert(number, change);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(task: Task, id: &str, expires: i64) -> Change {
        let instance = Instance { instance_id: id.to_owned(), app: "A".to_owned(), ..Instance::unsaid(0) };
        Change { task, instance: Arc::new(instance), expires }
    }

    fn seen(changes: &[(u64, Change)]) -> Vec<(Task, &str)> {
        changes.iter().map(|(_, change)| (change.task, change.instance.id())).collect()
    }

    #[test]
    fn of_equal_changes_the_last_is_sent_in_its_place() {
        let mut waiting = Waiting::default();
        for (task, id) in [(Task::Register, "1"), (Task::Cancel, "1"), (Task::Heartbeat, "2"), (Task::Register, "1")] {
            waiting.push(change(task, id, 10));
        }
        let taken = waiting.take(9, 0);
        assert_eq!(seen(&taken), [(Task::Cancel, "1"), (Task::Heartbeat, "2"), (Task::Register, "1")]);
        assert_eq!(waiting.last.len(), 0);
    }

    #[test]
    fn what_could_not_be_sent_comes_first_again_unless_it_is_old() {
        let mut waiting = Waiting::default();
        for (id, expires) in [("1", 10), ("2", 5), ("3", 10)] {
            waiting.push(change(Task::Heartbeat, id, expires));
        }
        let taken = waiting.take(2, 0);
        waiting.push(change(Task::Heartbeat, "1", 20));
        waiting.put_back(taken);
        assert_eq!(seen(&waiting.take(9, 6)), [(Task::Heartbeat, "3"), (Task::Heartbeat, "1")]);
    }

    #[test]
    fn a_name_has_no_password() {
        assert_eq!(Peer::new("http://me:secret@there:8761/eureka/").name(), "http://there:8761/eureka");
        assert_eq!(Peer::new("http://there:8761/eureka").name(), "http://there:8761/eureka");
    }
}
