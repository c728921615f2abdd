//! Giving up on an event, in steps that a crash may stand between: the letter and the inbox row in one transaction;
//! then the broker's copy, confirmed; then the letter waits; then, elsewhere, the original is settled.

use super::patience::{GivenUp, Outage, key_text};
use super::{Handler, Left, Worker};
use crate::database::inbox::{self, Outcome};
use crate::database::letters::{self, Kind, Letter, NewLetter};
use crate::messaging::event::readable_key;
use crate::messaging::{BinderError, Copied, DeadLetter, Headers, Received};
use futures_util::stream::{FuturesOrdered, StreamExt};
use tracing::{error, warn};

/// How many copies may be on their way at once.
const UNCONFIRMED: usize = 16;
/// How long the cause in a copy may be where the broker refused a longer one.
const SHORT_CAUSE: usize = 500;

impl<H: Handler> Worker<H> {
    /// Makes `message` a dead letter, unless another owner has decided on it.
    pub(super) async fn give_up(&self, message: &Received, given_up: GivenUp) -> Result<(), Left> {
        let GivenUp { kind, cause, attempts } = given_up;
        let (destination, partition) = (self.subscription.binding.destination.as_str(), self.partition.number());
        let key = readable_key(&message.body);
        let letter = NewLetter { key, kind, cause, attempts, ..NewLetter::of(message) };
        let mut outage = Outage::new("write a dead letter");
        loop {
            match self.subscription.database.in_time(self.write_letter(&letter)).await {
                Ok(true) => {
                    let (id, key, cause) = (letter.id, key_text(key), &letter.cause);
                    error!(destination, partition, id, %key, attempts, ?kind, cause, "event given up: it is a dead letter");
                    break;
                }
                Ok(false) => break,
                Err(error) => self.wait(outage.pause(error)).await?,
            }
        }
        outage.over();
        self.send_copies().await
    }

    /// Writes the letter if the event is new, in one transaction with its inbox row.
    async fn write_letter(&self, letter: &NewLetter<'_>) -> Result<bool, sqlx::Error> {
        let (destination, partition) = (self.subscription.binding.destination.as_str(), self.partition.number());
        let mut transaction = self.subscription.database.begin().await?;
        let won = inbox::take(&mut transaction, destination, partition, Outcome::Dead, &[letter.id]).await?;
        if won.is_empty() {
            transaction.rollback().await?;
            return Ok(false);
        }
        letters::write(&mut transaction, destination, partition, std::slice::from_ref(letter)).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Sends the broker its copy of every letter of this partition that lacks one, whoever wrote it.
    pub(super) async fn send_copies(&self) -> Result<(), Left> {
        let destination = self.subscription.binding.destination.as_str();
        let database = &self.subscription.database;
        let mut outage = Outage::new("finish dead letters");
        loop {
            let unsent = match letters::unsent(database, destination, self.partition.number()).await {
                Ok(unsent) if unsent.is_empty() => break,
                Ok(unsent) => unsent,
                Err(error) => {
                    self.wait(outage.pause(error)).await?;
                    continue;
                }
            };
            let (mut removable, mut sent) = (false, 0);
            while sent < unsent.len() {
                if let Err(error) = self.send_some(&unsent, &mut sent, &mut removable).await {
                    self.wait(outage.pause(error)).await?;
                }
            }
            let noted = async || {
                let mut transaction = database.begin().await?;
                letters::sent(&mut transaction, &unsent, removable).await?;
                transaction.commit().await
            };
            // Noted before anything is sent again: each failure would leave the broker more copies of the same letters.
            while let Err(error) = database.in_time(noted()).await {
                self.wait(outage.pause(error)).await?;
            }
        }
        outage.over();
        Ok(())
    }

    /// Sends the copies of `letters` behind the first `sent`, in order, and counts those that are confirmed; notes whether
    /// any of them is to be removed later.
    async fn send_some(&self, letters: &[Letter], sent: &mut usize, removable: &mut bool) -> anyhow::Result<()> {
        let (mut rest, mut under_way) = (letters[*sent..].iter(), FuturesOrdered::new());
        loop {
            if under_way.len() < UNCONFIRMED
                && let Some(letter) = rest.next()
            {
                under_way.push_back(self.send_copy(self.copy(letter).await?));
                continue;
            }
            let Some(copied) = under_way.next().await else { return Ok(()) };
            *removable |= copied? == Copied::UntilRemoved;
            *sent += 1;
        }
    }

    /// What the broker gets of a letter.
    async fn copy(&self, letter: &Letter) -> Result<DeadLetter, sqlx::Error> {
        let content = letters::content(&self.subscription.database, letter).await?;
        let json = |text: &str| serde_json::from_str(text).unwrap_or_default();
        Ok(DeadLetter {
            id: letter.id.clone(),
            destination: letter.destination.clone(),
            group: self.subscription.binding.group.clone(),
            partition: letter.partition,
            headers: json(&content.headers),
            body: content.body.into(),
            origin: json(&content.origin),
            cause: letter.cause.clone(),
            attempts: letter.attempts,
        })
    }

    /// Sends one copy; where the broker refuses it, a shorter one; where it refuses that too, none, since only a
    /// broker that is away may hold the partition.
    async fn send_copy(&self, mut copy: DeadLetter) -> anyhow::Result<Copied> {
        match self.subscription.binder.dead_letter(&copy).await {
            Err(BinderError::Refused { .. }) => {}
            other => return Ok(other?),
        }
        copy.headers = Headers::new();
        copy.cause = copy.cause.chars().take(SHORT_CAUSE).collect();
        match self.subscription.binder.dead_letter(&copy).await {
            Err(error @ BinderError::Refused { .. }) => {
                let error = format!("{:#}", anyhow::Error::from(error));
                warn!(id = copy.id, error, "the broker takes no copy of this dead letter; it stands in the database");
                Ok(Copied::Nowhere)
            }
            other => Ok(other?),
        }
    }
}

impl<'a> NewLetter<'a> {
    /// A letter of `message`, still without a reason.
    pub(super) fn of(message: &'a Received) -> Self {
        let json = |headers: &Headers| serde_json::Value::Object(headers.clone()).to_string();
        Self {
            id: &message.id,
            key: None,
            headers: json(&message.headers),
            origin: json(&message.origin),
            body: &message.body,
            kind: Kind::Invalid,
            cause: String::new(),
            attempts: 0,
        }
    }
}
