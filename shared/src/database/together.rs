//! Reads that share a statement: whoever waits is read together, as what is written is written together.
//!
//! A statement costs a way to the database and back, which on SQLite leads through another thread, and is nearly the same
//! for one key and for many. Nobody lingers: a read that finds nobody reading goes by itself, at once. A read that has
//! begun takes nobody in, so everybody sees what was committed before he came.

use super::Database;
use super::rows::{self, List};
use sqlx::any::AnyRow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// So many statements at a time: another is sent while the answers of the first are handed out.
const AT_A_TIME: usize = 2;

/// Rows of one table by the keys of their products. A clone reads together with the original.
pub struct Together<T>(Arc<Inside<T>>);

struct Inside<T> {
    database: Database,
    statement: Statement<T>,
    queue: Mutex<Queue<T>>,
}

/// What is read.
#[derive(Debug)]
pub struct Statement<T> {
    /// Up to the list of keys: `SELECT … FROM … WHERE … IN `.
    pub select: &'static str,
    /// What follows the list, such as ` ORDER BY …`.
    pub after: &'static str,
    /// The key of a row, and what the row says.
    pub row: fn(&AnyRow) -> Result<(i32, T), sqlx::Error>,
}

struct Queue<T> {
    waiting: Vec<Waiting<T>>,
    reading: usize,
}

type Waiting<T> = (i32, oneshot::Sender<Found<T>>);
type Found<T> = Result<Vec<T>, Arc<sqlx::Error>>;

impl<T> Clone for Together<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> std::fmt::Debug for Together<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Together").field("select", &self.0.statement.select).finish_non_exhaustive()
    }
}

impl<T: Clone + Send + 'static> Together<T> {
    /// Reads from `database` by `statement`.
    pub fn new(database: Database, statement: Statement<T>) -> Self {
        let queue = Mutex::new(Queue { waiting: Vec::new(), reading: 0 });
        Self(Arc::new(Inside { database, statement, queue }))
    }

    /// The rows with this key.
    pub async fn find(&self, key: i32) -> Found<T> {
        let (answer, found) = oneshot::channel();
        let free = {
            let mut queue = self.0.queue();
            queue.waiting.push((key, answer));
            let free = queue.reading < AT_A_TIME;
            queue.reading += usize::from(free);
            free
        };
        if free {
            // In a task of its own: others wait for it too, and who asked may leave.
            tokio::spawn(self.0.clone().read());
        }
        found.await.unwrap_or_else(|_| Err(Arc::new(sqlx::Error::WorkerCrashed)))
    }
}

impl<T: Clone + Send + 'static> Inside<T> {
    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads for those who wait until nobody does.
    async fn read(self: Arc<Self>) {
        loop {
            let batch = {
                let mut queue = self.queue();
                // Whoever has left meanwhile is not read for.
                queue.waiting.retain(|(_, answer)| !answer.is_closed());
                if queue.waiting.is_empty() {
                    queue.reading -= 1;
                    return;
                }
                let size = queue.waiting.len().min(rows::MOST_ON_SQLITE);
                queue.waiting.drain(..size).collect::<Vec<_>>()
            };
            // A server that does not answer must not keep those who wait behind these.
            let found = self.database.in_time(self.rows(&batch)).await.map_err(Arc::new);
            for (key, answer) in batch {
                // Two may ask for the same, and who asked may have left.
                let found = found.as_ref().map(|rows| rows.get(&key).cloned().unwrap_or_default());
                let _ = answer.send(found.map_err(Arc::clone));
            }
        }
    }

    async fn rows(&self, batch: &[Waiting<T>]) -> Result<HashMap<i32, Vec<T>>, sqlx::Error> {
        let Statement { select, after, row } = self.statement;
        let mut rows: HashMap<i32, Vec<T>> = HashMap::with_capacity(batch.len());
        for batch in rows::padded(rows::MOST_ON_SQLITE, batch) {
            let sql = rows::statement(select, List::Keys { given: 0 }, batch.len(), after);
            let query = batch.into_iter().fold(sqlx::query(sql), |query, (key, _)| query.bind(*key));
            for found in query.fetch_all(self.database.readers()).await? {
                let (key, found) = row(&found)?;
                rows.entry(key).or_default().push(found);
            }
        }
        Ok(rows)
    }
}
