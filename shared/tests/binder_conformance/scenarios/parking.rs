//! What comes behind an event that failed.

use crate::lab::{World, saying, thing};
use crate::service::{Setup, failing};
use std::collections::BTreeMap;

pub(crate) async fn a_failed_event_parks_its_key_and_no_other(world: &World) {
    // Also within one batch, behind the event that fails there.
    let batch = vec![thing(1, 1), thing(2, 1), thing(1, 2), saying("unreadable", 2, "{"), thing(2, 2), thing(1, 3)];
    world.producer(1).await.send(batch).await.unwrap();
    let service = world.start(Setup { hook: failing("1-1"), max_attempts: 2, ..Setup::default() }).await;
    world.until_letters(4).await;
    let producer = world.producer(1).await;
    for event in [thing(1, 4), thing(2, 3), thing(1, 5)] {
        producer.send(vec![event]).await.unwrap();
    }
    let letters = world.until_letters(6).await;
    world.until_applied(&["2-1", "2-2", "2-3"]).await;
    let said: Vec<_> =
        letters.iter().map(|at| (at.id.as_str(), at.kind.as_str(), at.cause.as_str(), at.attempts)).collect();
    assert_eq!(said[0], ("1-1", "failed", "cannot apply: no luck", 2));
    assert_eq!(said[1], ("1-2", "parked", "parked behind 1-1", 0));
    assert_eq!((said[2].0, said[2].1), ("unreadable", "invalid"));
    for (letter, id) in said[3..].iter().zip(["1-3", "1-4", "1-5"]) {
        assert_eq!(*letter, (id, "parked", "parked behind 1-1", 0));
    }
    for id in ["1-2", "1-3", "1-4", "1-5"] {
        assert!(service.tries(id).is_empty(), "the parked event {id} never reaches the handler");
    }
    world.until_settled().await;
    service.stop().await;

    let dead = ["1-1", "1-2", "unreadable", "1-3", "1-4", "1-5"].map(|id| (id.to_owned(), "dead".to_owned()));
    let applied = ["2-1", "2-2", "2-3"].map(|id| (id.to_owned(), "applied".to_owned()));
    assert_eq!(world.inbox().await, BTreeMap::from_iter(dead.into_iter().chain(applied)));
}

pub(crate) async fn a_key_stays_parked_across_a_restart(world: &World) {
    let producer = world.producer(2).await;
    let broken = Setup { partitions: 2, hook: failing("1-1"), max_attempts: 1, ..Setup::default() };
    let service = world.start(broken).await;
    producer.send(vec![thing(1, 1), thing(3, 1), thing(1, 2)]).await.unwrap();
    world.until_letters(2).await;
    service.stop().await;

    // The handler works again, but what failed has to be decided on before anything behind it.
    let service = world.start(Setup { partitions: 2, ..Setup::default() }).await;
    producer.send(vec![thing(1, 3), thing(3, 2), thing(2, 1), thing(1, 4)]).await.unwrap();
    let letters = world.until_letters(4).await;
    let ids: Vec<&str> = letters.iter().map(|letter| letter.id.as_str()).collect();
    assert_eq!(ids, ["1-1", "1-2", "1-3", "1-4"]);
    assert!(letters.is_sorted_by_key(|letter| letter.sequence));
    assert!(letters[1..].iter().all(|letter| letter.kind == "parked" && letter.cause == "parked behind 1-1"));
    world.until_settled().await;
    service.stop().await;
    let mut applied = world.applied().await;
    applied.sort();
    assert_eq!(applied, ["2-1", "3-1", "3-2"]);
}
