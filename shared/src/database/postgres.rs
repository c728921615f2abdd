//! PostgreSQL: a server that may be away when we start and later, and that must not wait for one of us that froze.

use super::{Database, PoolConfig, Product, migrators};
use anyhow::anyhow;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Connection, Error};
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// The tables that every service has beside its own.
static SHARED_TABLES: Migrator = sqlx::migrate!("./migrations/postgres");

/// How long a transaction as a whole may take. The driver sets no time limits on its sockets: where a server freezes, or
/// vanishes from the network without a word, only this ends the wait.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How long health waits for the pool before it asks why.
const SILENCE: Duration = Duration::from_millis(500);

/// How long a connection that answered is taken to be there still.
const FRESH: Duration = Duration::from_secs(1);

/// Opens what `url` names. Only a server that says no ends this; one that cannot be reached is prepared later.
pub(super) async fn open(url: &str, pool: &PoolConfig, tables: &Migrator) -> anyhow::Result<Database> {
    let mut options = AnyConnectOptions::from_str(url).map_err(|error| anyhow!("the URL is unreadable: {error}"))?;
    set_up_sessions(&mut options, pool.wait);
    let wait = pool.wait;
    let pool_of = || {
        AnyPoolOptions::new()
            .max_connections(pool.max_readers)
            .acquire_timeout(wait)
            .idle_timeout(Duration::from_secs(60))
            // Asked again only when it has rested: under load that is one round trip less for every statement.
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    let there = meta.idle_for <= FRESH || connection.ping().await.is_ok();
                    Ok(there && !connection.is_in_transaction())
                })
            })
            // Who gave a statement up without an answer gives its connection back here. The pool would wait for that
            // answer for ever, with one connection less.
            .after_release(move |connection, _| Box::pin(in_time(wait, async { Ok(connection.ping().await.is_ok()) })))
            .connect_lazy_with(options.clone())
    };
    let database = Database {
        product: Product::Postgres,
        readers: pool_of(),
        writers: pool_of(),
        at: without_secrets(&options).into(),
        options: options.clone(),
        wait,
        tables: migrators(&SHARED_TABLES, tables),
        prepared: Arc::default(),
    };
    match database.prepare().await {
        Err(unprepared) if !unprepared.passes => Err(unprepared.into()),
        _ => Ok(database),
    }
}

/// Sets what a session needs, where the URL does not set it.
fn set_up_sessions(options: &mut AnyConnectOptions, wait: Duration) {
    let program = std::env::current_exe().ok();
    let program = program.as_deref().and_then(|path| path.file_stem()).and_then(|name| name.to_str());
    let settings = [
        ("application_name", program.unwrap_or("landscape").to_owned()),
        // Else every start logs that the tables are there already.
        ("options[client_min_messages]", "warning".to_owned()),
        // Whoever freezes, or loses the network, inside a transaction holds the next owner of its events up: for no
        // longer than this.
        ("options[idle_in_transaction_session_timeout]", "5000".to_owned()),
        ("options[tcp_user_timeout]", "5000".to_owned()),
        ("options[tcp_keepalives_idle]", "5".to_owned()),
        ("options[tcp_keepalives_interval]", "1".to_owned()),
        ("options[tcp_keepalives_count]", "5".to_owned()),
        ("options[lock_timeout]", wait.as_millis().to_string()),
    ];
    let url = &mut options.database_url;
    for (name, value) in settings {
        if !url.query_pairs().any(|(set, _)| set == name) {
            url.query_pairs_mut().append_pair(name, &value);
        }
    }
}

/// Where it is, without a password, which may stand in the query too.
fn without_secrets(options: &AnyConnectOptions) -> String {
    let mut url = options.database_url.clone();
    url.set_query(None);
    // Only a URL without a host can refuse that, and such a one has no password.
    let _ = url.set_password(None);
    url.into()
}

/// Whether a database that cannot be prepared may become usable without anybody changing our configuration: the server cannot be reached,
/// starts, stops, has no connection or disk space left, or somebody holds a lock.
pub(super) fn passes(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::PoolTimedOut => true,
        Error::Database(error) => match error.code() {
            Some(state) => matches!(state.get(..2), Some("08" | "40" | "53" | "55" | "57" | "58")),
            None => false,
        },
        Error::Migrate(error) => match &**error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => passes(error),
            _ => false,
        },
        _ => false,
    }
}

/// What went wrong, in the server's words where it has some.
pub(super) fn sentence(error: &Error) -> String {
    match error {
        Error::Database(error) => error.message().to_owned(),
        other => other.to_string(),
    }
}

/// Does `work`, or gives it up after `limit`.
pub(super) async fn in_time<T, E: From<Error>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let late = |_| Error::from(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit:?}")));
    tokio::time::timeout(limit, work).await.map_err(late)?
}

/// What `answer` says, unless it keeps silent and a connection of its own learns why: a pool that is refused tries until
/// its time is up.
pub(super) async fn or_reason(
    database: &Database,
    answer: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    let refused = async {
        tokio::time::sleep(SILENCE).await;
        match database.connect().await {
            Ok(connection) => {
                let _ = connection.close().await;
                std::future::pending().await
            }
            Err(error) => error,
        }
    };
    tokio::select! {
        answer = answer => answer,
        error = refused => Err(error),
    }
}
