//! What operators say of instances: a status that stands above what an instance says of itself.

use super::{Origin, Registry, leased, renew_lease};
use shared::discovery::wire::{Action, Status};
use std::sync::Arc;

impl Registry {
    /// Sets the status of an instance above what it says itself, and tells whether it is there. The status that it has
    /// already changes nothing, and is not kept either.
    pub fn override_status(&mut self, app: &str, id: &str, status: Status, last_dirty: Option<i64>, now: i64) -> bool {
        let Some(leased) = leased(&mut self.applications, app, id) else {
            return false;
        };
        let instance = Arc::make_mut(&mut leased.instance);
        renew_lease(instance, now);
        if instance.status != status {
            if status == Status::Up && instance.lease.up_since == 0 {
                instance.lease.up_since = now;
            }
            leased.overridden = Some(status);
            self.modified(app, id, status, status, last_dirty, now);
        }
        true
    }

    /// Takes back what an operator said; from now on the status is `status`, until the instance says another.
    pub fn remove_override(&mut self, app: &str, id: &str, status: Status, last_dirty: Option<i64>, now: i64) -> bool {
        let Some(leased) = leased(&mut self.applications, app, id) else {
            return false;
        };
        renew_lease(Arc::make_mut(&mut leased.instance), now);
        if leased.overridden.take().is_some() {
            self.modified(app, id, status, Status::Unknown, last_dirty, now);
        }
        true
    }

    /// Takes over what a peer's operator said, as a renewal from that peer tells it.
    pub fn adopt_override(&mut self, app: &str, id: &str, status: Status) {
        let leased = leased(&mut self.applications, app, id);
        if let Some(leased) = leased.filter(|leased| leased.overridden != Some(status)) {
            leased.overridden = Some(status);
            Arc::make_mut(&mut leased.instance).overridden = status;
            self.version += 1;
        }
    }

    fn modified(&mut self, app: &str, id: &str, status: Status, overridden: Status, last_dirty: Option<i64>, now: i64) {
        let Some(leased) = leased(&mut self.applications, app, id) else { return };
        let instance = Arc::make_mut(&mut leased.instance);
        instance.status = status;
        instance.overridden = overridden;
        instance.last_dirty = instance.last_dirty.max(last_dirty.unwrap_or(0));
        instance.action = Some(Action::Modified);
        instance.last_updated = now;
        self.changes.add(Arc::clone(&leased.instance), now);
        self.version += 1;
    }
}

/// The status of an instance that says it is `said`, in the order of the original's rules: what is down, starting or
/// unknown is believed; then counts what an operator said; then what the table `known` of it, against the instance
/// itself, not against a peer.
pub(super) fn status(said: Status, overridden: Option<Status>, known: Option<Status>, origin: Origin) -> Status {
    let takes_requests = |status: &Status| [Status::Up, Status::OutOfService].contains(status);
    if !takes_requests(&said) {
        return said;
    }
    let known = known.filter(takes_requests).filter(|_| origin == Origin::Client);
    overridden.or(known).unwrap_or(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Status::{Down, OutOfService, Starting, Unknown, Up};

    #[test]
    fn the_first_rule_that_fits_decides() {
        for (said, overridden, known, from_client, from_peer) in [
            (Up, None, None, Up, Up),
            (Up, None, Some(OutOfService), OutOfService, Up),
            (OutOfService, None, Some(Up), Up, OutOfService),
            (OutOfService, None, Some(Down), OutOfService, OutOfService),
            (Up, None, Some(Starting), Up, Up),
            (Up, Some(Down), Some(Up), Down, Down),
            (Down, Some(Up), Some(Up), Down, Down),
            (Starting, Some(OutOfService), None, Starting, Starting),
            (Unknown, Some(Up), Some(Up), Unknown, Unknown),
        ] {
            assert_eq!(
                status(said, overridden, known, Origin::Client),
                from_client,
                "{said:?} {overridden:?} {known:?}"
            );
            assert_eq!(status(said, overridden, known, Origin::Peer), from_peer, "{said:?} {overridden:?} {known:?}");
        }
    }
}
