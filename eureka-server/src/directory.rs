//! The registry as it runs: the table behind a lock, a clock, the bodies that readers get, the peers.

use crate::bodies::Bodies;
use crate::registry::{Full, Origin, Registry, Renewed};
use crate::replication::{Peers, Task};
use crate::settings::Settings;
use shared::discovery::wire::{Instance, Status};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// What all requests share.
#[derive(Debug)]
pub struct Directory {
    /// How the registry behaves.
    pub settings: Settings,
    /// The bodies that were rendered.
    pub bodies: Bodies,
    /// The other registries.
    pub peers: Peers,
    clock: Clock,
    registry: Mutex<Registry>,
    open: AtomicBool,
}

impl Directory {
    /// An empty registry that has not opened yet.
    pub fn new(settings: Settings) -> Self {
        let clock = Clock::start();
        Self {
            registry: Mutex::new(Registry::new(settings.clone(), clock.now())),
            bodies: Bodies::default(),
            peers: Peers::new(&settings.peers),
            clock,
            open: AtomicBool::new(false),
            settings,
        }
    }

    /// Milliseconds of the Unix time.
    pub fn now(&self) -> i64 {
        self.clock.now()
    }

    /// The table. Nobody waits while he holds it.
    pub fn table(&self) -> MutexGuard<'_, Registry> {
        // A panic in between leaves no half of a change that later requests could not live with.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it tells what it knows; before that it only listens.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Tells from now on what it knows.
    pub fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }

    /// Takes an instance in and tells the peers.
    pub fn register(&self, instance: Instance, origin: Origin) -> Result<(), Full> {
        let (app, id) = (instance.app.clone(), instance.id().to_owned());
        let known = {
            let mut table = self.table();
            let now = self.now();
            table.register(instance, origin, now)?;
            table.instance(&app, &id, now)
        };
        self.tell(origin, known, Task::Register);
        Ok(())
    }

    /// Renews and tells the peers.
    pub fn renew(&self, app: &str, id: &str, last_dirty: Option<i64>, origin: Origin) -> Renewed {
        let (renewed, known) = {
            let mut table = self.table();
            let now = self.now();
            let renewed = table.renew(app, id, last_dirty, origin, now);
            let told = renewed == Renewed::Yes && origin == Origin::Client && self.peers.any();
            (renewed, told.then(|| table.instance(app, id, now)).flatten())
        };
        self.tell(origin, known, Task::Heartbeat);
        renewed
    }

    /// Takes an instance out and tells the peers; whether it was there.
    pub fn cancel(&self, app: &str, id: &str, origin: Origin) -> bool {
        let (known, was_there) = {
            let mut table = self.table();
            let now = self.now();
            (table.instance(app, id, now), table.cancel(app, id, now))
        };
        self.tell(origin, known, Task::Cancel);
        was_there
    }

    /// Sets an override, or removes it, and tells the peers; whether the instance is there.
    pub fn override_status(
        &self,
        (app, id): (&str, &str),
        what: Override,
        last_dirty: Option<i64>,
        origin: Origin,
    ) -> bool {
        let (was_there, known) = {
            let mut table = self.table();
            let now = self.now();
            let was_there = match what {
                Override::Set(status) => table.override_status(app, id, status, last_dirty, now),
                Override::Remove(status) => table.remove_override(app, id, status, last_dirty, now),
            };
            (was_there, table.instance(app, id, now))
        };
        let task = match what {
            Override::Set(_) => Task::StatusUpdate,
            Override::Remove(_) => Task::DeleteStatusOverride,
        };
        self.tell(origin, known, task);
        was_there
    }

    /// Adds to the metadata of an instance and tells the peers; whether it is there.
    pub fn add_metadata(&self, app: &str, id: &str, more: Vec<(String, String)>) -> Result<bool, Full> {
        let known = {
            let mut table = self.table();
            let now = self.now();
            if !table.add_metadata(app, id, more, now)? {
                return Ok(false);
            }
            table.instance(app, id, now)
        };
        self.tell(Origin::Client, known, Task::Register);
        Ok(true)
    }

    fn tell(&self, origin: Origin, instance: Option<Arc<Instance>>, task: Task) {
        // What a peer told is told to nobody: he tells the others himself.
        if let Some(instance) = instance.filter(|_| origin == Origin::Client) {
            self.peers.tell(task, &instance, self.now());
        }
    }
}

/// What an operator does to a status.
#[derive(Debug, Clone, Copy)]
pub enum Override {
    /// This one counts, whatever the instance says.
    Set(Status),
    /// The instance counts again, and is this until it says something.
    Remove(Status),
}

/// The Unix time as it was at the start and went on since: a clock that is set does not end leases.
#[derive(Debug)]
struct Clock {
    start: i64,
    since: Instant,
}

impl Clock {
    fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: i64::try_from(since_epoch.as_millis()).unwrap_or(0), since: Instant::now() }
    }

    fn now(&self) -> i64 {
        self.start.saturating_add(i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}
