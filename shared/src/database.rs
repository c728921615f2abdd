//! The database of a service: SQLite or PostgreSQL, by the same statements.
//!
//! - this file: pools, transactions, migrations
//! - [`sqlite`], [`postgres`]: what each of them wants
//! - [`trouble`](mod@trouble): what an error means
//! - [`rows`]: statements over many rows; [`together`]: reads that share one
//! - [`inbox`]: which events have been decided on
//! - [`letters`]: the events that were given up
//! - [`members`]: who is in a group of consumers
//!
//! What must never happen: a transaction that starts as a reader and becomes a writer, which SQLite cannot wait for; a
//! transaction that is committed although a statement of it failed, which PostgreSQL answers by rolling it back.

pub mod inbox;
pub mod letters;
pub mod members;
mod postgres;
pub mod rows;
mod sqlite;
pub mod together;
mod trouble;

pub(crate) use sqlite::alone;
pub use trouble::{Trouble, trouble};

use anyhow::bail;
use sqlx::any::AnyConnectOptions;
use sqlx::migrate::Migrator;
use sqlx::{Any, AnyConnection, AnyPool, Connection, Transaction};
use std::sync::{Arc, Once};
use std::time::Duration;
use tokio::sync::OnceCell;

/// How many connections, and how long to wait for one.
#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// The most connections that read at the same time; where many can write at the same time, as many again do that.
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
#[derive(Clone)]
pub struct Database {
    product: Product,
    readers: AnyPool,
    writers: AnyPool,
    /// Where it is, without a password.
    at: Arc<str>,
    /// For a connection beside the pools: a pool tries until its time is up and then says no more than that; a
    /// connection of its own says what is wrong.
    options: AnyConnectOptions,
    wait: Duration,
    tables: Arc<[Migrator; 2]>,
    prepared: Arc<OnceCell<()>>,
}

/// Why a database cannot be used yet.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the database {at}: {sentence}")]
pub struct Unprepared {
    at: Arc<str>,
    sentence: String,
    /// Whether that may pass by itself: a server that is away does, one that refuses us does not.
    pub passes: bool,
}

/// Who made the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Product {
    Sqlite,
    Postgres,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The options hold a password.
        f.debug_struct("Database").field("product", &self.product).field("at", &self.at).finish_non_exhaustive()
    }
}

impl Database {
    /// Opens the database at `url` and runs the migrations. An SQLite file (`sqlite:PATH`) is made if it is not there.
    /// A PostgreSQL server (`postgres://USER:PASSWORD@HOST/DATABASE`) that cannot be reached now is no error: see
    /// [`prepare`](Self::prepare). No error tells the password.
    pub async fn open(url: &str, pool: &PoolConfig, tables: &Migrator) -> anyhow::Result<Self> {
        static DRIVERS: Once = Once::new();
        DRIVERS.call_once(sqlx::any::install_default_drivers);

        match url.split(':').next() {
            Some("sqlite") => sqlite::open(url, pool, tables).await,
            Some("postgres" | "postgresql") => postgres::open(url, pool, tables).await,
            // What stands behind the scheme may hold a password.
            scheme => bail!("{}:… is neither sqlite:PATH nor postgres://…", scheme.unwrap_or_default()),
        }
    }

    /// Runs the migrations, unless they have run since the database was opened. To be tried again where that fails.
    pub async fn prepare(&self) -> Result<(), Unprepared> {
        let migrated = async {
            let mut connection = self.connect().await?;
            for tables in self.tables.iter() {
                // What `run` does, whose future is not general enough to be sent to another thread.
                tables.run_direct(None, &mut connection, false).await?;
            }
            connection.close().await
        };
        self.prepared.get_or_try_init(|| migrated).await.copied().map_err(|error| Unprepared {
            at: self.at.clone(),
            sentence: postgres::sentence(&error),
            passes: postgres::passes(&error),
        })
    }

    /// Where single statements read.
    pub fn readers(&self) -> &AnyPool {
        &self.readers
    }

    /// Starts a transaction that may write from its first statement. Where one of its statements fails, it must not be
    /// committed.
    pub async fn begin(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        match self.product {
            Product::Sqlite => self.writers.begin_with("BEGIN IMMEDIATE").await,
            Product::Postgres => self.writers.begin().await,
        }
    }

    /// The name that health shows.
    pub fn product(&self) -> &'static str {
        match self.product {
            Product::Sqlite => "SQLite",
            Product::Postgres => "PostgreSQL",
        }
    }

    /// Where the database is, without a password.
    pub fn at(&self) -> &str {
        &self.at
    }

    /// Whether the database answers and has our tables. SQLite answers what needs no table without a look at its file.
    pub async fn ping(&self) -> Result<(), sqlx::Error> {
        let answer =
            async { sqlx::query("SELECT id FROM inbox LIMIT 1").fetch_optional(&self.readers).await.map(drop) };
        match self.product {
            Product::Sqlite => answer.await,
            Product::Postgres => postgres::in_time(self.wait, postgres::or_reason(self, answer)).await,
        }
    }

    /// Does `work`, or gives it up where a server leaves it without an answer.
    pub async fn in_time<T, E: From<sqlx::Error>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        match self.product {
            Product::Sqlite => work.await,
            Product::Postgres => postgres::in_time(postgres::PATIENCE, work).await,
        }
    }

    /// Closes all connections, when what they do is done; a server that does not answer is not waited for.
    pub async fn close(&self) {
        let closed = async {
            self.readers.close().await;
            self.writers.close().await;
        };
        // What is not closed by then is closed by the end of the process.
        let _ = tokio::time::timeout(self.wait, closed).await;
    }

    async fn connect(&self) -> Result<AnyConnection, sqlx::Error> {
        match self.product {
            Product::Sqlite => sqlite::connect(&self.options, self.wait).await,
            Product::Postgres => postgres::in_time(self.wait, AnyConnection::connect_with(&self.options)).await,
        }
    }
}

/// The migrations of the tables that every service has, and those of its own. Each sees those of the other in the same
/// table.
fn migrators(shared: &Migrator, own: &Migrator) -> Arc<[Migrator; 2]> {
    let lenient = |tables: &Migrator| {
        let migrations = Migrator::with_migrations(tables.iter().cloned().collect());
        Migrator { ignore_missing: true, ..migrations }
    };
    Arc::new([lenient(shared), lenient(own)])
}
