//! SQLite: a file, prepared by one process at a time, with one writer at a time.

use super::{Database, PoolConfig, Product, migrators};
use anyhow::Context;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::Migrator;
use sqlx::{AnyConnection, Connection};
use std::fs::File;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// The tables that every service has beside its own.
static SHARED_TABLES: Migrator = sqlx::migrate!("./migrations/sqlite");

/// Opens the file, makes it if it is not there, and runs the migrations.
pub(super) async fn open(url: &str, pool: &PoolConfig, tables: &Migrator) -> anyhow::Result<Database> {
    let path = url.strip_prefix("sqlite:").unwrap_or(url).trim_start_matches("//");
    let path = path.split('?').next().unwrap_or(path);
    if let Some(folder) = Path::new(path).parent() {
        tokio::fs::create_dir_all(folder).await.with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let _alone = alone(Path::new(path)).await.with_context(|| format!("cannot lock {path}"))?;
    let options = AnyConnectOptions::from_str(&format!("sqlite://{path}?mode=rwc"))?;
    let wait = pool.wait;
    let pool_of = |connections: u32| {
        AnyPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(wait)
            .idle_timeout(Duration::from_secs(60))
            // SQLite ends a transaction by itself when the disk is full or fails; sqlx then takes the connection to be
            // inside one for ever, and no other could begin on it.
            .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
            .after_connect(move |connection, _| Box::pin(async move { prepare(connection, wait).await }))
            .connect_lazy_with(options.clone())
    };
    let database = Database {
        product: Product::Sqlite,
        readers: pool_of(pool.max_readers),
        // Those who wait for the one writer wait here, in order, and not in SQLite's busy loop.
        writers: pool_of(1),
        at: url.into(),
        options: options.clone(),
        wait,
        tables: migrators(&SHARED_TABLES, tables),
        prepared: Arc::default(),
    };
    database.prepare().await?;
    Ok(database)
}

/// A connection beside the pools.
pub(super) async fn connect(options: &AnyConnectOptions, wait: Duration) -> Result<AnyConnection, sqlx::Error> {
    let mut connection = AnyConnection::connect_with(options).await?;
    prepare(&mut connection, wait).await?;
    Ok(connection)
}

/// Waits until no other process prepares the same file: SQLite's migrations take no lock of their own. The lock ends
/// with the returned file.
pub(crate) async fn alone(path: &Path) -> std::io::Result<File> {
    let mut lock = path.to_owned().into_os_string();
    lock.push(".lock");
    let locked = tokio::task::spawn_blocking(move || {
        let file = File::create(lock)?;
        file.lock()?;
        Ok(file)
    });
    locked.await?
}

/// Makes a new connection durable and patient.
async fn prepare(connection: &mut AnyConnection, wait: Duration) -> Result<(), sqlx::Error> {
    let wait = wait.as_millis();
    // A commit is on the disk when it returns (FULL): the broker forgets an event after that.
    let pragmas = format!(
        "PRAGMA busy_timeout = {wait}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -1024; \
         PRAGMA temp_store = MEMORY;"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(pragmas)).execute(connection).await.map(drop)
}
