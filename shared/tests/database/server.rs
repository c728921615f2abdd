//! What only a database that is a server has: sessions, several instances, and times at which it is away.

use super::{NONE, found_letter, letter, mark, open, standing};
use shared::database::inbox::{self, Outcome};
use shared::database::letters::wanted::{self, Unwanted, Wanted};
use shared::database::letters::{self, Kind, decided};
use shared::database::{Database, PoolConfig, Trouble, trouble};
use std::time::{Duration, Instant};
use testkit::servers::{Own, found, postgres};
use testkit::{SOON, eventually};

#[tokio::test]
async fn several_instances_may_open_an_empty_database_at_once() {
    let Some(server) = found(postgres().await) else { return };
    let url = server.database().await;
    let opened = futures_util::future::join_all((0..8).map(|_| open(&url))).await;
    for database in opened {
        database.ping().await.unwrap();
        database.close().await;
    }
}

#[tokio::test]
async fn who_freezes_in_a_transaction_does_not_hold_its_successor() {
    let Some(server) = found(postgres().await) else { return };
    let url = server.database().await;
    let (frozen, successor) = (open(&url).await, open(&url).await);
    let mut transaction = frozen.begin().await.unwrap();
    inbox::take(&mut transaction, "d", 0, Outcome::Applied, &["a"]).await.unwrap();
    let taken = eventually(SOON, "the event taken", async || {
        let mut transaction = successor.begin().await?;
        let taken = inbox::take(&mut transaction, "d", 0, Outcome::Applied, &["a"]).await?.len();
        transaction.commit().await?;
        Ok::<_, sqlx::Error>(taken)
    });
    assert_eq!(taken.await, 1);
    let error = transaction.commit().await.unwrap_err();
    assert_eq!(trouble(&error), Trouble::Away, "{error}");
    frozen.close().await;
    successor.close().await;
}

#[tokio::test]
async fn a_session_is_set_up_as_the_url_says_and_else_as_we_need_it() {
    let Some(server) = found(postgres().await) else { return };
    let url = format!("{}?application_name=mine&options[lock_timeout]=77", server.database().await);
    let database = open(&url).await;
    for (name, value) in [
        ("application_name", "mine"),
        ("lock_timeout", "77ms"),
        ("idle_in_transaction_session_timeout", "5s"),
        ("tcp_user_timeout", "5000"),
        ("transaction_isolation", "read committed"),
    ] {
        let setting = sqlx::query_scalar::<_, String>("SELECT current_setting($1)").bind(name);
        assert_eq!(setting.fetch_one(database.readers()).await.unwrap(), value, "{name}");
    }
    database.close().await;
}

#[tokio::test]
async fn what_a_server_refuses_is_a_sentence_without_the_password() {
    let Some(server) = found(postgres().await) else { return };
    let right = server.named("nowhere");
    let wrong = server.named_with_password("nowhere", "wr0ng");
    let no_tls = format!("{right}?sslmode=require&password=secret");
    for (url, sentence) in [
        (&right, "database \"nowhere\" does not exist"),
        (&wrong, "password authentication failed for user"),
        (&no_tls, "TLS"),
    ] {
        let error = Database::open(url, &PoolConfig::default(), &NONE).await.unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(sentence) && error.contains("/nowhere: "), "{error}");
        assert!(!error.contains("secret") && !error.contains("wr0ng"), "{error}");
    }
    for url in ["postgres://me:secret@host:port/db", "mysql://me:secret@host/db"] {
        let error = format!("{:#}", Database::open(url, &PoolConfig::default(), &NONE).await.unwrap_err());
        assert!(!error.contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_prepared_when_it_comes_and_left_when_it_freezes() {
    let Some(own) = found(Own::postgres().await) else { return };
    let pool = PoolConfig { wait: Duration::from_secs(1), ..PoolConfig::default() };
    let database = Database::open(&own.server.named("postgres"), &pool, &NONE).await.unwrap();
    assert!(!format!("{database:?}").contains("secret"), "{database:?}");
    eventually(SOON, "the reason is told", async || {
        let refused = database.ping().await.unwrap_err();
        assert_eq!(trouble(&refused), Trouble::Away);
        if refused.to_string().contains("refused") { Ok(()) } else { Err(refused) }
    })
    .await;
    own.start().await;
    eventually(SOON, "it is prepared", async || database.prepare().await).await;
    eventually(SOON, "it answers", async || database.ping().await).await;

    let mut transaction = database.begin().await.unwrap();
    inbox::take(&mut transaction, "d", 0, Outcome::Applied, &["a"]).await.unwrap();
    own.freeze().await;
    let given_up = tokio::time::timeout(Duration::from_millis(200), transaction.commit()).await;
    assert!(given_up.is_err(), "a frozen server answers nothing");
    assert_eq!(trouble(&database.ping().await.unwrap_err()), Trouble::Away);
    for _ in 0..pool.max_readers {
        assert_eq!(trouble(&database.begin().await.map(drop).unwrap_err()), Trouble::Away);
    }
    own.thaw().await;
    eventually(SOON, "as many transactions as there may be connections", async || {
        futures_util::future::try_join_all((0..pool.max_readers).map(|_| database.begin())).await.map(drop)
    })
    .await;

    own.freeze().await;
    let start = Instant::now();
    database.close().await;
    assert!(start.elapsed() < Duration::from_secs(5), "who stops does not wait for a frozen server");
    own.thaw().await;
}

/// Waits until somebody waits for a lock of another.
async fn until_one_waits(database: &Database) {
    let waiting =
        "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually(SOON, "one who waits", async || {
        let count: i64 = sqlx::query_scalar(waiting).fetch_one(database.readers()).await.unwrap();
        if count == 1 { Ok(()) } else { Err(count) }
    })
    .await;
}

#[tokio::test]
async fn letters_are_seen_in_the_order_of_their_sequences() {
    let Some(server) = found(postgres().await) else { return };
    let database = open(&server.database().await).await;
    let mut slow = database.begin().await.unwrap();
    letters::write(&mut slow, "d", 0, &[letter("slow", Some(7), Kind::Failed)]).await.unwrap();
    let quick = async {
        let mut quick = database.begin().await.unwrap();
        letters::write(&mut quick, "d", 1, &[letter("quick", Some(8), Kind::Failed)]).await.unwrap();
        quick.commit().await.unwrap();
    };
    let slow = async {
        until_one_waits(&database).await;
        assert_eq!(letters::last(&database).await.unwrap(), None);
        slow.commit().await.unwrap();
    };
    tokio::join!(quick, slow);
    let (slow, quick) = (found_letter(&database, "slow").await, found_letter(&database, "quick").await);
    assert!(slow.sequence < quick.sequence);
    database.close().await;
}

#[tokio::test]
async fn who_wants_something_of_a_letter_that_is_being_closed_is_told_so() {
    let Some(server) = found(postgres().await) else { return };
    let database = open(&server.database().await).await;
    standing(&database, 1, 1).await;
    mark(&database, "sequence = 1", "replay").await;
    let letter = found_letter(&database, "1").await;
    let mut deciding = database.begin().await.unwrap();
    assert_eq!(decided::claim(&mut deciding, &letter).await.unwrap(), decided::Claim::Closed);
    let deciding = async {
        until_one_waits(&database).await;
        deciding.commit().await.unwrap();
    };
    let (asked, ()) = tokio::join!(wanted::one(&database, "1", Wanted::Drop), deciding);
    assert!(matches!(&asked, Err(Unwanted::Closed(id)) if id == "1"), "{asked:?}");
    database.close().await;
}

#[tokio::test]
async fn who_parks_events_of_some_keys_and_who_wants_all_letters_wait_for_each_other_in_turn() {
    let Some(server) = found(postgres().await) else { return };
    let database = open(&server.database().await).await;
    standing(&database, 1, 2).await;
    let mut other_key = database.begin().await.unwrap();
    sqlx::query("UPDATE dead_letters SET event_key = 8 WHERE id = '2'").execute(&mut *other_key).await.unwrap();
    other_key.commit().await.unwrap();
    // In whatever order the one who wants both comes to them.
    for keys in [[7, 8], [8, 7]] {
        let mut parking = database.begin().await.unwrap();
        assert_eq!(letters::parked(&mut parking, "d", &keys[..1]).await.unwrap().len(), 1);
        let parking = async {
            until_one_waits(&database).await;
            let parked = letters::parked(&mut parking, "d", &keys[1..]).await.map(|parked| parked.len());
            parking.commit().await.unwrap();
            parked
        };
        let (wanted, parked) = tokio::join!(wanted::parking(&database, None, None, Wanted::ReplayKey), parking);
        assert_eq!((wanted.unwrap().wanted, parked.unwrap()), (2, 1));
    }
    database.close().await;
}
