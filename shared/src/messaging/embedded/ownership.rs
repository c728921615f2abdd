//! Which partitions are ours. A partition is owned by who holds the kernel's lock on its file: a process that dies,
//! however it dies, holds nothing any more.
//!
//! Members of a group hold a lock on a slot each, so all of them see who is there and come to the same plan: the
//! partition of an index goes to the instance with that index while it is there, every other partition to the members
//! in turn. A member takes what the plan gives it as soon as it is free, and hands back what the plan gives another.
//!
//! What must never happen: a lock that outlives its [`Held`], or a partition handed out while its `Held` stands.

use crate::messaging::sharing::owner;
use crate::messaging::{ConsumerBinding, Instance};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use tokio::sync::watch;

/// One member of a group.
pub(super) struct Ownership {
    /// `FOLDER/DESTINATION.GROUP`, which all lock files of the group begin with.
    prefix: PathBuf,
    instance: Option<Instance>,
    slot: u32,
    _slot_lock: File,
    /// The partitions that are ours, each with the means to ask for it back.
    ours: BTreeMap<u32, watch::Sender<bool>>,
}

/// A partition that is ours while this stands.
pub(super) struct Held {
    partition: u32,
    wanted_back: watch::Receiver<bool>,
    _lock: File,
}

impl Held {
    pub(super) fn partition(&self) -> u32 {
        self.partition
    }

    pub(super) fn is_wanted_back(&self) -> bool {
        *self.wanted_back.borrow()
    }

    /// Resolves when the partition shall be given back.
    pub(super) async fn wanted_back(&self) {
        // A member that is gone asks for all of its partitions: nobody would look after them.
        let _ = self.wanted_back.clone().wait_for(|wanted| *wanted).await;
    }
}

impl Ownership {
    /// Joins the group: takes the slot of the index, or the first that is free.
    pub(super) fn new(folder: &Path, binding: &ConsumerBinding) -> io::Result<Self> {
        let prefix = folder.join(format!("{}.{}", binding.destination, binding.group));
        let instance = binding.instance;
        let mut slots = instance.map(|instance| instance.index).into_iter().chain(instance.map_or(0, |i| i.count)..);
        let (slot, lock) = loop {
            let slot = slots.next().ok_or(io::ErrorKind::QuotaExceeded)?;
            if let Some(lock) = exclusive(&slot_path(&prefix, slot))? {
                break (slot, lock);
            }
        };
        Ok(Self { prefix, instance, slot, _slot_lock: lock, ours: BTreeMap::new() })
    }

    /// Asks back what belongs to others by now, and takes the next partition that is to be ours and is free.
    pub(super) fn next(&mut self, count: u32) -> io::Result<Option<Held>> {
        let members = self.members()?;
        self.ours.retain(|_, ours| !ours.is_closed());
        for (&partition, ours) in &self.ours {
            if partition >= count || !self.is_to_own(partition, &members) {
                ours.send_replace(true);
            }
        }
        for partition in 0..count {
            if !self.is_to_own(partition, &members) || self.ours.contains_key(&partition) {
                continue;
            }
            let mut path = self.prefix.clone().into_os_string();
            path.push(format!("-{partition}.lock"));
            if let Some(lock) = exclusive(Path::new(&path))? {
                let (ours, wanted_back) = watch::channel(false);
                self.ours.insert(partition, ours);
                return Ok(Some(Held { partition, wanted_back, _lock: lock }));
            }
        }
        Ok(None)
    }

    fn is_to_own(&self, partition: u32, members: &BTreeSet<u32>) -> bool {
        let preferred = self.instance.map(|instance| partition % instance.count.max(1));
        owner(partition, preferred.as_ref(), members) == Some(&self.slot)
    }

    /// The slots that somebody holds, ours among them.
    fn members(&self) -> io::Result<BTreeSet<u32>> {
        let mut members = BTreeSet::from([self.slot]);
        let folder = self.prefix.parent().unwrap_or(&self.prefix);
        let prefix = slot_prefix(&self.prefix);
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.as_os_str().to_string_lossy();
            let slot = name.strip_prefix(&*prefix).and_then(|rest| rest.strip_suffix(".lock"));
            let Some(slot) = slot.and_then(|slot| slot.parse().ok()) else { continue };
            // Looking is done with a shared lock, so that those who look do not see each other.
            if slot != self.slot && matches!(open(&path)?.try_lock_shared(), Err(TryLockError::WouldBlock)) {
                members.insert(slot);
            }
        }
        Ok(members)
    }
}

fn slot_prefix(prefix: &Path) -> String {
    format!("{}.member-", prefix.display())
}

fn slot_path(prefix: &Path, slot: u32) -> PathBuf {
    PathBuf::from(format!("{}{slot}.lock", slot_prefix(prefix)))
}

fn exclusive(path: &Path) -> io::Result<Option<File>> {
    let file = open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).write(true).truncate(false).open(path)
}
