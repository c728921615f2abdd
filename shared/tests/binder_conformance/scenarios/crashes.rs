//! Ends between any two steps.

use crate::lab::{GROUP, World, saying, thing};
use crate::service::{Setup, hook};
use crate::tampered::{Gate, Step, Tampered};
use shared::messaging::Instance;
use shared::messaging::failure::Failure;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a service is when it crashes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Moment {
    Handler,
    CopyAsked,
    CopyKept,
    SettleAsked,
    Settled,
}

const MOMENTS: [Moment; 5] =
    [Moment::Handler, Moment::CopyAsked, Moment::CopyKept, Moment::SettleAsked, Moment::Settled];

/// The only instance, which need not wait until its predecessor is taken for dead.
fn first() -> Setup {
    Setup { instance: Some(Instance { index: 0, count: 1 }), ..Setup::default() }
}

/// A binder that hangs at `moment`.
async fn hanging(world: &World, moment: Option<Moment>, gate: &Gate) -> Arc<Tampered> {
    let gate = gate.clone();
    Tampered::new(world.binder().await, move |step| {
        let now = match step {
            Step::Received => None,
            Step::CopyAsked(_) => Some(Moment::CopyAsked),
            Step::CopyKept => Some(Moment::CopyKept),
            Step::SettleAsked => Some(Moment::SettleAsked),
            Step::Settled => Some(Moment::Settled),
        };
        let (hangs, gate) = (now.is_some() && now == moment, gate.clone());
        async move {
            if hangs {
                gate.pass().await;
            }
            Ok(())
        }
    })
}

pub(crate) async fn a_crash_while_giving_up_leaves_an_effect_or_one_letter(world: &World) {
    let producer = world.producer(1).await;
    let mut inbox = BTreeMap::new();
    // After the crash, the handler is either healed or as broken as before.
    for (key, (moment, heals)) in (1..).zip(MOMENTS.iter().flat_map(|&moment| [(moment, true), (moment, false)])) {
        let (gate, before) = (Gate::new(), world.letters().await.len());
        let binder = hanging(world, Some(moment), &gate).await;
        let at_gate = gate.clone();
        let broken = hook(move |thing| {
            let (hangs, gate) = (moment == Moment::Handler, at_gate.clone());
            async move {
                if hangs {
                    gate.pass().await;
                }
                first_fails(thing.seq)
            }
        });
        let setup = Setup { binder: Some(binder.clone()), hook: broken, max_attempts: 2, ..first() };
        let service = world.start(setup).await;
        // One at a time, so that the first is given up before the second is seen.
        producer.send(vec![thing(key, 1)]).await.unwrap();
        gate.reached().await;
        service.crash().await;

        producer.send(vec![thing(key, 2)]).await.unwrap();
        let again = hanging(world, None, &gate).await;
        let hook = if heals { hook(|_| async { Ok(()) }) } else { hook(|thing| async move { first_fails(thing.seq) }) };
        let service = world.start(Setup { binder: Some(again.clone()), hook, max_attempts: 2, ..first() }).await;
        world.until_settled().await;
        service.stop().await;

        let (first, second) = (format!("{key}-1"), format!("{key}-2"));
        let effects: Vec<_> =
            world.effects().await.into_iter().filter(|effect| effect.key == key).map(|effect| effect.id).collect();
        let letters = world.letters().await.split_off(before);
        let said: Vec<_> = letters.iter().map(|at| (at.id.as_str(), at.kind.as_str(), at.attempts)).collect();
        let outcome = if moment == Moment::Handler && heals {
            assert_eq!((effects, said), (vec![first.clone(), second.clone()], vec![]), "at {moment:?}");
            "applied"
        } else {
            assert_eq!(effects, [""; 0], "at {moment:?}");
            assert_eq!(said, [(first.as_str(), "failed", 2), (second.as_str(), "parked", 0)], "at {moment:?}");
            "dead"
        };
        assert!(letters.iter().all(|letter| letter.state == "waiting"), "at {moment:?}: {letters:?}");
        for letter in &letters {
            let content = world.content(letter).await;
            let copies = [binder.copies(), again.copies()].concat();
            let copies: Vec<_> = copies.iter().filter(|copy| copy.id == letter.id).collect();
            assert!(!copies.is_empty(), "at {moment:?}: the broker has a copy of {}", letter.id);
            for copy in copies {
                assert_eq!((copy.group.as_str(), copy.attempts), (GROUP, letter.attempts), "at {moment:?}");
                assert_eq!((&copy.cause, &copy.destination), (&letter.cause, &letter.destination), "at {moment:?}");
                assert_eq!(copy.body, content.body, "at {moment:?}");
            }
        }
        inbox.extend([(first, outcome.to_owned()), (second, outcome.to_owned())]);
        assert_eq!(world.inbox().await, inbox, "at {moment:?}: one row for each event");
    }
}

/// What a handler says that fails for the first event of each key.
fn first_fails(seq: i64) -> Result<(), Failure> {
    if seq == 1 { Err(Failure::Failed(anyhow::anyhow!("broken"))) } else { Ok(()) }
}

pub(crate) async fn a_crash_while_giving_up_the_unreadable_leaves_one_letter(world: &World) {
    let producer = world.producer(1).await;
    for (key, &moment) in (1..).zip(&MOMENTS[1..]) {
        let gate = Gate::new();
        let binder = hanging(world, Some(moment), &gate).await;
        let service = world.start(Setup { binder: Some(binder.clone()), ..first() }).await;
        let unreadable = format!("unreadable {key}");
        producer.send(vec![saying(&unreadable, key, "{")]).await.unwrap();
        gate.reached().await;
        service.crash().await;

        producer.send(vec![thing(key, 1)]).await.unwrap();
        let again = hanging(world, None, &gate).await;
        let service = world.start(Setup { binder: Some(again.clone()), ..first() }).await;
        world.until_settled().await;
        service.stop().await;
        let expected: Vec<String> = (1..=key).map(|key| format!("unreadable {key}")).collect();
        let letters: Vec<String> = world.until_letters(expected.len()).await.into_iter().map(|at| at.id).collect();
        assert_eq!(letters, expected, "at {moment:?}");
        assert_eq!(world.applied().await.len(), expected.len(), "at {moment:?}: what stands behind it goes on");
        let copies = [binder.copies(), again.copies()].concat();
        assert!(copies.iter().any(|copy| copy.id == unreadable), "at {moment:?}: the broker has a copy");
    }
}

pub(crate) async fn a_crash_while_applying_leaves_one_effect(world: &World) {
    let producer = world.producer(1).await;
    let mut expected = Vec::new();
    for (key, moment) in (1..).zip([Moment::Handler, Moment::SettleAsked, Moment::Settled]) {
        let gate = Gate::new();
        let binder = hanging(world, Some(moment), &gate).await;
        let (at_gate, last) = (gate.clone(), format!("{key}-3"));
        let hook = hook(move |thing| {
            // With the batch half applied.
            let (hangs, gate) = (moment == Moment::Handler && thing.id == last, at_gate.clone());
            async move {
                if hangs {
                    gate.pass().await;
                }
                Ok(())
            }
        });
        producer.send((1..=3).map(|seq| thing(key, seq)).collect()).await.unwrap();
        let service = world.start(Setup { binder: Some(binder), hook, ..first() }).await;
        gate.reached().await;
        service.crash().await;
        let service = world.start(first()).await;
        world.until_settled().await;
        service.stop().await;
        expected.extend((1..=3).map(|seq| format!("{key}-{seq}")));
        assert_eq!(world.applied().await, expected, "at {moment:?}");
    }
    assert!(world.letters().await.is_empty());
}
