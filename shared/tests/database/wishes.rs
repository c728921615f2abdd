//! What somebody wants of letters, and what he is told of them.

use super::{databases, found_letter, mark, open, standing, wanted_of};
use shared::database::letters::summary::summary;
use shared::database::letters::wanted::{self, Marked, Wanted};
use shared::database::letters::{self, decided};
use testkit::servers::{found, postgres};

#[tokio::test]
async fn who_asks_means_what_stood_there_when_he_did() {
    let (databases, _folder) = databases().await;
    for database in databases {
        standing(&database, 1, 3).await;
        assert_eq!(
            wanted::parking(&database, Some(7), Some(2), Wanted::Drop).await.unwrap(),
            Marked { wanted: 2, upto: 2 },
            "{database:?}"
        );
        assert_eq!(found_letter(&database, "3").await.wanted, None);
        assert_eq!(wanted::parking(&database, None, Some(0), Wanted::Drop).await.unwrap().wanted, 0);
        assert_eq!(wanted::parking(&database, Some(8), None, Wanted::Drop).await.unwrap().wanted, 0);
        // While others come, one after the other, it comes to an end.
        let asked = async { wanted::parking(&database, Some(7), None, Wanted::Drop).await.unwrap().wanted };
        let coming = async {
            for number in 4..100 {
                standing(&database, number, number).await;
            }
        };
        let (asked, ()) = tokio::join!(asked, coming);
        assert!((3..50).contains(&asked), "{asked} letters in {database:?}");
        assert_eq!(wanted_of(&database).await, i64::try_from(asked).unwrap());
        database.close().await;
    }
}

#[tokio::test]
async fn the_wishes_of_a_key_that_has_stopped_are_given_up_in_pieces() {
    let (databases, _folder) = databases().await;
    for database in databases {
        standing(&database, 1, 5_003).await;
        wanted::parking(&database, Some(7), None, Wanted::ReplayKey).await.unwrap();
        let first = found_letter(&database, "1").await;
        let mut transaction = database.begin().await.unwrap();
        decided::failed(&mut transaction, &first, "no luck", 1).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(wanted_of(&database).await, 2, "{database:?}");
        let stuck = decided::due(&database, "d", (0, 1), 1).await.unwrap().remove(0);
        let mut transaction = database.begin().await.unwrap();
        assert!(decided::unwant_if_stuck(&mut transaction, &stuck).await.unwrap());
        transaction.commit().await.unwrap();
        assert_eq!(wanted_of(&database).await, 0);
        database.close().await;
    }
}

#[tokio::test]
async fn a_wish_is_given_up_only_if_nobody_wants_anything_of_the_first_meanwhile() {
    let Some(server) = found(postgres().await) else { return };
    let database = open(&server.database().await).await;
    standing(&database, 1, 3).await;
    mark(&database, "sequence = 2", "replay").await;
    let second = found_letter(&database, "2").await;
    let mut asking = database.begin().await.unwrap();
    let all = "UPDATE dead_letters SET wanted = 'drop'";
    sqlx::query(all).execute(&mut *asking).await.unwrap();
    let leaving = async {
        let mut leaving = database.begin().await.unwrap();
        let stuck = decided::unwant_if_stuck(&mut leaving, &second).await.unwrap();
        leaving.commit().await.unwrap();
        stuck
    };
    let asking = async {
        server.execute("SELECT pg_sleep(0.2)").await;
        asking.commit().await.unwrap();
    };
    let (stuck, ()) = tokio::join!(leaving, asking);
    assert!(!stuck);
    assert_eq!(wanted_of(&database).await, 3);
    database.close().await;
}

#[tokio::test]
async fn a_letter_that_is_found_invalid_meanwhile_has_nobody_parked_behind_it() {
    let Some(server) = found(postgres().await) else { return };
    let database = open(&server.database().await).await;
    standing(&database, 1, 1).await;
    mark(&database, "sequence = 1", "replay-key").await;
    let letter = found_letter(&database, "1").await;
    let mut deciding = database.begin().await.unwrap();
    decided::invalid(&mut deciding, &letter, "refused", 1).await.unwrap();
    let parking = async {
        let mut parking = database.begin().await.unwrap();
        let parked = letters::parked(&mut parking, "d", &[7]).await.unwrap();
        parking.commit().await.unwrap();
        parked
    };
    let deciding = async {
        server.execute("SELECT pg_sleep(0.2)").await;
        deciding.commit().await.unwrap();
    };
    let (parked, ()) = tokio::join!(parking, deciding);
    assert!(parked.is_empty(), "parked behind {parked:?}");
    database.close().await;
}

#[tokio::test]
async fn what_is_counted_stood_so_at_one_moment() {
    let (databases, _folder) = databases().await;
    for database in databases {
        standing(&database, 1, 200).await;
        mark(&database, "TRUE", "drop").await;
        let closing = async {
            for sequence in 1..=200 {
                let mut transaction = database.begin().await.unwrap();
                let closed = sqlx::query("UPDATE dead_letters SET state = 'closed' WHERE sequence = $1");
                closed.bind(sequence).execute(&mut *transaction).await.unwrap();
                transaction.commit().await.unwrap();
            }
        };
        let counting = async {
            loop {
                let counted = summary(&database).await.unwrap();
                assert_eq!(counted.failed, counted.wanted_drop, "{database:?}");
                if counted.open == 0 {
                    break;
                }
            }
        };
        tokio::join!(closing, counting);
        database.close().await;
    }
}
