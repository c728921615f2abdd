//! Replays and drops: what somebody asked for, and noted in the letters, is carried out by who works on the partition of
//! the key, so that nothing of the key is applied beside it.
//!
//! A letter is closed in the transaction of its effect. A crash leaves both or neither, and who comes next goes on.

use super::patience::{GivenUp, Outage, Tries, key_text};
use super::{Handler, Left, Subscription, Worker};
use crate::database::inbox;
use crate::database::letters::decided::{self, Claim};
use crate::database::letters::{self, Content, Kind, Letter};
use crate::messaging::event::Event;
use crate::messaging::failure::Failure;
use crate::messaging::{Headers, Position, Received};
use serde_json::Value;
use std::time::{Duration, Instant};
use tracing::{debug, info, warn};

/// How many letters are decided on between two batches, and for how long: those that fail again take their pauses too, and
/// new events do not wait for them.
const AT_ONCE: u32 = 50;
const TURN: Duration = Duration::from_millis(100);

impl<H: Handler> Worker<H> {
    /// Carries out some of what is wanted of letters whose keys belong to this partition; tells whether there may be
    /// more of it.
    pub(super) async fn repair(&self) -> Result<bool, Left> {
        let due = match self.due().await {
            Ok(due) => due,
            Err(error) => {
                // Live events tell of a database or broker that is away; what is wanted waits for it.
                debug!(error = format!("{error:#}"), "cannot look for replays");
                return Ok(false);
            }
        };
        let (mut decided, since) = (false, Instant::now());
        for letter in &due {
            decided |= self.decide(letter).await?;
            if since.elapsed() > TURN {
                break;
            }
        }
        Ok(decided)
    }

    async fn due(&self) -> anyhow::Result<Vec<Letter>> {
        let Subscription { database, binding, .. } = &*self.subscription;
        let place = (self.partition.number(), self.partition.count().await?);
        Ok(decided::due(database, &binding.destination, place, AT_ONCE).await?)
    }

    /// Does what is wanted of `letter`, as often as its failures deserve; tells whether that is done.
    async fn decide(&self, letter: &Letter) -> Result<bool, Left> {
        let mut tries = Tries::of(&letter.id);
        let (id, key, wanted) = (&letter.id, key_text(letter.key), letter.wanted.as_deref());
        loop {
            match self.subscription.database.in_time(self.close(letter)).await {
                Ok(Claim::Closed) => {
                    tries.over();
                    info!(destination = letter.destination, id, %key, wanted, "dead letter decided on");
                    return Ok(true);
                }
                Ok(Claim::Changed) => return Ok(false),
                Ok(Claim::Behind) => return self.leave(letter).await,
                Err(failure) => match tries.after(failure, &self.subscription.retry) {
                    Ok(pause) => self.wait(pause).await?,
                    Err(given_up) => return self.keep(letter, given_up).await.map(|()| true),
                },
            }
        }
    }

    /// Closes a letter with its effect, in one transaction: the letter, the inbox, the effect, what comes next.
    async fn close(&self, letter: &Letter) -> Result<Claim, Failure> {
        let database = &self.subscription.database;
        let event = if letter.wanted.as_deref() == Some("drop") {
            None
        } else {
            let content = letters::content(database, letter).await?;
            Some(Event::<H::Payload>::from_message(&as_received(letter, content))?)
        };
        let mut transaction = database.begin().await?;
        let claim = decided::claim(&mut transaction, letter).await?;
        if claim != Claim::Closed {
            transaction.rollback().await?;
            return Ok(claim);
        }
        if let Some(event) = event {
            inbox::revive(&mut transaction, &letter.destination, letter.partition, &letter.id).await?;
            self.handle(&mut transaction, std::slice::from_ref(&event)).await?;
        }
        decided::pass_on(&mut transaction, letter).await?;
        transaction.commit().await?;
        Ok(claim)
    }

    /// Notes that a replay failed.
    async fn keep(&self, letter: &Letter, given_up: GivenUp) -> Result<(), Left> {
        let GivenUp { kind, cause, attempts } = given_up;
        let (id, key) = (&letter.id, key_text(letter.key));
        let mut outage = Outage::new("keep a dead letter");
        loop {
            let kept = async {
                let mut transaction = self.subscription.database.begin().await?;
                match kind {
                    Kind::Invalid => decided::invalid(&mut transaction, letter, &cause, attempts).await?,
                    _ => decided::failed(&mut transaction, letter, &cause, attempts).await?,
                }
                transaction.commit().await
            };
            match self.subscription.database.in_time(kept).await {
                Ok(()) => break,
                Err(error) => self.wait(outage.pause(error)).await?,
            }
        }
        outage.over();
        warn!(destination = letter.destination, id, %key, attempts, ?kind, cause, "replay failed: the letter is kept");
        Ok(())
    }

    /// Leaves a letter that older ones of its key stand before; gives up its wish where nothing is wanted of those, and
    /// tells whether it did.
    async fn leave(&self, letter: &Letter) -> Result<bool, Left> {
        let left = async {
            let mut transaction = self.subscription.database.begin().await?;
            let stuck = decided::unwant_if_stuck(&mut transaction, letter).await?;
            transaction.commit().await?;
            Ok::<_, sqlx::Error>(stuck)
        };
        match self.subscription.database.in_time(left).await {
            Ok(stuck) => {
                if stuck {
                    warn!(id = letter.id, "not decided on: an older letter of its key comes first");
                }
                Ok(stuck)
            }
            Err(error) => {
                debug!(%error, "cannot leave a letter behind");
                Ok(false)
            }
        }
    }
}

/// The message that the letter was.
fn as_received(letter: &Letter, content: Content) -> Received {
    let json = |text: &str| serde_json::from_str::<Headers>(text).unwrap_or_default();
    let (headers, origin) = (json(&content.headers), json(&content.origin));
    // A property of its own with one broker, a header with another.
    let content_type = match origin.get("contentType").or_else(|| headers.get("contentType")) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    };
    Received {
        id: letter.id.clone(),
        position: Position(0),
        timestamp: letter.created_at,
        content_type,
        headers,
        body: content.body.into(),
        origin,
    }
}
