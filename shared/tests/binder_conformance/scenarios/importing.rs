//! What other services left among the dead letters. How they leave it, the labs know.

use crate::lab::{GROUP, World, consuming, dead_letter, thing};
use crate::service::{Setup, failing};
use shared::database::letters::wanted::{Wanted, one};
use shared::messaging::STANDING_BYTES;
use shared::messaging::processor::{Imported, import};

/// `leave` puts a dead letter of Java there, known by an id where it has one.
pub(crate) async fn what_others_left_is_imported_once(
    world: &World,
    leave: impl AsyncFn(Option<&str>, &[u8]),
    known_again: u64,
) {
    let service = world.start(Setup { hook: failing("1-1"), max_attempts: 1, ..Setup::default() }).await;
    let producer = world.producer(1).await;
    producer.send(vec![thing(1, 1)]).await.unwrap();
    world.until_letters(1).await;
    leave(Some("java"), &thing(5, 7).body).await;
    leave(None, &thing(6, 8).body).await;
    leave(None, b"{").await;

    let binder = world.binder().await;
    let importing = async || import(&*binder, &consuming(GROUP, 1), &world.database).await.unwrap();
    // The fourth is our own copy of 1-1.
    assert_eq!(importing().await, Imported { imported: 3, known: 1, more: false });
    let letters = world.letters().await;
    let said: Vec<_> = letters.iter().map(|at| (at.key, at.kind.as_str(), at.cause.as_str(), at.attempts)).collect();
    assert_eq!(
        said,
        [
            (Some(1), "failed", "cannot apply: no luck", 1),
            (Some(5), "foreign", "Java had no luck", 0),
            (Some(6), "foreign", "Java had no luck", 0),
            (None, "foreign", "Java had no luck", 0)
        ]
    );
    assert_eq!(letters[1].id, "java");
    assert_eq!(importing().await, Imported { imported: 0, known: known_again, more: false });
    // It comes once more.
    leave(Some("java"), &thing(5, 7).body).await;
    assert_eq!(importing().await, Imported { imported: 0, known: 1 + known_again, more: false });

    // It parks nothing, and takes effect where somebody asks for it.
    producer.send(vec![thing(5, 9)]).await.unwrap();
    world.until_applied(&["5-9"]).await;
    for letter in &letters[1..3] {
        one(&world.database, &letter.id, Wanted::Replay).await.unwrap();
    }
    world.until_applied(&["5-9", "5-7", "6-8"]).await;
    one(&world.database, &letters[3].id, Wanted::Drop).await.unwrap();
    assert_eq!(world.until_letters(1).await[0].id, "1-1");
    leave(Some("java"), &thing(5, 7).body).await;
    assert_eq!(importing().await.imported, 0, "a closed one is remembered");
    one(&world.database, "1-1", Wanted::Drop).await.unwrap();
    world.until_no_letters().await;
    service.stop().await;
}

pub(crate) async fn letters_that_weigh_much_are_read_in_parts(world: &World) {
    let (binder, binding) = (world.binder().await, consuming(GROUP, 1));
    world.join(&*binder, &binding).await.leave().await;
    for number in 0..6 {
        let letter = dead_letter(&format!("heavy {number}"), 3 << 20);
        binder.dead_letter(&letter).await.unwrap();
    }
    let mut reader = binder.dead_letters(&binding).await.unwrap().expect("letters");
    let mut ids = Vec::new();
    loop {
        let read = reader.next(50).await.unwrap();
        // The one that makes it enough, and one that was on its way.
        let weight: usize = read.iter().map(|letter| letter.message.body.len()).sum();
        assert!(weight <= STANDING_BYTES + (6 << 20), "{weight} bytes");
        if read.is_empty() {
            break;
        }
        ids.extend(read.into_iter().map(|letter| letter.message.id));
        reader.settle(&[]).await.unwrap();
    }
    reader.close().await.unwrap();
    assert_eq!(ids, (0..6).map(|number| format!("heavy {number}")).collect::<Vec<_>>());
}
