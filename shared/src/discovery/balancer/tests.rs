//! Choices, in simulated time.

// A test that cannot go on ends.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::member::Health;
use super::set::{Outcome, Set, Slot};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

/// A set of instances, and a clock that moves when it is told to.
struct World {
    set: Set<String>,
    now: Instant,
}

fn endpoints(names: &[&str]) -> Vec<Endpoint> {
    let endpoint = |name: &&str| match name.split_once('@') {
        Some((name, zone)) => Endpoint { authority: name.to_owned(), zone: Some(zone.to_owned()) },
        None => Endpoint { authority: (*name).to_owned(), zone: None },
    };
    names.iter().map(endpoint).collect()
}

const MILLI: Duration = Duration::from_millis(1);

impl World {
    fn of(names: &[&str], options: Options) -> Self {
        let set = Set::new(options, fastrand::Rng::with_seed(7));
        let mut world = Self { set, now: Instant::now() };
        world.update(names);
        world
    }

    fn update(&mut self, names: &[&str]) {
        self.set.update(&endpoints(names), &|endpoint| Some(endpoint.authority.clone()), self.now);
    }

    fn pick(&mut self) -> (Slot, String) {
        let (slot, name) = self.set.pick(&[], self.now).expect("there is an instance");
        (slot, String::clone(&name))
    }

    /// A request to this one.
    fn pick_at(&mut self, name: &str) -> Slot {
        let others = self.set.members().iter().filter(|member| member.endpoint.authority != name);
        let others: Vec<InstanceId> = others.map(|member| member.id).collect();
        self.set.pick(&others, self.now).unwrap().0
    }

    fn end(&mut self, slot: Slot, outcome: Outcome, took: Duration) {
        self.set.end(slot, outcome, took, self.now);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// So many requests one after the other, each as `serve` says; who got how many.
    fn serve(&mut self, count: usize, mut serve: impl FnMut(&str) -> (Outcome, Duration)) -> BTreeMap<String, usize> {
        let mut picks = BTreeMap::new();
        for _ in 0..count {
            let (slot, name) = self.pick();
            let (outcome, took) = serve(&name);
            self.pass(took);
            self.end(slot, outcome, took);
            *picks.entry(name).or_default() += 1;
        }
        picks
    }

    fn is_well(&self, name: &str) -> bool {
        self.set.members().iter().any(|member| member.endpoint.authority == name && member.is_well())
    }
}

fn well(_: &str) -> (Outcome, Duration) {
    (Outcome::Succeeded, MILLI)
}

/// `bad` answers like this, the others are well.
fn but(bad: &str, trouble: Trouble) -> impl Fn(&str) -> (Outcome, Duration) {
    move |name| if name == bad { (Outcome::Failed(trouble), MILLI / 10) } else { well(name) }
}

#[test]
fn reads_one_after_the_other_are_shared_evenly() {
    for names in [&["a", "b"][..], &["a", "b", "c", "d"]] {
        let picks = World::of(names, Options::default()).serve(20, well);
        assert_eq!(picks.into_values().collect::<Vec<_>>(), vec![20 / names.len(); names.len()]);
    }
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let picks = World::of(&names, Options::default()).serve(8000, well);
    assert!(picks.len() == 8 && picks.values().all(|count| (900..=1100).contains(count)), "{picks:?}");
}

#[test]
fn a_slow_answer_now_and_then_changes_nothing() {
    for accident in 0..10 {
        let mut answers = 0;
        let picks = World::of(&["a", "b"], Options::default()).serve(20, |_| {
            answers += 1;
            (Outcome::Succeeded, if answers % 10 == accident { 200 * MILLI } else { MILLI })
        });
        assert_eq!((picks["a"], picks["b"]), (10, 10));
    }
}

#[test]
fn who_is_slow_gets_little_and_more_again_when_it_is_fast() {
    let mut world = World::of(&["a", "b", "c", "d", "slow"], Options::default());
    let picks = world.serve(5000, |name| (Outcome::Succeeded, if name == "slow" { 20 * MILLI } else { MILLI }));
    assert!(picks["slow"] < 20, "{picks:?}");
    world.serve(60_000, well);
    let picks = world.serve(1000, well);
    assert!(picks["slow"] > 150, "{picks:?}");
}

#[test]
fn who_has_much_in_hand_gets_no_more() {
    let mut world = World::of(&["a", "b"], Options::default());
    let held: Vec<Slot> = (0..200).map(|_| world.pick().0).collect();
    let in_flight: Vec<u32> = world.set.members().iter().map(|member| member.in_flight).collect();
    assert_eq!(in_flight, [100, 100]);
    held.into_iter().for_each(|slot| world.end(slot, Outcome::Cancelled, MILLI));
    // A hangs: whatever it gets it keeps.
    let mut kept = 0;
    for _ in 0..1000 {
        let (slot, name) = world.pick();
        world.pass(MILLI);
        if name == "a" { kept += 1 } else { world.end(slot, Outcome::Succeeded, MILLI) }
    }
    assert!(kept < 5, "{kept}");
}

#[test]
fn fast_failures_attract_nothing() {
    // One in four fails, never often enough in a row to be left alone.
    let mut world = World::of(&["a", "b", "c", "bad"], Options::default());
    let mut turn = 0;
    let picks = world.serve(2000, |name| {
        turn += usize::from(name == "bad");
        if name == "bad" && turn % 4 != 0 { (Outcome::Failed(Trouble::Failed), MILLI / 10) } else { well(name) }
    });
    assert!(picks.get("bad").is_none_or(|count| *count < 50), "{picks:?}");
}

#[test]
fn who_goes_on_failing_is_left_alone_for_longer_each_time() {
    let mut world = World::of(&["a", "b", "bad"], Options::default());
    let mut failed_at = Vec::new();
    let start = world.now;
    for _ in 0..100_000 {
        let (slot, name) = world.pick();
        world.pass(MILLI);
        if name == "bad" {
            failed_at.push((world.now - start).as_secs());
            world.end(slot, Outcome::Failed(Trouble::Refused), MILLI);
        } else {
            world.end(slot, Outcome::Succeeded, MILLI);
        }
    }
    assert_eq!(failed_at, [0, 1, 3, 7, 15, 31, 61, 91], "1, 2, 4, 8, 16, 30, 30 seconds in between");
    world.pass(Duration::from_secs(31));
    let picks = world.serve(20_000, well);
    assert!(picks["bad"] > 5000, "it is used again: {picks:?}");
}

#[test]
fn failures_in_a_row_count_and_a_success_ends_the_row() {
    for (trouble, most) in [(Trouble::Refused, 1), (Trouble::Late, 3), (Trouble::Failed, 5)] {
        let mut world = World::of(&["bad", "b"], Options::default());
        let mut at_bad = |outcome| {
            let slot = world.pick_at("bad");
            world.end(slot, outcome, MILLI);
            world.is_well("bad")
        };
        for _ in 0..2 {
            assert!((1..most).all(|_| at_bad(Outcome::Failed(trouble))), "{trouble:?}");
            assert!(at_bad(Outcome::Succeeded));
        }
        assert!((1..most).all(|_| at_bad(Outcome::Failed(trouble))));
        assert!(!at_bad(Outcome::Failed(trouble)), "{trouble:?}");
    }
}

#[test]
fn one_request_tries_whether_it_is_back() {
    let mut world = World::of(&["a", "b", "c"], Options::default());
    world.serve(10, but("c", Trouble::Refused));
    assert!(!world.is_well("c"));
    world.pass(Duration::from_secs(2));
    let (probe, name) = world.pick();
    assert_eq!(name, "c");
    let others: Vec<String> = (0..50).map(|_| world.pick().1).collect();
    assert!(!others.contains(&"c".to_owned()), "while one tries, nobody else does");
    world.end(probe, Outcome::Cancelled, MILLI);
    let (probe, name) = world.pick();
    assert_eq!(name, "c", "one that was given up has tried nothing");
    world.end(probe, Outcome::Succeeded, MILLI);
    assert!(world.is_well("c"));
}

#[test]
fn when_most_are_not_well_all_are_used() {
    let mut world = World::of(&["a", "b", "c", "d"], Options::default());
    for name in ["a", "b"] {
        world.serve(20, but(name, Trouble::Refused));
        assert!(!world.is_well(name));
    }
    let picks = world.serve(200, well);
    assert_eq!(picks.into_keys().collect::<Vec<_>>(), ["c", "d"], "half of them can carry it");
    world.serve(20, but("c", Trouble::Refused));
    world.pass(Duration::from_millis(900));
    let all = |name: &str| if name == "d" { well(name) } else { (Outcome::Succeeded, MILLI) };
    let picks = world.serve(300, all);
    assert_eq!(picks.len(), 4, "{picks:?}");
}

#[test]
fn answers_that_fail_never_put_most_of_them_aside() {
    let mut world = World::of(&["a", "b", "c", "d", "e"], Options::default());
    world.serve(5000, |_| (Outcome::Failed(Trouble::Failed), MILLI));
    let resting = world.set.members().iter().filter(|member| matches!(member.health, Health::Resting { .. })).count();
    assert_eq!(resting, 2);
}

#[test]
fn a_newcomer_gets_its_share_in_steps() {
    let mut world = World::of(&["a", "b"], Options::default());
    world.serve(5000, well);
    world.update(&["a", "b", "new"]);
    let each_second: Vec<usize> = (0..8).map(|_| world.serve(1000, well).remove("new").unwrap_or(0)).collect();
    assert!((20..200).contains(&each_second[0]), "no more than it can take: {each_second:?}");
    assert!(each_second.is_sorted_by(|a, b| *a <= b + 40), "{each_second:?}");
    assert!((300..=350).contains(&each_second[7]), "{each_second:?}");
}

#[test]
fn the_own_zone_comes_first_while_it_is_well() {
    let options = Options { zone: Some("z".to_owned()), ..Options::default() };
    let mut world = World::of(&["a@z", "b@z", "c@y", "d"], options);
    assert_eq!(world.serve(100, well).into_keys().collect::<Vec<_>>(), ["a", "b"]);
    world.serve(10, but("a", Trouble::Refused));
    assert_eq!(world.serve(100, well).into_keys().collect::<Vec<_>>(), ["b"], "half of the zone");
    world.serve(10, but("b", Trouble::Refused));
    let picks = world.serve(100, well).into_keys().collect::<Vec<_>>();
    assert_eq!(picks, ["c", "d"], "nobody near is well");
    world.pass(Duration::from_secs(5));
    world.serve(100, well);
    assert_eq!(world.serve(100, well).into_keys().collect::<Vec<_>>(), ["a", "b"], "they are back");
}

#[test]
fn who_leaves_the_set_finishes_what_it_has_and_gets_no_more() {
    let mut world = World::of(&["a", "b"], Options::default());
    let held: Vec<(Slot, String)> = (0..10).map(|_| world.pick()).collect();
    world.update(&["b", "c"]);
    for (slot, _) in held {
        world.end(slot, Outcome::Failed(Trouble::Refused), MILLI);
    }
    let members: Vec<_> = world.set.members().iter().map(|m| (m.endpoint.authority.as_str(), m.in_flight)).collect();
    assert_eq!(members, [("b", 0), ("c", 0)]);
    assert!(!world.is_well("b") && world.is_well("c"), "what was known of who stays is known, of c nothing");
    world.update(&[]);
    assert!(world.set.pick(&[], world.now).is_none());
}

#[test]
fn round_robin_takes_turns_and_random_does_not() {
    let of = |policy| World::of(&["a", "b", "c"], Options { policy, zone: None });
    let mut world = of(Policy::RoundRobin);
    let turns: Vec<String> = (0..6).map(|_| world.pick().1).collect();
    assert_eq!(turns, ["b", "c", "a", "b", "c", "a"]);
    let picks = of(Policy::Random).serve(3000, well);
    assert!(picks.values().all(|count| (850..1150).contains(count)), "{picks:?}");
}

#[tokio::test(start_paused = true)]
async fn a_balancer_follows_its_source() {
    let (sender, endpoints_of) = watch::channel(Endpoints::default());
    let balancer = Balancer::new(endpoints_of.into(), Options::default(), |endpoint| Some(endpoint.authority.clone()));
    assert!(balancer.pick(&[]).is_none());
    assert!(tokio::time::timeout(MILLI, balancer.known()).await.is_err(), "nothing was said yet");
    sender.send_replace(endpoints(&["a"]).into());
    balancer.known().await;
    let pick = balancer.pick(&[]).unwrap();
    assert_eq!(pick.instance().as_str(), "a");
    assert!(balancer.pick(&[pick.id()]).is_none(), "there is no other");
    sender.send_replace(Endpoints::default());
    while !balancer.is_empty() {
        tokio::task::yield_now().await;
    }
    pick.succeeded();
    assert!(!sender.is_closed());
    drop(balancer);
    sender.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_says_there_is_nobody_is_known() {
    let (sender, endpoints) = watch::channel(Endpoints::default());
    let balancer = Balancer::new(endpoints.into(), Options::default(), |_| Some(()));
    sender.send_replace(Endpoints::default());
    balancer.known().await;
    let gone = watch::channel(Endpoints::default()).1;
    Balancer::new(gone.into(), Options::default(), |_| Some(())).known().await;
}

#[derive(Debug, Clone)]
enum Step {
    Pick(Vec<usize>),
    End(usize, u8),
    Pass(u64),
    Update(Vec<bool>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => proptest::collection::vec(0..6usize, 0..3).prop_map(Step::Pick),
        4 => (0..50usize, 0..5u8).prop_map(|(which, how)| Step::End(which, how)),
        2 => (0..20_000u64).prop_map(Step::Pass),
        1 => proptest::collection::vec(any::<bool>(), 6).prop_map(Step::Update),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn a_pick_is_in_the_set_and_every_request_is_counted_once(steps in steps(), policy in 0..3u8) {
        let names = ["a@z", "b@z", "c@y", "d", "e", "f"];
        let policy = [Policy::PeakEwma, Policy::RoundRobin, Policy::Random][usize::from(policy)];
        let mut world = World::of(&names, Options { policy, zone: Some("z".to_owned()) });
        let mut held: Vec<Slot> = Vec::new();
        for step in steps {
            match step {
                Step::Pick(avoid) => {
                    let ids: Vec<InstanceId> = world.set.members().iter().map(|member| member.id).collect();
                    let avoid: Vec<InstanceId> = avoid.iter().filter_map(|at| ids.get(*at).copied()).collect();
                    let picked = world.set.pick(&avoid, world.now);
                    prop_assert_eq!(picked.is_some(), ids.iter().any(|id| !avoid.contains(id)), "whenever it can be");
                    if let Some((slot, _)) = picked {
                        prop_assert!(ids.contains(&slot.id) && !avoid.contains(&slot.id));
                        held.push(slot);
                    }
                }
                Step::End(which, how) if which < held.len() => {
                    let troubles = [Trouble::Refused, Trouble::Late, Trouble::Failed];
                    let outcome = match how {
                        0 => Outcome::Cancelled,
                        1 => Outcome::Succeeded,
                        how => Outcome::Failed(troubles[usize::from(how) - 2]),
                    };
                    world.end(held.swap_remove(which), outcome, MILLI);
                }
                Step::End(..) => {}
                Step::Pass(millis) => world.pass(Duration::from_millis(millis)),
                Step::Update(present) => {
                    let present: Vec<&str> = names.iter().zip(present).filter(|(_, is)| *is).map(|(n, _)| *n).collect();
                    world.update(&present);
                    prop_assert_eq!(world.set.len(), present.len());
                }
            }
            for member in world.set.members() {
                let holds = held.iter().filter(|slot| slot.id == member.id).count();
                prop_assert_eq!(member.in_flight as usize, holds);
                prop_assert!(member.cost(world.now).is_finite() && member.cost(world.now) > 0.0);
            }
        }
    }
}
