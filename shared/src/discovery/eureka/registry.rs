//! The local copy of a registry: filled by a whole answer, kept up by changes, and slow to forget.
//!
//! What a registry *says* is gone is dropped at once. What a whole answer merely does not list any more is kept for a
//! while, *missing*: a registry that was restarted lists nobody until everybody has registered again, and all of them
//! are alive meanwhile.

use super::authority;
use crate::discovery::wire::{Action, Applications, Instance, Status, hash};
use crate::discovery::{Endpoint, Endpoints};
use http::uri::Authority;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tracing::warn;

/// How long instances are kept that a registry lost together with more than half of the others.
const REFILL: Duration = Duration::from_secs(300);

/// An application and an id in it.
type Key = (String, String);

/// The instances that a registry told of.
#[derive(Debug, Default)]
pub(super) struct Registry {
    instances: BTreeMap<Key, Known>,
}

/// What is kept of an instance.
#[derive(Debug)]
struct Known {
    status: Status,
    /// The names under which callers look for it, in small letters.
    vips: Vec<String>,
    endpoint: Option<Endpoint>,
    /// How long it is believed to live without a word.
    lease: Duration,
    /// For how long it is still believed, where the last whole answer did not list it.
    missing: Option<Duration>,
}

impl Registry {
    /// Takes a whole answer.
    pub(super) fn replace(&mut self, all: Applications) {
        let before = self.listed().count();
        let mut told = BTreeSet::new();
        for instance in instances(all) {
            told.insert(key(&instance));
            self.put(&instance);
        }
        // One that lost most of what it knew knows too little to be believed about the rest.
        let wiped = told.len() * 2 < before;
        self.instances.retain(|key, known| {
            if !told.contains(key) {
                known.missing.get_or_insert(if wiped { REFILL } else { known.lease });
            }
            known.missing.is_none() || known.status == Status::Up
        });
    }

    /// Takes the changes since an answer before, and tells whether the registry is known completely with them.
    #[must_use]
    pub(super) fn change(&mut self, changes: Applications) -> bool {
        let told = changes.hash.clone();
        for instance in instances(changes) {
            match instance.action {
                Some(Action::Deleted) => drop(self.instances.remove(&key(&instance))),
                Some(Action::Added | Action::Modified) | None => self.put(&instance),
            }
        }
        self.hash() == told
    }

    /// Lets `time` pass in which the registry answered: what was missing all along is forgotten. Nothing passes while
    /// it does not answer.
    pub(super) fn pass(&mut self, time: Duration) {
        self.instances.retain(|_, known| match &mut known.missing {
            None => true,
            Some(left) => {
                *left = left.saturating_sub(time);
                !left.is_zero()
            }
        });
    }

    /// The [hash] of what the registry lists.
    pub(super) fn hash(&self) -> String {
        hash(self.listed().map(|(_, known)| known.status))
    }

    /// Where the instances of this name are that take requests.
    pub(super) fn endpoints(&self, vip: &str) -> Endpoints {
        let vip = vip.to_lowercase();
        let takers = self.instances.values().filter(|known| known.status == Status::Up && known.vips.contains(&vip));
        let endpoints = takers.filter_map(|known| known.endpoint.as_ref());
        let unique: BTreeMap<_, _> = endpoints.map(|endpoint| (&endpoint.authority, endpoint)).collect();
        unique.into_values().cloned().collect()
    }

    /// How the registry says that this instance is.
    pub(super) fn status(&self, app: &str, id: &str) -> Option<Status> {
        let known = self.instances.get(&(app.to_uppercase(), id.to_owned()))?;
        known.missing.is_none().then_some(known.status)
    }

    /// How many instances of each application the registry lists.
    pub(super) fn applications(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for ((app, _), _) in self.listed() {
            *counts.entry(app.clone()).or_default() += 1;
        }
        counts
    }

    fn listed(&self) -> impl Iterator<Item = (&Key, &Known)> {
        self.instances.iter().filter(|(_, known)| known.missing.is_none())
    }

    fn put(&mut self, instance: &Instance) {
        let (key, known) = (key(instance), Known::of(instance));
        if known.endpoint.is_none() && !self.instances.contains_key(&key) {
            warn!(app = key.0, instance = key.1, "is left out: it serves no plain HTTP port of a host that has a name");
        }
        self.instances.insert(key, known);
    }
}

impl Known {
    fn of(instance: &Instance) -> Self {
        let vips = instance.vip_address.as_deref().unwrap_or_default().split(',').map(str::trim);
        let secs = |secs: i32| Duration::from_secs(u64::try_from(secs).unwrap_or_default());
        let lease = &instance.lease;
        Self {
            status: instance.status,
            vips: vips.filter(|vip| !vip.is_empty()).map(str::to_lowercase).collect(),
            endpoint: endpoint(instance),
            // Short leases count on being renewed late, as the original's double.
            lease: secs(lease.duration_s).max(3 * secs(lease.renewal_interval_s)),
            missing: None,
        }
    }
}

/// Where `instance` takes plain HTTP.
fn endpoint(instance: &Instance) -> Option<Endpoint> {
    let port = u16::try_from(instance.port.number).ok().filter(|port| instance.port.enabled && *port != 0)?;
    let authority = authority(&instance.host_name, port);
    // Whoever registers may call himself anything.
    let plain = authority.parse::<Authority>().is_ok_and(|it| !it.host().is_empty() && !authority.contains('@'));
    plain.then(|| Endpoint { authority, zone: instance.metadata.get("zone").cloned() })
}

fn instances(of: Applications) -> impl Iterator<Item = Instance> {
    of.applications.into_iter().flat_map(|application| application.instances)
}

fn key(instance: &Instance) -> Key {
    (instance.app.clone(), instance.id().to_owned())
}

#[cfg(test)]
mod tests;
