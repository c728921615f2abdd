//! A client of Eureka's registries: Netflix's, Spring's and ours.
//!
//! - this file: [`Eureka`], which follows a registry and tells where instances are
//! - [`registration`]: being found by others
//! - [`registry`]: the local copy, pure, slow to forget
//! - [`servers`]: several registries as one; [`address`]: how people write them
//!
//! A registry that is away, restarted or empty must never take instances from callers that are alive.

mod address;
mod registration;
mod registry;
mod servers;

pub use address::ServerUrls;
pub use registration::{Presence, Registration};

use super::wire::Status;
use super::{Discovered, Endpoints};
use registry::Registry;
use servers::{Servers, Unanswered};
use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv6Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};

/// How long nobody is told that a name has no instance: in a landscape that starts, it may be about to register.
const YOUNG: Duration = Duration::from_secs(10);
/// How soon the registry is asked again while a name that is wanted has no instance: at first, and later.
const AT_ONCE: Duration = Duration::from_millis(50);
const SOON: Duration = Duration::from_millis(500);

/// A client of the registries of one `EUREKA_URL`. A clone is the same client; the last one ends it.
#[derive(Clone)]
pub struct Eureka {
    follower: Arc<Follower>,
    _following: Arc<AbortOnDropHandle<()>>,
}

/// What the client knows of the registry.
#[derive(Debug, Clone)]
pub struct Seen {
    /// How long ago the registry answered last; nothing while it has not yet.
    pub since: Option<Duration>,
    /// How often it is asked.
    pub refresh: Duration,
    /// How many instances it lists of each application.
    pub applications: BTreeMap<String, usize>,
}

struct Follower {
    servers: Arc<Servers>,
    refresh: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    registry: Registry,
    /// When the registry answered last.
    answered: Option<Instant>,
    /// When it answered first.
    began: Option<Instant>,
    /// Who reads the instances of which name.
    readers: BTreeMap<String, Reader>,
}

/// Those who read the instances of one name.
struct Reader {
    endpoints: watch::Sender<Endpoints>,
    /// Whether they were told anything yet.
    told: bool,
}

impl fmt::Debug for Eureka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Eureka").field("servers", &self.follower.servers).finish_non_exhaustive()
    }
}

impl Eureka {
    /// Begins to follow the registry at `urls`, asking for changes every `refresh`. It need not be there yet.
    pub fn open(urls: &ServerUrls, refresh: Duration) -> anyhow::Result<Self> {
        let servers = Arc::new(Servers::new(urls)?);
        let follower = Arc::new(Follower { servers, refresh, state: Mutex::default() });
        let following = follower.clone();
        let following = tokio::spawn(async move { following.follow().await });
        Ok(Self { follower, _following: Arc::new(AbortOnDropHandle::new(following)) })
    }

    /// The instances that are UP under the name `vip`, whatever its case. The receiver has something new to see as soon as
    /// there is one, or as it is sure that there is none: some seconds after the registry has answered first.
    pub fn discovered(&self, vip: &str) -> Discovered {
        let mut state = self.follower.state();
        let State { registry, readers, began, .. } = &mut *state;
        let sure = began.is_some_and(|began| began.elapsed() >= YOUNG);
        let reader = readers.entry(vip.to_lowercase()).or_insert_with(|| {
            let endpoints = registry.endpoints(vip);
            Reader { told: sure || !endpoints.is_empty(), endpoints: watch::Sender::new(endpoints) }
        });
        let mut discovered = reader.endpoints.subscribe();
        if reader.told {
            discovered.mark_changed();
        }
        discovered
    }

    /// Registers `presence` as soon as a registry answers, and keeps it there.
    pub fn register(&self, presence: &Presence) -> Registration {
        Registration::begin(self.follower.servers.clone(), presence)
    }

    /// What is known of the registry.
    pub fn seen(&self) -> Seen {
        let state = self.follower.state();
        Seen {
            since: state.answered.map(|at| at.elapsed()),
            refresh: self.follower.refresh,
            applications: state.registry.applications(),
        }
    }

    /// How the registry says that the instance `id` of the application `app` is; nothing where it does not list it.
    pub fn status(&self, app: &str, id: &str) -> Option<Status> {
        self.follower.state().registry.status(app, id)
    }
}

impl Follower {
    async fn follow(&self) {
        let (mut first, mut failing) = (Backoff::new(self.refresh), false);
        loop {
            let pause = match self.read().await {
                Ok(()) => {
                    if std::mem::take(&mut failing) {
                        info!("the registry answers again");
                    }
                    around(self.pause())
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        warn!(%error, "the registry does not answer; what is known of it holds");
                    }
                    // Who knows nothing yet keeps somebody waiting.
                    if self.state().answered.is_none() { first.pause() } else { around(self.refresh) }
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// How long the registry is left alone; not for long while somebody reads a name that nobody has, for its instances
    /// may be about to register.
    fn pause(&self) -> Duration {
        let state = self.state();
        let missing = state.readers.values().any(|reader| reader.endpoints.borrow().is_empty());
        let young = state.began.is_some_and(|began| began.elapsed() < YOUNG);
        match (missing, young) {
            (false, _) => self.refresh,
            (true, true) => self.refresh.min(AT_ONCE),
            (true, false) => self.refresh.min(SOON),
        }
    }

    /// Reads what changed; or all, where nothing is known yet, or where the changes do not add up.
    async fn read(&self) -> Result<(), Unanswered> {
        if self.state().answered.is_some() {
            match self.servers.changes().await {
                Ok(Some(changes)) if changes.version != -1 => {
                    if self.update(|registry| registry.change(changes)) {
                        return Ok(());
                    }
                    debug!("the registry's changes do not add up; reading all of it");
                }
                Ok(_) => {}
                Err(error) if error.answered => debug!(%error, "no changes; reading all of the registry"),
                Err(error) => return Err(error),
            }
        }
        let all = self.servers.all().await?;
        self.update(|registry| registry.replace(all));
        Ok(())
    }

    /// Takes an answer of the registry, and tells the readers.
    fn update<T>(&self, take: impl FnOnce(&mut Registry) -> T) -> T {
        let mut state = self.state();
        let State { registry, answered, began, readers } = &mut *state;
        let now = Instant::now();
        let before = answered.replace(now);
        let young = began.get_or_insert(now).elapsed() < YOUNG;
        // An outage is no time in which anybody was missed.
        registry.pass(before.map_or(Duration::ZERO, |at| at.elapsed().min(2 * self.refresh)));
        let taken = take(registry);
        for (vip, reader) in readers {
            let endpoints = registry.endpoints(vip);
            let first = !reader.told && (!endpoints.is_empty() || !young);
            reader.told |= first;
            reader.endpoints.send_if_modified(|known| {
                let news = first || *known != endpoints;
                *known = endpoints;
                news
            });
        }
        taken
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Pauses while nobody answers: they grow to the usual one and never end.
struct Backoff {
    next: Duration,
    most: Duration,
}

impl Backoff {
    fn new(most: Duration) -> Self {
        Self { next: most.min(Duration::from_millis(250)), most }
    }

    fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.most);
        around(pause)
    }
}

/// `time`, a tenth more or less: those who started together do not ask together for ever.
fn around(time: Duration) -> Duration {
    time.mul_f64(0.9 + 0.2 * fastrand::f64())
}

/// How `host` and `port` stand in a URL.
fn authority(host: &str, port: u16) -> String {
    match host.parse::<Ipv6Addr>() {
        Ok(ip) => format!("[{ip}]:{port}"),
        Err(_) => format!("{host}:{port}"),
    }
}
