//! The database of a service: SQLite now, PostgreSQL by the same statements.
//!
//! - this file: pools, transactions, migrations, what an error means
//! - [`rows`]: statements over many rows
//! - [`inbox`]: which events have been decided on
//! - [`letters`]: the events that were given up
//! - [`members`]: who is in a group of consumers
//!
//! What must never happen: a transaction that starts as a reader and becomes a writer, which SQLite cannot wait for.

pub mod inbox;
pub mod letters;
pub mod members;
pub mod rows;

use anyhow::Context;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteError;
use sqlx::{Any, AnyConnection, AnyPool, Connection, Transaction};
use std::fs::File;
use std::path::Path;
use std::str::FromStr;
use std::sync::Once;
use std::time::Duration;

/// The tables that every service has beside its own.
static SHARED_TABLES: Migrator = sqlx::migrate!("./migrations/sqlite");

/// How many connections, and how long to wait for one.
#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// The most connections that read at the same time.
    pub max_readers: u32,
    /// How long a statement waits for a free connection or for a lock.
    pub wait: Duration,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self { max_readers: 4, wait: Duration::from_secs(5) }
    }
}

/// The pools of one service. A clone is the same pools.
#[derive(Debug, Clone)]
pub struct Database {
    readers: AnyPool,
    // SQLite has one writer at a time: those who wait for it wait here, in order, and not in its busy loop.
    writer: AnyPool,
}

impl Database {
    /// Opens the database at `url` (`sqlite:PATH`), makes it if it is not there, and runs the migrations.
    pub async fn open(url: &str, pool: &PoolConfig, tables: &Migrator) -> anyhow::Result<Self> {
        static DRIVERS: Once = Once::new();
        DRIVERS.call_once(sqlx::any::install_default_drivers);

        let path = url.strip_prefix("sqlite:").with_context(|| format!("{url} is no sqlite: URL"))?;
        let path = path.trim_start_matches("//").split('?').next().unwrap_or(path);
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
                // SQLite ends a transaction by itself when the disk is full or fails; sqlx then takes the connection to
                // be inside one for ever, and no other could begin on it.
                .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
                .after_connect(move |connection, _| Box::pin(async move { prepare(connection, wait).await }))
        };
        let cannot_open = || format!("cannot open the database {url}");
        // A pool tries until its time is up and then says no more than that; a connection of its own says what is wrong.
        let mut first = AnyConnection::connect_with(&options).await.with_context(cannot_open)?;
        prepare(&mut first, wait).await.with_context(cannot_open)?;
        let writer = pool_of(1).connect_with(options.clone()).await.with_context(cannot_open)?;
        let readers = pool_of(pool.max_readers).connect_lazy_with(options);
        let database = Self { readers, writer };
        database.migrate(&SHARED_TABLES).await.with_context(cannot_open)?;
        database.migrate(tables).await.with_context(cannot_open)?;
        Ok(database)
    }

    /// Where single statements read.
    pub fn readers(&self) -> &AnyPool {
        &self.readers
    }

    /// Starts a transaction that may write from its first statement.
    pub async fn begin(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    /// The name that health shows.
    pub fn product(&self) -> &'static str {
        "SQLite"
    }

    /// Whether the database answers and has our tables. SQLite answers what needs no table without a look at its file.
    pub async fn ping(&self) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT id FROM inbox LIMIT 1").fetch_optional(&self.readers).await.map(drop)
    }

    /// Closes all connections, when what they do is done.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    async fn migrate(&self, tables: &Migrator) -> anyhow::Result<()> {
        // Each migrator sees the migrations of the other in the same table.
        let migrator = Migrator { ignore_missing: true, ..Migrator::with_migrations(tables.iter().cloned().collect()) };
        Ok(migrator.run(&self.writer).await?)
    }
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

/// What an error of the database means for the event that met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The rows refuse the data: SQLSTATE classes 22 and 23, SQLite's constraints.
    Constraint,
    /// The data or the statement fails again and again: SQLSTATE 0A, 54, P0, XX, SQLite's TOOBIG and MISMATCH, encoding.
    Data,
    /// Everything else passes: away, full, locked, out of time.
    Away,
}

/// Tells what `error` means.
pub fn trouble(error: &sqlx::Error) -> Trouble {
    use sqlx::Error;
    match error {
        Error::Database(error) => match (error.code(), error.try_downcast_ref::<SqliteError>()) {
            (Some(code), Some(_)) => trouble_of_sqlite(&code),
            (Some(state), None) => trouble_of_sqlstate(&state),
            (None, _) => Trouble::Away,
        },
        Error::Encode(_)
        | Error::Decode(_)
        | Error::ColumnDecode { .. }
        | Error::ColumnNotFound(_)
        | Error::ColumnIndexOutOfBounds { .. }
        | Error::TypeNotFound { .. }
        | Error::RowNotFound => Trouble::Data,
        _ => Trouble::Away,
    }
}

fn trouble_of_sqlite(code: &str) -> Trouble {
    // The low byte is the primary result code: 18 TOOBIG, 19 CONSTRAINT, 20 MISMATCH.
    match code.parse::<u32>().map(|code| code & 0xff) {
        Ok(19) => Trouble::Constraint,
        Ok(18 | 20) => Trouble::Data,
        _ => Trouble::Away,
    }
}

fn trouble_of_sqlstate(state: &str) -> Trouble {
    match state.get(..2) {
        Some("22" | "23") => Trouble::Constraint,
        Some("0A" | "54" | "P0" | "XX") => Trouble::Data,
        _ => Trouble::Away,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_its_kind() {
        for (code, trouble) in [
            ("2067", Trouble::Constraint),
            ("1555", Trouble::Constraint),
            ("18", Trouble::Data),
            ("20", Trouble::Data),
            ("5", Trouble::Away),
            ("517", Trouble::Away),
            ("13", Trouble::Away),
            ("1", Trouble::Away),
        ] {
            assert_eq!(trouble_of_sqlite(code), trouble, "{code}");
        }
        for (state, trouble) in [
            ("23505", Trouble::Constraint),
            ("22001", Trouble::Constraint),
            ("0A000", Trouble::Data),
            ("54000", Trouble::Data),
            ("P0001", Trouble::Data),
            ("XX000", Trouble::Data),
            ("40P01", Trouble::Away),
            ("53100", Trouble::Away),
            ("57P01", Trouble::Away),
            ("25P03", Trouble::Away),
        ] {
            assert_eq!(trouble_of_sqlstate(state), trouble, "{state}");
        }
        assert_eq!(trouble(&sqlx::Error::PoolTimedOut), Trouble::Away);
    }
}
