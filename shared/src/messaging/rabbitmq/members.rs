//! Who is in a group: each member beats in the service's database while its connection to the broker stands, and sees
//! there who else does. A beat that stops for the grace is a member that is gone, by the clock of who looks.
//!
//! What must never happen: a partition handed back because the database could not be read.

use super::link::Link;
use crate::database::Database;
use crate::database::members::{self, Member};
use crate::messaging::sharing::owner;
use crate::messaging::{ConsumerBinding, Instance};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};
use uuid::Uuid;

const BEAT: Duration = Duration::from_millis(500);
/// How long a member may miss its beats.
const GRACE: Duration = Duration::from_secs(2);
/// After which time the row of a member that is gone is removed.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// A place in a group: that of an index, or that of one who joined without.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Index(u32),
    Joined(String),
}

/// The group as one of its members sees it.
#[derive(Debug)]
pub(super) struct Members {
    id: String,
    me: Place,
    instance: Option<Instance>,
    takeover: bool,
    database: Database,
    there: watch::Receiver<Option<BTreeSet<Place>>>,
    _beating: AbortOnDropHandle<()>,
}

impl Members {
    /// Joins the group of `binding`.
    pub(super) fn join(link: Link, binding: &ConsumerBinding, database: Database) -> Self {
        let id = Uuid::now_v7().to_string();
        let instance = binding.instance;
        let me = instance.map_or_else(|| Place::Joined(id.clone()), |instance| Place::Index(instance.index));
        let (seen, there) = watch::channel(None);
        let beating = Beating {
            link,
            database: database.clone(),
            destination: binding.destination.clone(),
            group: binding.group.clone(),
            id: id.clone(),
            me: me.clone(),
            instance,
            ages: BTreeMap::new(),
            looked: None,
        };
        let beating = AbortOnDropHandle::new(tokio::spawn(beating.run(seen)));
        Self { id, me, instance, takeover: binding.takeover, database, there, _beating: beating }
    }

    /// Whether `partition` is to be ours, as far as is known; with nothing known yet, only what has our index is.
    pub(super) fn is_to_be_ours(&self, partition: u32) -> bool {
        let preferred = self.instance.map(|instance| Place::Index(partition % instance.count.max(1)));
        if preferred.as_ref() == Some(&self.me) {
            return true;
        }
        let there = self.there.borrow();
        let Some(there) = there.as_ref().filter(|_| self.takeover) else { return false };
        owner(partition, preferred.as_ref(), there) == Some(&self.me)
    }

    /// Tells the others at once that we are gone; they would see it after the grace.
    pub(super) async fn leave(self) {
        let Self { id, database, _beating, .. } = self;
        drop(_beating);
        if let Err(error) = members::remove(&database, &[&id]).await {
            warn!(%error, "could not leave the group; the others notice it in {GRACE:?}");
        }
    }
}

/// When a beat was last seen to have grown.
struct Age {
    place: Place,
    beat: i64,
    grew: Instant,
}

struct Beating {
    link: Link,
    database: Database,
    destination: String,
    group: String,
    id: String,
    me: Place,
    instance: Option<Instance>,
    ages: BTreeMap<String, Age>,
    /// When the members were last read.
    looked: Option<Instant>,
}

impl Beating {
    async fn run(mut self, seen: watch::Sender<Option<BTreeSet<Place>>>) {
        let mut ticks = tokio::time::interval(BEAT);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let started = Instant::now();
        let mut failing = false;
        loop {
            ticks.tick().await;
            match self.look().await {
                Ok(members) => {
                    if std::mem::take(&mut failing) {
                        info!(group = self.group, "the members of the group can be seen again");
                    }
                    let there = self.there(members, started).await;
                    seen.send_if_modified(|seen| {
                        seen.as_ref() != Some(&there) && {
                            *seen = Some(there);
                            true
                        }
                    });
                }
                // What was seen last holds on.
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        warn!(group = self.group, %error, "the members of the group cannot be seen");
                    }
                }
            }
        }
    }

    async fn look(&self) -> Result<Vec<Member>, sqlx::Error> {
        let Self { database, destination, group, id, .. } = self;
        let looked = async {
            if self.link.connection().is_ok() {
                let index = self.instance.map(|instance| instance.index);
                members::beat(database, destination, group, id, index).await?;
            }
            members::list(database, destination, group).await
        };
        database.in_time(looked).await
    }

    /// Who is there, by what was read now and before.
    async fn there(&mut self, members: Vec<Member>, started: Instant) -> BTreeSet<Place> {
        let now = Instant::now();
        // While nobody could be seen, nobody aged.
        let missed = self.looked.replace(now).is_none_or(|looked| now - looked > GRACE / 2);
        let mut ages = BTreeMap::new();
        for Member { id, index, beat } in members {
            let place = index.map_or_else(|| Place::Joined(id.clone()), Place::Index);
            let grew = match self.ages.get(&id) {
                Some(age) if age.beat == beat && !missed => age.grew,
                _ => now,
            };
            ages.insert(id, Age { place, beat, grew });
        }
        self.ages = ages;
        self.sweep(now).await;
        let mut there: BTreeSet<Place> =
            self.ages.values().filter(|age| now - age.grew < GRACE).map(|age| age.place.clone()).collect();
        there.insert(self.me.clone());
        if now - started < GRACE {
            // Those of the other indexes may be about to join.
            there.extend(self.instance.into_iter().flat_map(|instance| (0..instance.count).map(Place::Index)));
        }
        there
    }

    /// Removes the rows of those who are long gone.
    async fn sweep(&mut self, now: Instant) {
        let gone: Vec<&str> =
            self.ages.iter().filter(|(_, age)| now - age.grew > FORGOTTEN).map(|(id, _)| id.as_str()).collect();
        if gone.is_empty() {
            return;
        }
        if let Err(error) = members::remove(&self.database, &gone).await {
            warn!(%error, "could not remove members that are gone; this is tried again later");
        }
    }
}
