//! What stands in the broker's dead letters: copies of closed letters, which go; copies of open ones, which stay; and
//! what other services left, which becomes letters of ours where somebody asks for that.

use super::{Handler, Subscription};
use crate::database::Database;
use crate::database::inbox::{self, Outcome};
use crate::database::letters::{self, Kind, NewLetter, decided};
use crate::messaging::event::readable_key;
use crate::messaging::{Binder, BinderError, ConsumerBinding, DeadLetters, Position, StandingLetter};
use serde::Serialize;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

/// How many letters are read at once: no more than stand in memory without harm, however large each is.
const AT_ONCE: usize = 50;
/// How long one import goes on.
const IMPORT: Duration = Duration::from_secs(5);
/// How often copies that are to go are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// How many of them are looked for in one reading of the queue.
const MOST: u32 = 50_000;

/// What an import brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// How many letters are new.
    pub imported: u64,
    /// How many were known: copies of ours, or taken before.
    pub known: u64,
    /// Whether there may be more of them.
    pub more: bool,
}

/// Why an import ended.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The broker does not let us read.
    #[error(transparent)]
    Broker(#[from] BinderError),
    /// The database does not take what was read.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Makes letters of what others left in the dead letters of a group, for some seconds. What was committed here is then
/// taken from the broker, not before.
pub async fn import(
    binder: &dyn Binder,
    binding: &ConsumerBinding,
    database: &Database,
) -> Result<Imported, ImportError> {
    let (mut imported, since) = (Imported::default(), Instant::now());
    let Some(mut reader) = binder.dead_letters(binding).await? else { return Ok(imported) };
    loop {
        let read = reader.next(AT_ONCE).await?;
        if read.is_empty() {
            break;
        }
        let new = take_over(database, &binding.destination, &read).await?;
        imported.imported += new.len() as u64;
        imported.known += (read.len() - new.len()) as u64;
        let (open, _) = decided::known(database, &ids(&read)).await?;
        // A copy of an open letter stays until that is decided on; what was imported is no copy.
        let stays = |letter: &StandingLetter| {
            letter.copy && open.contains(&letter.message.id) && !new.contains(&letter.message.id)
        };
        reader.settle(&positions(&read, |letter| !stays(letter))).await?;
        if since.elapsed() > IMPORT {
            imported.more = true;
            break;
        }
    }
    reader.close().await?;
    Ok(imported)
}

/// Writes a letter for each of `read` that is not known; returns the ids of those.
async fn take_over(
    database: &Database,
    destination: &str,
    read: &[StandingLetter],
) -> Result<HashSet<String>, sqlx::Error> {
    let written = async {
        let mut transaction = database.begin().await?;
        let mut new = Vec::new();
        for letter in read {
            let StandingLetter { message, partition, .. } = letter;
            // One that stands there twice is known the second time.
            let won = inbox::take(&mut transaction, destination, *partition, Outcome::Dead, &[&message.id]).await?;
            if !won.is_empty() {
                new.push(letter);
            }
        }
        // What writes letters waits for nobody.
        for StandingLetter { message, partition, cause, .. } in &new {
            let cause = cause.clone().unwrap_or_else(|| "left by another service".to_owned());
            let letter =
                NewLetter { key: readable_key(&message.body), kind: Kind::Foreign, cause, ..NewLetter::of(message) };
            letters::write(&mut transaction, destination, *partition, &[letter]).await?;
            info!(destination, id = message.id, "dead letter of another service imported");
        }
        transaction.commit().await?;
        Ok(new.into_iter().map(|letter| letter.message.id.clone()).collect())
    };
    database.in_time(written).await
}

fn ids(letters: &[StandingLetter]) -> Vec<&str> {
    letters.iter().map(|letter| letter.message.id.as_str()).collect()
}

fn positions(letters: &[StandingLetter], which: impl Fn(&StandingLetter) -> bool) -> Vec<Position> {
    letters.iter().filter(|letter| which(letter)).map(|letter| letter.message.position).collect()
}

/// Removes the broker's copies of letters that are closed, until `stop`; where another instance is at it, waits for it.
pub(super) async fn remove_closed<H: Handler>(subscription: Arc<Subscription<H>>, stop: CancellationToken) {
    let Subscription { binder, binding, database, .. } = &*subscription;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let removed = async {
            let closed = decided::copied(database, &binding.destination, MOST).await?;
            if closed.is_empty() {
                return Ok(());
            }
            if let Some(reader) = binder.dead_letters(binding).await? {
                remove(reader, database).await?;
            }
            let mut transaction = database.begin().await?;
            decided::uncopied(&mut transaction, &closed).await?;
            transaction.commit().await?;
            Ok::<_, ImportError>(())
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            removed = removed => if let Err(error) = removed {
                debug!(error = format!("{:#}", anyhow::Error::from(error)), "copies of closed letters stay for now");
            },
        }
    }
}

/// Reads all dead letters and removes those that are closed.
async fn remove(mut reader: Box<dyn DeadLetters>, database: &Database) -> Result<(), ImportError> {
    loop {
        let read = reader.next(AT_ONCE).await?;
        if read.is_empty() {
            break;
        }
        let (_, closed) = decided::known(database, &ids(&read)).await?;
        reader.settle(&positions(&read, |letter| closed.contains(&letter.message.id))).await?;
    }
    reader.close().await?;
    Ok(())
}
