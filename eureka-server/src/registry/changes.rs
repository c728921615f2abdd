//! What changed lately, for readers who ask for that alone.

use shared::discovery::wire::Instance;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// No more than this are told: who misses one sees it by the hash, and reads everything.
const TOLD: usize = 10_000;

/// The last change of each instance that changed lately, in the order in which they happened.
#[derive(Debug, Default)]
pub struct Changes {
    /// By the number of the change.
    told: BTreeMap<u64, (i64, Arc<Instance>)>,
    /// The number of the last change of each instance.
    last: HashMap<(String, String), u64>,
    count: u64,
}

impl Changes {
    /// Notes that `instance` has changed into this; what was told of it before is no longer.
    pub fn add(&mut self, instance: Arc<Instance>, now: i64) {
        self.count += 1;
        let key = (instance.app.clone(), instance.id().to_owned());
        if let Some(before) = self.last.insert(key, self.count) {
            self.told.remove(&before);
        }
        self.told.insert(self.count, (now, instance));
        if self.told.len() > TOLD {
            self.forget_first();
        }
    }

    /// Forgets what happened before `then`, and tells whether there was anything.
    pub fn forget_before(&mut self, then: i64) -> bool {
        let count = self.told.len();
        while self.told.first_key_value().is_some_and(|(_, (at, _))| *at < then) {
            self.forget_first();
        }
        self.told.len() < count
    }

    fn forget_first(&mut self) {
        if let Some((_, (_, instance))) = self.told.pop_first() {
            self.last.remove(&(instance.app.clone(), instance.id().to_owned()));
        }
    }

    /// Each instance as the change left it.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.told.values().map(|(_, instance)| instance)
    }
}
