//! Effect or dead letter, never both and never neither.

use crate::lab::{THINGS, World, saying, thing, valued};
use crate::service::{Setup, failing, hook, retry};
use shared::database::inbox;
use shared::database::letters::wanted::{Wanted, one};
use shared::messaging::Outgoing;
use shared::messaging::failure::Failure;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use uuid::Uuid;

pub(crate) async fn what_cannot_be_read_is_invalid_at_once_and_parks_nothing(world: &World) {
    let unreadable: [(&str, &[u8], &str); 6] = [
        ("bad", b"{bad", "the message is no event"),
        ("empty", b"", "the message is empty"),
        ("unknown", br#"{"eventType":"UPDATE","key":1}"#, "unknown eventType \"UPDATE\""),
        ("without data", br#"{"eventType":"CREATE","key":1,"data":null}"#, "the event has no data"),
        ("other data", br#"{"eventType":"CREATE","key":1,"data":{"id":7}}"#, "the message is no event"),
        ("no text", b"{\"eventType\":\"CREATE\",\"key\":1,\"data\":\"\xff\"}", "the message is no event"),
    ];
    let service = world.start(Setup { max_attempts: 100, ..Setup::default() }).await;
    let producer = world.producer(1).await;
    let mut messages: Vec<_> = unreadable.iter().map(|(id, body, _)| saying(id, 1, body.to_vec())).collect();
    messages.push(thing(1, 1));
    // Once one after the other, and once together.
    producer.send(vec![messages.remove(0)]).await.unwrap();
    world.until_letters(1).await;
    producer.send(messages).await.unwrap();
    world.until_applied(&["1-1"]).await;
    let letters = world.until_letters(unreadable.len()).await;
    for (letter, (id, body, cause)) in letters.iter().zip(unreadable) {
        assert_eq!((letter.id.as_str(), world.content(letter).await.body.as_slice()), (id, body));
        assert_eq!((letter.kind.as_str(), letter.attempts), ("invalid", 1), "{id}");
        assert!(letter.cause.contains(cause), "the cause of {id} is {}", letter.cause);
    }
    let keys: Vec<Option<i32>> = letters.iter().map(|letter| letter.key).collect();
    assert_eq!(keys, [None, None, Some(1), Some(1), Some(1), Some(1)]);
    world.until_settled().await;
    service.stop().await;
}

pub(crate) async fn a_violated_constraint_is_invalid_at_once(world: &World) {
    let service = world.start(Setup { max_attempts: 100, ..Setup::default() }).await;
    world.producer(1).await.send(vec![thing(1, 1), valued(1, 2, "forbidden"), thing(1, 3)]).await.unwrap();
    world.until_applied(&["1-1", "1-3"]).await;
    let letters = world.until_letters(1).await;
    let letter = &letters[0];
    assert_eq!((letter.id.as_str(), letter.kind.as_str(), letter.attempts), ("1-2", "invalid", 1));
    assert!(letter.cause.to_lowercase().contains("check"), "the cause is {}", letter.cause);
    service.stop().await;
}

pub(crate) async fn a_failing_event_is_tried_as_often_as_configured_then_a_dead_letter(world: &World) {
    let service = world.start(Setup { max_attempts: 4, hook: failing("1-1"), ..Setup::default() }).await;
    let mut message = thing(1, 1);
    message.headers.insert("traceparent".to_owned(), "00-1-2-03".into());
    let body = message.body.clone();
    world.producer(1).await.send(vec![message]).await.unwrap();
    let letters = world.until_letters(1).await;
    let tries = service.tries("1-1");
    assert_eq!(tries.len(), 4);
    for (attempt, pair) in (1..).zip(tries.windows(2)) {
        let (pause, least) = (pair[1] - pair[0], retry(4).pause(attempt));
        assert!(pause >= least, "the pause after attempt {attempt} was {pause:?}, not {least:?}");
        assert!(pause < least + Duration::from_secs(2), "the pause after attempt {attempt} was {pause:?}");
    }
    let letter = &letters[0];
    assert_eq!((letter.id.as_str(), letter.kind.as_str(), letter.attempts), ("1-1", "failed", 4));
    assert_eq!((letter.cause.as_str(), letter.key), ("cannot apply: no luck", Some(1)));
    assert_eq!((letter.destination.as_str(), letter.partition), ("things", 0));
    let content = world.content(letter).await;
    assert_eq!(content.body, body);
    assert!(content.headers.contains(r#""traceparent":"00-1-2-03""#), "{}", content.headers);
    assert!(content.origin.starts_with('{') && content.origin.len() > 2, "the origin is {}", content.origin);
    world.until_settled().await;
    service.stop().await;
}

pub(crate) async fn an_event_that_fails_for_a_while_takes_effect_once(world: &World) {
    let left = AtomicU32::new(2);
    let recovering = hook(move |_| {
        let fails = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        async move { if fails { Err(Failure::Failed(anyhow::anyhow!("not yet"))) } else { Ok(()) } }
    });
    let service = world.start(Setup { hook: recovering, ..Setup::default() }).await;
    world.producer(1).await.send(vec![thing(1, 1)]).await.unwrap();
    world.until_applied(&["1-1"]).await;
    assert_eq!(service.tries("1-1").len(), 3);
    service.stop().await;
    assert!(world.letters().await.is_empty());
}

pub(crate) async fn a_bad_event_in_a_batch_costs_only_itself(world: &World) {
    world.producer(1).await.send((0..100).map(|key| thing(key, 1)).collect()).await.unwrap();
    let service = world.start(Setup { hook: failing("42-1"), ..Setup::default() }).await;
    let letters = world.until_letters(1).await;
    assert_eq!((letters[0].id.as_str(), letters[0].attempts), ("42-1", 3));
    let good: Vec<String> = (0..100).filter(|key| *key != 42).map(|key| format!("{key}-1")).collect();
    world.until_applied(&good.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(service.tries("42-1").len(), 4, "once with its batch, which does not count, and three times alone");
    world.until_settled().await;
    service.stop().await;
    assert_eq!(world.inbox().await.values().filter(|outcome| *outcome == "applied").count(), 99);
}

pub(crate) async fn an_event_twice_in_a_batch_takes_effect_once(world: &World) {
    let batch = vec![thing(1, 1), thing(2, 1), thing(1, 1), thing(1, 2), thing(2, 1), thing(1, 1)];
    world.producer(1).await.send(batch).await.unwrap();
    let service = world.start(Setup::default()).await;
    world.until_settled().await;
    service.stop().await;
    assert_eq!(world.applied().await, ["1-1", "2-1", "1-2"]);
    assert!(world.letters().await.is_empty());
}

pub(crate) async fn an_event_sent_again_later_takes_effect_once(world: &World) {
    let producer = world.producer(1).await;
    let service = world.start(Setup::default()).await;
    producer.send(vec![thing(1, 1)]).await.unwrap();
    world.until_applied(&["1-1"]).await;
    producer.send(vec![thing(1, 1)]).await.unwrap();
    producer.send(vec![thing(1, 2), thing(1, 1)]).await.unwrap();
    world.until_settled().await;
    service.stop().await;
    let service = world.start(Setup::default()).await;
    producer.send(vec![thing(1, 1), thing(1, 3)]).await.unwrap();
    world.until_settled().await;
    service.stop().await;
    assert_eq!(world.applied().await, ["1-1", "1-2", "1-3"]);
    assert!(world.letters().await.is_empty());
}

pub(crate) async fn an_id_may_be_longer_than_a_database_can_look_for(world: &World) {
    // Random, so that no database makes it short.
    let long = || (0..250).map(|_| Uuid::new_v4().simple().to_string()).collect::<String>();
    let (fine, bad) = (long(), long());
    let event = |id: &str, key, seq| Outgoing { id: id.to_owned(), ..thing(key, seq) };
    let service = world.start(Setup { hook: failing("2-1"), max_attempts: 1, ..Setup::default() }).await;
    let other = format!("{fine}x");
    let sent = vec![event(&fine, 1, 1), event(&fine, 1, 2), event(&other, 1, 3), event(&bad, 2, 1), thing(3, 1)];
    world.producer(1).await.send(sent).await.unwrap();
    world.until_applied(&["1-1", "1-3", "3-1"]).await;
    let letters = world.until_letters(1).await;
    assert_eq!((letters[0].key, letters[0].kind.as_str()), (Some(2), "failed"));
    assert!(letters[0].id.len() <= 255, "the letter is known by {} bytes", letters[0].id.len());
    world.until_settled().await;
    one(&world.database, &letters[0].id, Wanted::Drop).await.unwrap();
    world.until_no_letters().await;
    service.stop().await;
}

pub(crate) async fn a_closed_letter_is_remembered_longer_than_the_inbox_remembers(world: &World) {
    let producer = world.producer(1).await;
    let broken = || Setup { hook: failing("1-1"), max_attempts: 1, ..Setup::default() };
    let service = world.start(broken()).await;
    producer.send(vec![thing(1, 1)]).await.unwrap();
    world.until_letters(1).await;
    let mut transaction = world.database(Duration::from_secs(5)).await.begin().await.unwrap();
    sqlx::query("UPDATE dead_letters SET state = 'closed'").execute(&mut *transaction).await.unwrap();
    inbox::forget(&mut transaction, THINGS, 0, i64::MAX, 100).await.unwrap();
    transaction.commit().await.unwrap();
    // The same request again, long after: there cannot be a second letter of it, and it must not hold the partition.
    producer.send(vec![thing(1, 1), thing(2, 1)]).await.unwrap();
    world.until_applied(&["2-1"]).await;
    world.until_settled().await;
    service.stop().await;
    assert_eq!(world.inbox().await["1-1"], "dead");
}

pub(crate) async fn a_handler_that_panics_does_not_block_its_partition(world: &World) {
    let panicking = hook(|thing| async move {
        if thing.id == "1-1" {
            // A panic that the output of the tests is not filled with.
            std::panic::resume_unwind(Box::new("a bug in the handler"));
        }
        Ok(())
    });
    let service = world.start(Setup { hook: panicking, ..Setup::default() }).await;
    world.producer(1).await.send(vec![thing(1, 1), thing(2, 1)]).await.unwrap();
    world.until_applied(&["2-1"]).await;
    let letters = world.until_letters(1).await;
    assert_eq!((letters[0].id.as_str(), letters[0].kind.as_str(), letters[0].attempts), ("1-1", "failed", 3));
    assert!(letters[0].cause.ends_with("a bug in the handler"), "the cause is {}", letters[0].cause);
    service.stop().await;
}
