//! The lease table: who is registered, how he is, and until when that is believed.
//!
//! Nothing here waits, reads a clock or knows HTTP: every time is handed in, in milliseconds of the Unix time. What it
//! decides is what Netflix's `AbstractInstanceRegistry` decides, its oddities included, since clients rest on them.
//!
//! - this file: [`Registry`], registering, renewing, leaving
//! - [`overrides`]: what operators say of instances
//! - [`changes`]: what deltas tell
//! - [`expiry`]: who is evicted, and when nobody is

pub mod changes;
pub mod expiry;
mod overrides;
#[cfg(test)]
mod tests;

use crate::settings::Settings;
use changes::Changes;
use expiry::Renewals;
use shared::discovery::wire::{Action, Instance, Status};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How many registrations and how many cancellations the dashboard remembers, as the original's does.
const REMEMBERED: usize = 1000;
/// What the texts of all instances may take together, in bytes: a registry is no store for others' data.
const MAX_BYTES: usize = 64 << 20;
/// What one instance may take of it.
const MAX_INSTANCE_BYTES: usize = 128 << 10;

/// The instances of one application by their ids.
pub type Instances = BTreeMap<String, Leased>;

/// The table. It holds nothing for a name that was only asked for.
#[derive(Debug)]
pub struct Registry {
    settings: Settings,
    applications: BTreeMap<String, Instances>,
    count: usize,
    bytes: usize,
    changes: Changes,
    renewals: Renewals,
    version: u64,
    registered: VecDeque<Remembered>,
    cancelled: VecDeque<Remembered>,
}

/// An instance that is registered.
#[derive(Debug)]
pub struct Leased {
    /// As it is told, the times of its lease included.
    pub instance: Arc<Instance>,
    /// What an operator said of it.
    overridden: Option<Status>,
}

impl Leased {
    /// Whether an operator said something of it.
    pub fn is_overridden(&self) -> bool {
        self.overridden.is_some()
    }
}

/// Something that happened to an instance, for people.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Remembered {
    /// When.
    pub at: i64,
    /// Its application.
    pub app: String,
    /// Its id.
    pub id: String,
}

/// Whether a write comes from a client or was already taken by a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// An instance or an operator.
    Client,
    /// Another registry.
    Peer,
}

/// The table takes no more.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// What a renewal was answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Renewed {
    /// It lives on.
    Yes,
    /// The sender has to register: the table does not know the instance, or knows an older form of it.
    Unknown,
    /// The table knows a newer form, which the peer that asked takes over.
    Newer(Arc<Instance>),
}

impl Registry {
    /// An empty table.
    pub fn new(settings: Settings, now: i64) -> Self {
        Self {
            renewals: Renewals::new(&settings, now),
            settings,
            applications: BTreeMap::new(),
            count: 0,
            bytes: 0,
            changes: Changes::default(),
            version: 0,
            registered: VecDeque::new(),
            cancelled: VecDeque::new(),
        }
    }

    /// Takes `sent` in, or in the place of the one that is known, unless that is newer. The status is that of the
    /// [rules](overrides); the lease begins anew.
    pub fn register(&mut self, mut sent: Instance, origin: Origin, now: i64) -> Result<(), Full> {
        let (app, id) = (sent.app.clone(), sent.id().to_owned());
        let known = self.applications.get(&app).and_then(|instances| instances.get(&id));
        if let Some(known) = known.filter(|known| known.instance.last_dirty > sent.last_dirty) {
            sent = Instance::clone(&known.instance);
        }
        let replaced = known.map_or(0, |known| weight(&known.instance));
        let weight = weight(&sent);
        let bytes = self.bytes - replaced + weight;
        if weight > MAX_INSTANCE_BYTES
            || bytes > MAX_BYTES.max(self.bytes)
            || known.is_none() && self.count >= self.settings.max_instances
        {
            return Err(Full);
        }

        let overridden = known.and_then(|known| known.overridden);
        let overridden = overridden.or(Some(sent.overridden).filter(|said| *said != Status::Unknown));
        sent.overridden = overridden.unwrap_or(sent.overridden);
        sent.status = overrides::status(sent.status, overridden, known.map(|known| known.instance.status), origin);
        sent.lease.registered = now;
        sent.lease.renewed = now;
        sent.lease.evicted = 0;
        sent.lease.up_since = known.map_or(0, |known| known.instance.lease.up_since);
        if sent.status == Status::Up && sent.lease.up_since == 0 {
            sent.lease.up_since = now;
        }
        sent.action = Some(Action::Added);
        sent.last_updated = now;
        sent.coordinating = false;
        if known.is_none() {
            self.count += 1;
            self.renewals.one_more(&self.settings);
        }
        self.bytes = bytes;
        remember(&mut self.registered, now, &app, &id);
        let instance = Arc::new(sent);
        self.changes.add(Arc::clone(&instance), now);
        self.applications.entry(app).or_default().insert(id, Leased { instance, overridden });
        self.version += 1;
        Ok(())
    }

    /// Renews a lease, also one that is over and not yet evicted. `last_dirty` is what the sender has.
    pub fn renew(&mut self, app: &str, id: &str, last_dirty: Option<i64>, origin: Origin, now: i64) -> Renewed {
        let Some(leased) = leased(&mut self.applications, app, id) else {
            return Renewed::Unknown;
        };
        let known = leased.instance.status;
        let status = overrides::status(known, leased.overridden, Some(known), origin);
        if status == Status::Unknown {
            return Renewed::Unknown;
        }
        let instance = Arc::make_mut(&mut leased.instance);
        instance.status = status;
        renew_lease(instance, now);
        self.renewals.count(now);
        if status != known {
            self.version += 1;
        }
        match last_dirty {
            Some(senders) if senders > leased.instance.last_dirty => Renewed::Unknown,
            Some(senders) if senders < leased.instance.last_dirty && origin == Origin::Peer => {
                Renewed::Newer(Arc::clone(&leased.instance))
            }
            _ => Renewed::Yes,
        }
    }

    /// Takes an instance out, and tells whether it was there.
    pub fn cancel(&mut self, app: &str, id: &str, now: i64) -> bool {
        let Some(instances) = self.applications.get_mut(app) else { return false };
        let Some(Leased { mut instance, .. }) = instances.remove(id) else { return false };
        if instances.is_empty() {
            self.applications.remove(app);
        }
        self.bytes -= weight(&instance);
        self.count -= 1;
        let left = Arc::make_mut(&mut instance);
        left.lease.evicted = now;
        left.action = Some(Action::Deleted);
        left.last_updated = now;
        self.changes.add(instance, now);
        remember(&mut self.cancelled, now, app, id);
        self.renewals.one_less(&self.settings);
        self.version += 1;
        true
    }

    /// Adds to the metadata of an instance, which registers it anew; tells whether it is there.
    pub fn add_metadata(&mut self, app: &str, id: &str, more: Vec<(String, String)>, now: i64) -> Result<bool, Full> {
        let Some(instance) = self.instance(app, id, now) else { return Ok(false) };
        let mut instance = Instance::clone(&instance);
        instance.metadata.extend(more);
        self.register(instance, Origin::Client, now)?;
        Ok(true)
    }

    /// One instance, unless its lease is over and it waits to be evicted.
    pub fn instance(&self, app: &str, id: &str, now: i64) -> Option<Arc<Instance>> {
        let over = |it: &Instance| expiry::is_over(it, 0, now) && self.renewals.expire(&self.settings, now);
        self.any_instance(app, id).filter(|instance| !over(instance))
    }

    /// One instance, whatever became of its lease.
    pub fn any_instance(&self, app: &str, id: &str) -> Option<Arc<Instance>> {
        self.applications.get(app)?.get(id).map(|leased| Arc::clone(&leased.instance))
    }

    /// The first instance of this id in any application.
    pub fn instance_of_any(&self, id: &str, now: i64) -> Option<Arc<Instance>> {
        self.applications.keys().find_map(|app| self.instance(app, id, now))
    }

    /// The instances of one application; empty where there is none.
    pub fn application(&self, app: &str) -> Vec<Arc<Instance>> {
        let instances = self.applications.get(app).into_iter().flatten();
        instances.map(|(_, leased)| Arc::clone(&leased.instance)).collect()
    }

    /// All instances, application by application.
    pub fn everything(&self) -> Vec<Arc<Instance>> {
        self.applications.values().flatten().map(|(_, leased)| Arc::clone(&leased.instance)).collect()
    }

    /// All ids with their applications.
    pub fn ids(&self) -> impl Iterator<Item = (&str, &Leased)> {
        self.applications.iter().flat_map(|(app, instances)| instances.values().map(move |it| (app.as_str(), it)))
    }

    /// What changed lately, each instance once, the latest last: as it is now, or as it was when it left.
    pub fn changed(&self) -> Vec<Arc<Instance>> {
        let now = |instance: &Instance| self.applications.get(&instance.app)?.get(instance.id());
        let told = self.changes.iter().map(|then| now(then).map_or(then, |leased| &leased.instance));
        told.map(Arc::clone).collect()
    }

    /// The hash of the whole table.
    pub fn hash(&self) -> String {
        shared::discovery::wire::hash(self.ids().map(|(_, leased)| leased.instance.status))
    }

    /// Grows with every change that readers see, but not with renewals.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How many instances there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The last registrations and the last cancellations, the latest first.
    pub fn remembered(&self) -> (Vec<Remembered>, Vec<Remembered>) {
        let latest = |them: &VecDeque<Remembered>| them.iter().rev().cloned().collect();
        (latest(&self.registered), latest(&self.cancelled))
    }
}

/// One entry of the table.
fn leased<'a>(all: &'a mut BTreeMap<String, Instances>, app: &str, id: &str) -> Option<&'a mut Leased> {
    all.get_mut(app)?.get_mut(id)
}

/// As the original does it: a renewal is noted where the lease would end, and lasts as long again from there.
fn renew_lease(instance: &mut Instance, now: i64) {
    instance.lease.renewed = now + 1000 * i64::from(instance.lease.duration_s);
}

fn remember(them: &mut VecDeque<Remembered>, at: i64, app: &str, id: &str) {
    if them.len() == REMEMBERED {
        them.pop_front();
    }
    them.push_back(Remembered { at, app: app.to_owned(), id: id.to_owned() });
}

/// About how many bytes an instance takes.
fn weight(instance: &Instance) -> usize {
    let texts = [
        &instance.app_group_name,
        &instance.home_page_url,
        &instance.status_page_url,
        &instance.health_check_url,
        &instance.secure_health_check_url,
        &instance.vip_address,
        &instance.secure_vip_address,
        &instance.asg_name,
        &instance.sid,
    ];
    let names = [&instance.instance_id, &instance.host_name, &instance.app, &instance.ip_addr];
    let cloud = instance.data_center.as_ref().and_then(|it| it.metadata.as_ref());
    let entries = instance.metadata.iter().chain(cloud.into_iter().flatten());
    size_of::<Instance>()
        + texts.into_iter().flatten().map(String::len).sum::<usize>()
        + names.into_iter().map(String::len).sum::<usize>()
        + entries.map(|(key, value)| 64 + key.len() + value.len()).sum::<usize>()
}
