//! What only a database that is a server has: sessions, several instances, and times at which it is away.

use super::{NONE, open};
use shared::database::inbox::{self, Outcome};
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
    let refused = database.ping().await.unwrap_err();
    assert!(refused.to_string().contains("refused"), "the reason is told: {refused}");
    assert_eq!(trouble(&refused), Trouble::Away);
    own.start().await;
    database.prepare().await.unwrap();
    database.ping().await.unwrap();

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
