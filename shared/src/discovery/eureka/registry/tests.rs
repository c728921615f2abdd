#![allow(clippy::unwrap_used)]

use super::*;
use crate::discovery::wire::{Application, Lease, Port};
use proptest::collection::vec;
use proptest::prelude::*;

fn instance(app: &str, id: &str) -> Instance {
    Instance {
        instance_id: id.to_owned(),
        app: app.to_uppercase(),
        host_name: id.to_owned(),
        vip_address: Some(app.to_owned()),
        port: Port { number: 80, enabled: true },
        lease: Lease { renewal_interval_s: 5, duration_s: 15, ..Lease::default() },
        ..Instance::unsaid(0)
    }
}

/// What a registry of these instances answers.
fn all(of: &[Instance]) -> Applications {
    let applications = of
        .iter()
        .map(|instance| Application { name: instance.app.clone(), instances: vec![instance.clone()] })
        .collect();
    Applications { version: 1, hash: hash(of.iter().map(|instance| instance.status)), applications }
}

fn of(all: Applications) -> Registry {
    let mut registry = Registry::default();
    registry.replace(all);
    registry
}

fn hosts(registry: &Registry, vip: &str) -> Vec<String> {
    registry.endpoints(vip).iter().map(|endpoint| endpoint.authority.clone()).collect()
}

#[test]
fn only_those_that_are_up_are_found_by_any_of_their_names_in_any_case() {
    let down = Instance { status: Status::Down, ..instance("a", "h2") };
    let named = Instance { vip_address: Some("other, A ,".to_owned()), ..instance("b", "h1") };
    let zoned = Instance { metadata: BTreeMap::from([("zone".to_owned(), "z".to_owned())]), ..instance("a", "h3") };
    let registry = of(all(&[down, named, zoned]));
    assert_eq!(hosts(&registry, "a"), ["h1:80", "h3:80"]);
    assert_eq!(hosts(&registry, "OTHER"), ["h1:80"]);
    assert_eq!(hosts(&registry, ""), [""; 0]);
    assert_eq!(registry.endpoints("a")[1].zone.as_deref(), Some("z"));
    assert_eq!(registry.status("a", "h2"), Some(Status::Down));
    assert_eq!(registry.applications(), BTreeMap::from([("A".to_owned(), 2), ("B".to_owned(), 1)]));
}

#[test]
fn who_serves_no_plain_port_of_a_real_host_is_left_out() {
    let secure = Port { number: 443, enabled: true };
    let only_secure =
        Instance { port: Port { number: 80, enabled: false }, secure_port: secure, ..instance("a", "h1") };
    let v6 = Instance { host_name: "::1".to_owned(), ..instance("a", "h2") };
    let mut instances = vec![only_secure, v6];
    for (n, host) in ["", "me@evil", "evil/path", "a b", "x:y"].into_iter().enumerate() {
        instances.push(Instance { host_name: host.to_owned(), ..instance("a", &format!("bad{n}")) });
    }
    for number in [0, -1, 70_000] {
        let port = Port { number, enabled: true };
        instances.push(Instance { port, ..instance("a", &format!("port{number}")) });
    }
    assert_eq!(hosts(&of(all(&instances)), "a"), ["[::1]:80"]);
}

#[test]
fn changes_are_upserts_and_removals_and_their_hash_is_that_of_the_whole() {
    let mut registry = of(all(&[instance("a", "h1"), instance("b", "h2")]));
    let change = |action, status, instance| Instance { action: Some(action), status, ..instance };
    let changes = |hash: &str, of: &[Instance]| Applications { hash: hash.to_owned(), ..all(of) };
    let told = [
        change(Action::Added, Status::Up, instance("a", "h3")),
        change(Action::Modified, Status::OutOfService, instance("a", "h1")),
        change(Action::Deleted, Status::Up, instance("b", "h2")),
        change(Action::Deleted, Status::Up, instance("c", "never seen")),
    ];
    assert!(registry.change(changes("OUT_OF_SERVICE_1_UP_1_", &told)));
    assert_eq!((hosts(&registry, "a"), hosts(&registry, "b")), (vec!["h3:80".to_owned()], vec![]));
    assert_eq!(registry.applications().keys().collect::<Vec<_>>(), ["A"]);
    assert!(!registry.change(changes("UP_2_", &[])));
}

#[test]
fn a_registry_that_lost_everybody_takes_nobody_away_for_five_minutes() {
    let both = [instance("a", "h1"), instance("b", "h2")];
    let mut registry = of(all(&both));
    registry.replace(all(&[]));
    assert_eq!((hosts(&registry, "a"), hosts(&registry, "b")), (vec!["h1:80".to_owned()], vec!["h2:80".to_owned()]));
    // What is missing is not listed, or no change would ever add up.
    assert_eq!((registry.hash(), registry.applications()), (String::new(), BTreeMap::new()));

    registry.pass(Duration::from_secs(299));
    assert!(registry.change(all(&both[..1])));
    registry.pass(Duration::from_secs(1));
    assert_eq!((hosts(&registry, "a"), hosts(&registry, "b")), (vec!["h1:80".to_owned()], vec![]));
}

#[test]
fn one_that_a_whole_answer_does_not_list_is_believed_for_as_long_as_its_lease() {
    let three = [instance("a", "h1"), instance("a", "h2"), instance("a", "h3")];
    let mut registry = of(all(&three));
    registry.replace(all(&three[..2]));
    registry.pass(Duration::from_secs(14));
    assert_eq!(hosts(&registry, "a").len(), 3);
    // Told once more without it, its time goes on.
    registry.replace(all(&three[..2]));
    registry.pass(Duration::from_secs(1));
    assert_eq!(hosts(&registry, "a"), ["h1:80", "h2:80"]);
}

#[test]
fn what_the_registry_says_is_gone_or_down_is_gone_at_once_missing_or_not() {
    let both = [instance("a", "h1"), instance("a", "h2"), instance("a", "h3")];
    let mut registry = of(all(&both));
    registry.replace(all(&[]));
    let gone = Instance { action: Some(Action::Deleted), ..instance("a", "h1") };
    let down = Instance { status: Status::Down, ..instance("a", "h2") };
    let told = [gone, down];
    assert!(registry.change(Applications { hash: "DOWN_1_".to_owned(), ..all(&told) }));
    assert_eq!(hosts(&registry, "a"), ["h3:80"]);
    registry.replace(all(&[]));
    assert_eq!(registry.instances.len(), 1);
}

/// What happens to a registry, and how a client reads it.
#[derive(Debug, Clone)]
enum Step {
    Put(u8, Status),
    Cancel(u8),
    Read { whole: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let status = prop_oneof![
        4 => Just(Status::Up),
        1 => Just(Status::Down),
        1 => Just(Status::Starting),
        1 => Just(Status::OutOfService),
        1 => Just(Status::Unknown)
    ];
    prop_oneof![
        4 => (0..12_u8, status).prop_map(|(id, status)| Step::Put(id, status)),
        2 => (0..12_u8).prop_map(Step::Cancel),
        3 => any::<bool>().prop_map(|whole| Step::Read { whole }),
    ]
}

proptest! {
    #[test]
    fn a_whole_answer_and_changes_give_what_the_registry_has(steps in vec(step(), 0..80)) {
        let (mut theirs, mut recent) = (BTreeMap::new(), BTreeMap::new());
        let mut registry = Registry::default();
        for step in steps {
            match step {
                Step::Put(id, status) => {
                    let put = Instance { status, ..instance(&format!("a{}", id % 3), &format!("h{id}")) };
                    let action = if theirs.contains_key(&id) { Action::Modified } else { Action::Added };
                    recent.insert(id, Instance { action: Some(action), ..put.clone() });
                    theirs.insert(id, put);
                }
                Step::Cancel(id) => {
                    if let Some(cancelled) = theirs.remove(&id) {
                        recent.insert(id, Instance { action: Some(Action::Deleted), ..cancelled });
                    }
                }
                Step::Read { whole } => {
                    let now: Vec<Instance> = theirs.values().cloned().collect();
                    if whole {
                        // Changes are told again and again, also those that a whole answer held already; what a
                        // client read all of, it was told of before.
                        let _ = registry.change(Applications { hash: all(&now).hash, ..all(&changes(&recent)) });
                        registry.replace(all(&now));
                    } else {
                        let changes = Applications { hash: all(&now).hash, ..all(&changes(&recent)) };
                        prop_assert!(registry.change(changes));
                    }
                    prop_assert_eq!(registry.hash(), all(&now).hash);
                    let up = now.iter().filter(|it| it.status == Status::Up && it.app == "A1");
                    let mut up: Vec<String> = up.map(|it| format!("{}:80", it.host_name)).collect();
                    up.sort();
                    prop_assert_eq!(hosts(&registry, "a1"), up);
                }
            }
        }
    }
}

fn changes(recent: &BTreeMap<u8, Instance>) -> Vec<Instance> {
    recent.values().cloned().collect()
}
