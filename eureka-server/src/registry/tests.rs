//! The lease table with a clock that stands still until it is told to go on.

#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use shared::discovery::wire::{Lease, hash};
use std::time::Duration;

const T: i64 = 1_700_000_000_000;
const MINUTE: i64 = 60_000;

fn trusting() -> Settings {
    Settings { self_preservation: false, ..Settings::default() }
}

fn instance(app: &str, id: &str) -> Instance {
    Instance {
        instance_id: id.to_owned(),
        host_name: "h".to_owned(),
        app: app.to_owned(),
        ip_addr: "192.0.2.1".to_owned(),
        lease: Lease { renewal_interval_s: 1, duration_s: 3, ..Lease::default() },
        last_dirty: T,
        ..Instance::unsaid(T)
    }
}

fn with_one(settings: Settings) -> Registry {
    let mut table = Registry::new(settings, T);
    table.register(instance("A", "1"), Origin::Client, T).unwrap();
    table
}

fn status_of(table: &Registry) -> Status {
    table.instance("A", "1", T).unwrap().status
}

#[test]
fn a_bare_registration_lasts_once_and_a_renewal_twice() {
    let mut table = with_one(trusting());
    assert!(table.instance("A", "1", T + 3000).is_some());
    assert!(table.instance("A", "1", T + 3001).is_none());
    // Over and not yet evicted: a renewal finds it.
    assert_eq!(table.renew("A", "1", None, Origin::Client, T + 4000), Renewed::Yes);
    assert!(table.instance("A", "1", T + 10_000).is_some());
    assert_eq!(table.evict(0, T + 10_000, |_| ()), []);
    assert_eq!(table.evict(1, T + 10_001, |_| ()), []);
    assert_eq!(table.evict(0, T + 10_001, |_| ()), [("A".to_owned(), "1".to_owned())]);
    assert!(table.is_empty());
}

#[test]
fn the_senders_time_decides_who_has_to_learn() {
    let mut table = with_one(trusting());
    for (last_dirty, origin, renewed) in [
        (None, Origin::Client, Renewed::Yes),
        (Some(T), Origin::Client, Renewed::Yes),
        (Some(T - 1), Origin::Client, Renewed::Yes),
        (Some(T + 1), Origin::Client, Renewed::Unknown),
        (Some(i64::MAX), Origin::Client, Renewed::Unknown),
        (Some(T), Origin::Peer, Renewed::Yes),
        (Some(T + 1), Origin::Peer, Renewed::Unknown),
    ] {
        assert_eq!(table.renew("A", "1", last_dirty, origin, T), renewed, "{last_dirty:?} {origin:?}");
    }
    let newer = table.renew("A", "1", Some(T - 1), Origin::Peer, T);
    assert_eq!(newer, Renewed::Newer(table.instance("A", "1", T).unwrap()));
    assert_eq!(table.renew("A", "2", None, Origin::Client, T), Renewed::Unknown);
}

#[test]
fn an_older_registration_changes_nothing_and_an_equal_one_replaces() {
    let mut table = with_one(trusting());
    let moved = |last_dirty| Instance { host_name: "h9".to_owned(), last_dirty, ..instance("A", "1") };
    table.register(moved(T - 1), Origin::Client, T + 1).unwrap();
    assert_eq!(table.instance("A", "1", T).unwrap().host_name, "h");
    table.register(moved(T), Origin::Client, T + 1).unwrap();
    let now = table.instance("A", "1", T).unwrap();
    assert_eq!((now.host_name.as_str(), now.lease.registered, now.lease.up_since), ("h9", T + 1, T));
    assert_eq!(table.len(), 1);
}

#[test]
fn an_override_stands_above_registrations_until_it_is_removed() {
    use Status::{Down, OutOfService, Unknown, Up};
    let mut table = with_one(trusting());
    assert!(table.override_status("A", "1", OutOfService, Some(T + 5), T));
    let seen = table.instance("A", "1", T).unwrap();
    assert_eq!((seen.status, seen.overridden, seen.last_dirty), (OutOfService, OutOfService, T + 5));
    assert_eq!((table.hash().as_str(), seen.action), ("OUT_OF_SERVICE_1_", Some(Action::Modified)));
    table.register(Instance { last_dirty: T + 5, ..instance("A", "1") }, Origin::Client, T).unwrap();
    assert_eq!(status_of(&table), OutOfService);
    assert!(table.remove_override("A", "1", Unknown, None, T));
    assert_eq!(status_of(&table), Unknown);
    // Whoever is unknown has to register.
    assert_eq!(table.renew("A", "1", None, Origin::Client, T), Renewed::Unknown);
    table.register(Instance { last_dirty: T + 6, ..instance("A", "1") }, Origin::Client, T).unwrap();
    assert_eq!(status_of(&table), Up);
    // The status that it has already is no override.
    assert!(table.override_status("A", "1", Up, None, T));
    table.register(Instance { status: Down, last_dirty: T + 7, ..instance("A", "1") }, Origin::Client, T).unwrap();
    assert_eq!(status_of(&table), Down);
    assert!(!table.override_status("A", "2", Up, None, T) && !table.remove_override("B", "1", Up, None, T));
}

#[test]
fn an_override_comes_with_a_registration_and_goes_with_the_instance() {
    let mut table = Registry::new(trusting(), T);
    let overridden = Instance { overridden: Status::OutOfService, ..instance("A", "1") };
    table.register(overridden, Origin::Client, T).unwrap();
    assert_eq!(status_of(&table), Status::OutOfService);
    assert!(table.cancel("A", "1", T));
    assert!(!table.cancel("A", "1", T));
    table.register(instance("A", "1"), Origin::Client, T).unwrap();
    assert_eq!(status_of(&table), Status::Up);
}

#[test]
fn while_too_few_renew_nobody_is_evicted() {
    let mut table = Registry::new(Settings::default(), T);
    // With the one that is expected from the start, ten.
    for id in 1..10 {
        table.register(instance("A", &id.to_string()), Origin::Client, T).unwrap();
    }
    assert_eq!(table.preservation(T).threshold, 17);
    for (renewals, evicted) in [(17, 0), (18, 2)] {
        let begin = T + if evicted == 0 { 0 } else { MINUTE };
        for _ in 0..renewals {
            table.renew("A", "1", None, Origin::Client, begin);
        }
        let end = begin + MINUTE;
        let preservation = table.preservation(end);
        assert_eq!((preservation.renewals, preservation.expire), (renewals, evicted > 0), "{}", preservation.reason);
        // All are over; nine less the 85 % that are kept are two.
        assert_eq!(table.evict(0, end, |over| assert_eq!(over.len(), 9)).len(), evicted);
    }
    assert_eq!((table.len(), table.preservation(T).threshold), (7, 13));
    assert_eq!(table.preservation(T + 10 * MINUTE).renewals, 0);
}

#[test]
fn a_recount_expects_fewer_only_while_most_are_there() {
    let mut table = Registry::new(Settings::default(), T);
    for id in 0..10 {
        table.register(instance("A", &id.to_string()), Origin::Client, T).unwrap();
    }
    assert_eq!(table.preservation(T).expected, 11);
    table.recount();
    assert_eq!(table.preservation(T).expected, 10);
}

#[test]
fn deltas_tell_each_instance_once_until_they_are_old() {
    let settings = Settings { delta_retention: Duration::from_secs(180), ..trusting() };
    let mut table = with_one(settings);
    table.register(instance("B", "2"), Origin::Client, T + 1).unwrap();
    table.cancel("A", "1", T + 2);
    let told: Vec<_> = table.changed().iter().map(|it| (it.id().to_owned(), it.action.unwrap())).collect();
    assert_eq!(told, [("2".to_owned(), Action::Added), ("1".to_owned(), Action::Deleted)]);
    table.sweep(T + 180_001);
    assert_eq!(table.changed().len(), 2);
    table.sweep(T + 180_002);
    assert_eq!(table.changed().iter().map(|it| it.id()).collect::<Vec<_>>(), ["1"]);
    table.sweep(T + 180_003);
    assert!(table.changed().is_empty());
}

#[test]
fn a_full_registry_takes_changes_and_nobody_else() {
    let mut table = with_one(Settings { max_instances: 1, ..trusting() });
    assert_eq!(table.register(instance("B", "2"), Origin::Client, T), Err(Full));
    assert_eq!(table.register(instance("A", "1"), Origin::Client, T), Ok(()));
    let greedy = vec![("k".to_owned(), "v".repeat(MAX_INSTANCE_BYTES))];
    assert_eq!(table.add_metadata("A", "1", greedy, T), Err(Full));
    table.cancel("A", "1", T);
    assert_eq!((table.bytes, table.register(instance("B", "2"), Origin::Client, T)), (0, Ok(())));
    assert!(table.application("A").is_empty() && table.applications.len() == 1);
}

#[test]
fn names_that_were_only_asked_for_leave_nothing_and_many_that_register_are_refused() {
    let mut table = with_one(Settings { max_instances: 1000, ..trusting() });
    for n in 0..100_000 {
        let (app, id) = (format!("APP{n}"), n.to_string());
        assert!(table.instance(&app, &id, T).is_none() && table.application(&app).is_empty());
        assert_eq!(table.renew(&app, &id, None, Origin::Client, T), Renewed::Unknown);
        assert_eq!(table.register(instance(&app, &id), Origin::Client, T).is_ok(), n < 999);
    }
    assert_eq!((table.len(), table.applications.len(), table.changed().len()), (1000, 1000, 1000));
    for n in 0..999 {
        table.cancel(&format!("APP{n}"), &n.to_string(), T);
    }
    assert_eq!((table.len(), table.applications.len(), table.bytes), (1, 1, weight(&table.everything()[0])));
}

#[derive(Debug, Clone)]
enum Step {
    Register(u8, Status),
    Renew(u8),
    Cancel(u8),
    Override(u8, Status),
    Remove(u8),
    Evict,
    /// A client reads the changes.
    Read,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    use Status::{Down, OutOfService, Starting, Unknown, Up};
    let status = prop::sample::select(vec![Down, OutOfService, Starting, Unknown, Up]);
    prop::collection::vec(
        prop_oneof![
            (0..6u8, status.clone()).prop_map(|(id, status)| Step::Register(id, status)),
            (0..6u8).prop_map(Step::Renew),
            (0..6u8).prop_map(Step::Cancel),
            (0..6u8, status).prop_map(|(id, status)| Step::Override(id, status)),
            (0..6u8).prop_map(Step::Remove),
            Just(Step::Evict),
            Just(Step::Read),
        ],
        1..60,
    )
}

/// A client's copy, by applications and ids.
type Copy = BTreeMap<(String, String), Instance>;

fn key(instance: &Instance) -> (String, String) {
    (instance.app.clone(), instance.id().to_owned())
}

fn apply(copy: &mut Copy, changed: &[Arc<Instance>]) {
    for it in changed {
        match it.action {
            Some(Action::Deleted) => drop(copy.remove(&key(it))),
            _ => drop(copy.insert(key(it), Instance::clone(it))),
        }
    }
}

proptest! {
    #[test]
    fn everything_and_then_the_changes_is_everything(steps in steps()) {
        let mut table = Registry::new(trusting(), T);
        let mut copy: Copy = BTreeMap::new();
        for (now, step) in (T..).step_by(500).zip(steps) {
            let of = |id: u8| (format!("APP{}", id % 2), id.to_string());
            match step {
                Step::Register(id, status) => {
                    let (app, id) = of(id);
                    let sent = Instance { status, last_dirty: now, ..instance(&app, &id) };
                    table.register(sent, Origin::Client, now).unwrap();
                }
                Step::Renew(id) => drop(table.renew(&of(id).0, &of(id).1, None, Origin::Client, now)),
                Step::Cancel(id) => drop(table.cancel(&of(id).0, &of(id).1, now)),
                Step::Override(id, status) => drop(table.override_status(&of(id).0, &of(id).1, status, None, now)),
                Step::Remove(id) => drop(table.remove_override(&of(id).0, &of(id).1, Status::Unknown, None, now)),
                Step::Evict => drop(table.evict(0, now, |_| ())),
                Step::Read => apply(&mut copy, &table.changed()),
            }
        }
        apply(&mut copy, &table.changed());
        prop_assert_eq!(hash(copy.values().map(|it| it.status)), table.hash());
        let there: Copy = table.everything().iter().map(|it| (key(it), Instance::clone(it))).collect();
        prop_assert_eq!(copy.keys().collect::<Vec<_>>(), there.keys().collect::<Vec<_>>());
        prop_assert_eq!(table.len(), there.len());
        prop_assert_eq!(table.bytes, there.values().map(weight).sum::<usize>());
        prop_assert!(table.applications.values().all(|instances| !instances.is_empty()));
    }
}
