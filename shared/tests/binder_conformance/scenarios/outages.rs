//! Databases and brokers that are away cost time and nothing else; a stop ends every wait.

use crate::lab::{GROUP, SOON, World, thing, valued};
use crate::service::{Hook, Service, Setup, failing, hook};
use crate::tampered::{Gate, Step, Tampered};
use shared::messaging::BinderError;
use shared::messaging::failure::Failure;
use sqlx::Connection;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use testkit::eventually;

/// How long a service waits for a lock here, or for a connection.
const WAIT: Duration = Duration::from_millis(250);

async fn until_tries(service: &Service, id: &str, count: usize) {
    eventually(SOON, &format!("{count} tries of {id}"), async || match service.tries(id).len() {
        enough if enough >= count => Ok(()),
        tries => Err(format!("{tries}")),
    })
    .await;
}

pub(crate) async fn a_locked_database_costs_time_and_nothing_else(world: &World) {
    let producer = world.producer(1).await;
    let service = world.start(Setup { database: Some(world.database(WAIT).await), batch: 1, ..Setup::default() }).await;
    producer.send(vec![thing(1, 1)]).await.unwrap();
    world.until_applied(&["1-1"]).await;

    let lock = world.lock_database().await;
    producer.send(vec![thing(1, 2), thing(2, 1)]).await.unwrap();
    // Not a wait for something to happen: the lock is held for several times as long as the service waits for it.
    tokio::time::sleep(WAIT * 4).await;
    assert!(service.is_running());
    assert!(service.tries("1-2").is_empty());
    lock.close().await.unwrap();

    world.until_applied(&["1-1", "1-2", "2-1"]).await;
    world.until_settled().await;
    service.stop().await;
    assert!(world.letters().await.is_empty());
}

pub(crate) async fn a_full_disk_costs_time_and_nothing_else(world: &World) {
    let full = Arc::new(AtomicBool::new(true));
    let service = world.start(Setup { disk_full: Some(full.clone()), max_attempts: 2, ..Setup::default() }).await;
    // More than fits into the pages that there are.
    world.producer(1).await.send(vec![valued(1, 1, &"large".repeat(10_000)), thing(2, 1)]).await.unwrap();
    until_tries(&service, "1-1", 5).await;
    assert!(world.effects().await.is_empty());
    assert!(world.letters().await.is_empty());
    full.store(false, Ordering::SeqCst);
    world.until_applied(&["1-1", "2-1"]).await;
    world.until_settled().await;
    service.stop().await;
    assert!(world.letters().await.is_empty());
}

/// A handler that cannot reach what it needs while `away` is set.
fn out_of_reach(away: &Arc<AtomicBool>) -> Hook {
    let away = away.clone();
    hook(move |_| {
        let away = away.load(Ordering::SeqCst);
        async move { if away { Err(Failure::Unavailable(anyhow::anyhow!("out of reach"))) } else { Ok(()) } }
    })
}

pub(crate) async fn an_unavailable_handler_is_asked_until_it_is_back(world: &World) {
    let producer = world.producer(1).await;
    let mut applied = Vec::new();
    // One at a time, and together.
    for batch in [1, 100] {
        let away = Arc::new(AtomicBool::new(true));
        let setup = Setup { hook: out_of_reach(&away), max_attempts: 1, batch, ..Setup::default() };
        let service = world.start(setup).await;
        let [first, second] = [1, 2].map(|key| thing(key, batch.into()));
        applied.extend([first.id.clone(), second.id.clone()]);
        producer.send(vec![first, second]).await.unwrap();
        let [.., first, second] = &applied[..] else { unreachable!() };
        until_tries(&service, first, 4).await;
        assert_eq!(world.applied().await, applied[..applied.len() - 2]);
        assert!(service.tries(second).is_empty(), "nothing overtakes what is held");
        away.store(false, Ordering::SeqCst);
        world.until_settled().await;
        service.stop().await;
        assert_eq!(world.applied().await, applied);
        assert!(world.letters().await.is_empty());
    }
}

pub(crate) async fn a_stop_ends_an_outage_and_leaves_the_event(world: &World) {
    let tries = Arc::new(AtomicU32::new(0));
    let (tried, away) = (tries.clone(), out_of_reach(&Arc::new(AtomicBool::new(true))));
    let counted = hook(move |thing| {
        tried.fetch_add(1, Ordering::SeqCst);
        away(thing)
    });
    let service = world.start(Setup { hook: counted, ..Setup::default() }).await;
    world.producer(1).await.send(vec![thing(1, 1)]).await.unwrap();
    // The pauses are 25, 50, 100, 200, 400, 800, 1600 milliseconds; the stop comes in the last.
    until_tries(&service, "1-1", 7).await;
    let before = tries.load(Ordering::SeqCst);
    service.stop().await;
    assert_eq!(tries.load(Ordering::SeqCst), before, "the pause was sat out");
    // It is not settled.
    world.until_lag(GROUP, 1).await;
    assert!(world.inbox().await.is_empty() && world.letters().await.is_empty());

    let service = world.start(Setup::default()).await;
    world.until_applied(&["1-1"]).await;
    service.stop().await;
}

pub(crate) async fn a_stop_finishes_the_batch_in_hand(world: &World) {
    let gate = Gate::new();
    let at_gate = gate.clone();
    let waiting = hook(move |thing| {
        let gate = at_gate.clone();
        async move {
            if thing.id == "2-1" {
                gate.pass().await;
            }
            Ok(())
        }
    });
    world.producer(1).await.send((1..=5).map(|key| thing(key, 1)).collect()).await.unwrap();
    let service = world.start(Setup { batch: 3, hook: waiting, ..Setup::default() }).await;
    gate.reached().await;
    service.ask_to_stop();
    tokio::task::yield_now().await;
    assert!(service.is_running(), "a stop waits for the batch in hand");
    gate.open();
    service.stopped().await;
    // As much of them as was there when the batch was taken.
    let finished = world.applied().await;
    assert!(finished.starts_with(&["1-1".to_owned(), "2-1".to_owned()]), "the batch in hand is finished: {finished:?}");
    assert!(finished.len() < 5, "the next batch is not begun: {finished:?}");
    world.until_lag(GROUP, 5 - i64::try_from(finished.len()).unwrap()).await;

    let service = world.start(Setup::default()).await;
    world.until_applied(&["1-1", "2-1", "3-1", "4-1", "5-1"]).await;
    assert!(service.tries("2-1").is_empty(), "the batch in hand was settled");
    service.stop().await;
}

pub(crate) async fn a_broker_that_takes_no_copy_now_holds_the_partition(world: &World) {
    let (away, asked) = (Arc::new(AtomicBool::new(true)), Gate::opened());
    let (is_away, ask) = (away.clone(), asked.clone());
    let binder = Tampered::new(world.binder().await, move |step| {
        let away = is_away.load(Ordering::SeqCst) && matches!(step, Step::CopyAsked(_));
        let ask = ask.clone();
        async move {
            if !away {
                return Ok(());
            }
            ask.pass().await;
            Err(BinderError::unavailable("keep a copy", anyhow::anyhow!("the broker is away")))
        }
    });
    let setup = Setup { binder: Some(binder.clone()), hook: failing("1-1"), max_attempts: 1, ..Setup::default() };
    let service = world.start(setup).await;
    let producer = world.producer(1).await;
    producer.send(vec![thing(1, 1)]).await.unwrap();
    asked.reached().await;
    producer.send(vec![thing(2, 1)]).await.unwrap();
    asked.reached_by(4).await;
    let letters = world.letters().await;
    assert_eq!((letters.len(), letters[0].state.as_str()), (1, "unsent"));
    assert!(world.effects().await.is_empty(), "what stands behind a letter without its copy waits");
    world.until_lag(GROUP, 2).await;
    away.store(false, Ordering::SeqCst);
    world.until_applied(&["2-1"]).await;
    world.until_letters(1).await;
    service.stop().await;
    let copies = binder.copies();
    assert_eq!((copies.len(), copies[0].id.as_str()), (1, "1-1"));
    assert_eq!((copies[0].group.as_str(), copies[0].attempts), (GROUP, 1));
    assert_eq!(copies[0].cause, "cannot apply: no luck");
}

pub(crate) async fn a_partition_that_cannot_be_settled_is_not_taken_again_and_again(world: &World) {
    let asked = Gate::opened();
    let ask = asked.clone();
    let settling = Arc::new(AtomicBool::new(false));
    let may_settle = settling.clone();
    let binder = Tampered::new(world.binder().await, move |step| {
        let (ask, settles) = (ask.clone(), may_settle.load(Ordering::SeqCst));
        async move {
            if !matches!(step, Step::SettleAsked) || settles {
                return Ok(());
            }
            ask.pass().await;
            Err(BinderError::unavailable("settle", anyhow::anyhow!("the disk is full")))
        }
    });
    let service = world.start(Setup { binder: Some(binder), ..Setup::default() }).await;
    world.producer(1).await.send(vec![thing(1, 1)]).await.unwrap();
    asked.reached().await;
    // Not a wait for something to happen: it is tried again in seconds, and not hundreds of times.
    let again = tokio::time::timeout(Duration::from_secs(3), asked.reached_by(10)).await;
    assert!(again.is_err(), "ten times in three seconds");
    settling.store(true, Ordering::SeqCst);
    world.until_settled().await;
    service.stop().await;
    assert_eq!(world.applied().await, ["1-1"]);
}

pub(crate) async fn a_copy_that_cannot_be_noted_is_not_sent_again(world: &World) {
    let gate = Gate::new();
    let at_gate = gate.clone();
    let binder = Tampered::new(world.binder().await, move |step| {
        let gate = at_gate.clone();
        async move {
            if matches!(step, Step::CopyKept) {
                gate.pass().await;
            }
            Ok(())
        }
    });
    let database = Some(world.database(WAIT).await);
    let setup =
        Setup { binder: Some(binder.clone()), database, hook: failing("1-1"), max_attempts: 1, ..Setup::default() };
    let service = world.start(setup).await;
    world.producer(1).await.send(vec![thing(1, 1), thing(2, 1)]).await.unwrap();
    gate.reached().await;
    let lock = world.lock_letters().await;
    gate.open();
    // Not a wait for something to happen: nobody can write for several times as long as the service waits for it.
    tokio::time::sleep(WAIT * 6).await;
    assert_eq!(world.letters().await[0].state, "unsent");
    lock.close().await.unwrap();
    world.until_applied(&["2-1"]).await;
    world.until_letters(1).await;
    service.stop().await;
    assert_eq!(binder.copies().len(), 1);
}

pub(crate) async fn a_refused_copy_is_cut_and_then_done_without(world: &World) {
    // Takes only copies without headers, and none of key 2.
    let binder = Tampered::new(world.binder().await, |step| async move {
        let refused = match &step {
            Step::CopyAsked(copy) => !copy.headers.is_empty() || copy.cause.len() > 500 || copy.id == "2-1",
            _ => false,
        };
        if refused { Err(BinderError::refused("keep a copy", anyhow::anyhow!("too long"))) } else { Ok(()) }
    });
    let broken = hook(|thing| async move {
        if thing.seq == 1 { Err(Failure::Failed(anyhow::anyhow!("why? ".repeat(1_000)))) } else { Ok(()) }
    });
    let setup = Setup { binder: Some(binder.clone()), hook: broken, max_attempts: 1, ..Setup::default() };
    let service = world.start(setup).await;
    let with_header = |mut message: shared::messaging::Outgoing| {
        message.headers.insert("long".to_owned(), "header".into());
        message
    };
    let events = [thing(1, 1), thing(2, 1), thing(3, 2)].map(with_header);
    world.producer(1).await.send(events.into()).await.unwrap();
    world.until_applied(&["3-2"]).await;
    let letters = world.until_letters(2).await;
    for letter in &letters {
        assert_eq!(letter.cause.len(), 5_000);
        assert!(world.content(letter).await.headers.contains("long"));
    }
    service.stop().await;
    let copies = binder.copies();
    assert_eq!(copies.len(), 1, "only one was taken, after it had been cut");
    assert_eq!((copies[0].id.as_str(), copies[0].cause.len(), copies[0].headers.len()), ("1-1", 500, 0));
}
