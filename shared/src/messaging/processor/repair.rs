//! Replays and drops: what somebody asked for, and noted in the letters, is carried out by who works on the partition of
//! the key, so that nothing of the key is applied beside it.
//!
//! A letter is closed in the transaction of its effect. A crash leaves both or neither, and who comes next goes on. As with
//! events, many share one transaction, until one of them fails: a key is to be replayed faster than events come to stand
//! behind its letters, or it would never be free.

use super::patience::{GivenUp, Outage, Tries, key_text};
use super::{Handler, Left, Subscription, Worker};
use crate::database::inbox;
use crate::database::letters::decided::{self, Claim};
use crate::database::letters::{self, Content, Kind, Letter};
use crate::messaging::event::Event;
use crate::messaging::failure::Failure;
use crate::messaging::{Headers, Position, Received};
use serde_json::Value;
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tracing::{debug, info, warn};

/// For how long letters are decided on between two batches: those that fail again take their pauses too, and new events do
/// not wait for them.
const TURN: Duration = Duration::from_millis(100);
/// What the letters of one transaction may weigh, unless it is one.
const TOGETHER_BYTES: usize = 4 << 20;

/// What came of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    /// It is closed.
    Closed,
    /// It is open, and nothing is wanted of it any more.
    Kept,
    /// Somebody changed it since it was read: it is to be read again.
    Changed,
    /// It is as it was.
    Nothing,
}

impl<H: Handler> Worker<H> {
    /// Carries out some of what is wanted of letters whose keys belong to this partition; tells whether there may be
    /// more of it. So many `together` are tried at once: fewer where one of them fails, until that stands alone, or where
    /// they take longer than a turn; and more again behind it.
    pub(super) async fn repair(&self, together: &mut usize) -> Result<bool, Left> {
        let due = match self.due().await {
            Ok(due) => due,
            Err(error) => {
                // Live events tell of a database or broker that is away; what is wanted waits for it.
                debug!(error = format!("{error:#}"), "cannot look for replays");
                return Ok(false);
            }
        };
        let (mut decided, since) = (false, Instant::now());
        let mut rest = &due[..];
        while let [first, ..] = rest {
            let some = &rest[..(*together).clamp(1, rest.len())];
            let begun = Instant::now();
            match self.close_together(some).await {
                // A database that is away is waited for with one letter.
                Err(Failure::Unavailable(_)) => {
                    *together = 1;
                    continue;
                }
                Err(_) => {
                    *together = some.len() / 2;
                    continue;
                }
                Ok(0) => {
                    let done = self.decide(first).await?;
                    decided |= done != Done::Nothing;
                    *together = together.saturating_mul(if done == Done::Closed { 2 } else { 1 });
                    rest = &rest[1..];
                }
                Ok(closed) => {
                    decided = true;
                    *together = if begun.elapsed() < TURN { together.saturating_mul(2) } else { closed / 2 };
                    rest = &rest[closed..];
                }
            }
            *together = (*together).clamp(1, self.subscription.binding.batch as usize);
            if since.elapsed() > TURN {
                break;
            }
        }
        Ok(decided)
    }

    /// As many letters as one batch may have brought.
    async fn due(&self) -> anyhow::Result<Vec<Letter>> {
        let Subscription { database, binding, .. } = &*self.subscription;
        let place = (self.partition.number(), self.partition.count().await?);
        Ok(decided::due(database, &binding.destination, place, binding.batch).await?)
    }

    /// Does at once what is wanted of `letters`, up to the first that has to be looked at by itself, and tells how many that
    /// were. Where one of them fails, nothing is done.
    async fn close_together(&self, letters: &[Letter]) -> Result<usize, Failure> {
        if letters.len() == 1 {
            return Ok(0);
        }
        let (closed, _) = self.subscription.database.in_time(self.close(letters)).await?;
        letters[..closed].iter().for_each(tell);
        Ok(closed)
    }

    /// Does what is wanted of `letter`, as often as its failures deserve.
    async fn decide(&self, letter: &Letter) -> Result<Done, Left> {
        let mut tries = Tries::of(&letter.id);
        loop {
            match self.subscription.database.in_time(self.close(std::slice::from_ref(letter))).await {
                Ok((_, Claim::Closed)) => {
                    tries.over();
                    tell(letter);
                    return Ok(Done::Closed);
                }
                Ok((_, Claim::Changed)) => return Ok(Done::Changed),
                Ok((_, Claim::Behind)) => return self.leave(letter).await,
                Err(failure) => match tries.after(failure, &self.subscription.retry) {
                    Ok(pause) => self.wait(pause).await?,
                    Err(given_up) => return self.keep(letter, given_up).await.map(|()| Done::Kept),
                },
            }
        }
    }

    /// Closes letters with their effects, in one transaction: the letters, the inbox, the effects, what comes next. Tells
    /// how many that were, and how it stands with the last that was looked at.
    async fn close(&self, letters: &[Letter]) -> Result<(usize, Claim), Failure> {
        let database = &self.subscription.database;
        let events = self.events(letters).await?;
        let mut transaction = database.begin().await?;
        decided::apart(&mut transaction).await?;
        let (mut closed, mut claim) = (0, Claim::Closed);
        for letter in &letters[..events.len()] {
            claim = decided::claim(&mut transaction, letter).await?;
            if claim != Claim::Closed {
                break;
            }
            closed += 1;
        }
        if closed == 0 {
            transaction.rollback().await?;
            return Ok((closed, claim));
        }
        let mut replayed = Vec::with_capacity(closed);
        for (letter, event) in letters[..closed].iter().zip(events) {
            if let Some(event) = event {
                inbox::revive(&mut transaction, &letter.destination, letter.partition, &letter.id).await?;
                replayed.push(event);
            }
        }
        if !replayed.is_empty() {
            self.handle(&mut transaction, &replayed).await?;
        }
        let mut keys = HashSet::new();
        for last in letters[..closed].iter().rev().filter(|letter| keys.insert(letter.key)) {
            decided::pass_on(&mut transaction, last).await?;
        }
        transaction.commit().await?;
        Ok((closed, claim))
    }

    /// The events that the first of `letters` are, none for one that is to be dropped: as many as may be in hand at once.
    async fn events(&self, letters: &[Letter]) -> Result<Vec<Option<Event<H::Payload>>>, Failure> {
        let (mut events, mut bytes) = (Vec::with_capacity(letters.len()), 0);
        for letter in letters {
            if bytes >= TOGETHER_BYTES {
                break;
            }
            events.push(if letter.wanted.as_deref() == Some("drop") {
                None
            } else {
                let content = letters::content(&self.subscription.database, letter).await?;
                bytes += content.body.len();
                Some(Event::from_message(&as_received(letter, content))?)
            });
        }
        Ok(events)
    }

    /// Notes that a replay failed.
    async fn keep(&self, letter: &Letter, given_up: GivenUp) -> Result<(), Left> {
        let GivenUp { kind, cause, attempts } = given_up;
        let (id, key) = (&letter.id, key_text(letter.key));
        let mut outage = Outage::new("keep a dead letter");
        loop {
            let kept = async {
                let mut transaction = self.subscription.database.begin().await?;
                decided::apart(&mut transaction).await?;
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

    /// Leaves a letter that older ones of its key stand before; gives up its wish where nothing is wanted of those.
    async fn leave(&self, letter: &Letter) -> Result<Done, Left> {
        let left = async {
            let mut transaction = self.subscription.database.begin().await?;
            decided::apart(&mut transaction).await?;
            let stuck = decided::unwant_if_stuck(&mut transaction, letter).await?;
            transaction.commit().await?;
            Ok::<_, sqlx::Error>(stuck)
        };
        match self.subscription.database.in_time(left).await {
            Ok(true) => {
                warn!(id = letter.id, "not decided on: an older letter of its key comes first");
                Ok(Done::Kept)
            }
            Ok(false) => Ok(Done::Nothing),
            Err(error) => {
                debug!(%error, "cannot leave a letter behind");
                Ok(Done::Nothing)
            }
        }
    }
}

fn tell(letter: &Letter) {
    let Letter { destination, id, key, wanted, .. } = letter;
    info!(destination, id, key = %key_text(*key), wanted, "dead letter decided on");
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
