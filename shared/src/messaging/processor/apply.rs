//! A batch in one transaction; event by event where that fails, so that a bad event costs only itself.

use super::patience::{Outage, Tries};
use super::{Handler, Left, Worker};
use crate::database::inbox::{self, Outcome};
use crate::database::letters::{self, Kind, NewLetter};
use crate::messaging::Received;
use crate::messaging::event::Event;
use crate::messaging::failure::Failure;
use anyhow::anyhow;
use futures_util::FutureExt;
use sqlx::AnyConnection;
use std::any::Any;
use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use tracing::info;

/// What one transaction leaves to do.
#[derive(PartialEq)]
enum Applied {
    /// Nothing.
    Whole,
    /// There are letters without the broker's copy, or there may be: some events had been decided on before.
    CopiesWanted,
}

impl<H: Handler> Worker<H> {
    /// Brings all of `messages` to their end: an effect or a dead letter, committed.
    pub(super) async fn apply(&self, messages: &[Received]) -> Result<(), Left> {
        if let [message] = messages {
            return self.apply_one(message).await;
        }
        let mut outage = Outage::new("apply events");
        loop {
            match self.attempt(messages).await {
                Ok(applied) => {
                    outage.over();
                    return self.conclude(applied).await;
                }
                Err(Failure::Unavailable(error)) => self.wait(outage.pause(error)).await?,
                Err(Failure::Invalid(_) | Failure::Failed(_)) => break,
            }
        }
        for message in messages {
            self.apply_one(message).await?;
        }
        Ok(())
    }

    /// Brings one message to its end, with as many attempts as its failure deserves.
    async fn apply_one(&self, message: &Received) -> Result<(), Left> {
        let mut tries = Tries::of(&message.id);
        loop {
            match self.attempt(std::slice::from_ref(message)).await {
                Ok(applied) => {
                    tries.over();
                    return self.conclude(applied).await;
                }
                Err(failure) => match tries.after(failure, &self.subscription.retry) {
                    Ok(pause) => self.wait(pause).await?,
                    Err(given_up) => return self.give_up(message, given_up).await,
                },
            }
        }
    }

    async fn conclude(&self, applied: Applied) -> Result<(), Left> {
        match applied {
            Applied::Whole => Ok(()),
            Applied::CopiesWanted => self.send_copies().await,
        }
    }

    /// Applies what is new in `messages`, unless the database leaves us without an answer.
    async fn attempt(&self, messages: &[Received]) -> Result<Applied, Failure> {
        self.subscription.database.in_time(self.transact(messages)).await
    }

    /// Applies what is new in `messages`, in one transaction: inbox, then parked keys, then effects, then letters.
    async fn transact(&self, messages: &[Received]) -> Result<Applied, Failure> {
        let mut seen = HashSet::with_capacity(messages.len());
        let mut events = Vec::with_capacity(messages.len());
        for message in messages {
            // Of an event that stands twice in a batch, the first counts.
            if seen.insert(message.id.as_str()) {
                events.push((message, Event::<H::Payload>::from_message(message)?));
            }
        }
        let ids: Vec<&str> = events.iter().map(|(message, _)| message.id.as_str()).collect();
        let binding = &self.subscription.binding;
        let (destination, partition) = (binding.destination.as_str(), self.partition.number());

        let mut transaction = self.subscription.database.begin().await?;
        let new = inbox::take(&mut transaction, destination, partition, Outcome::Applied, &ids).await?;
        let mut applied = if new.len() == ids.len() { Applied::Whole } else { Applied::CopiesWanted };
        events.retain(|(message, _)| new.contains(message.id.as_str()));
        if events.is_empty() {
            transaction.rollback().await?;
            return Ok(applied);
        }

        // A statement of its own, behind the inbox: it sees what another owner committed while we waited there.
        let keys: Vec<i32> = events.iter().map(|(_, event)| event.key()).collect();
        let parked = letters::parked(&mut transaction, destination, &keys).await?;
        let (mut free, mut behind) = (Vec::with_capacity(events.len()), Vec::new());
        for (message, event) in events {
            match parked.get(&event.key()) {
                Some(first) => behind.push((message, event.key(), first.as_str())),
                None => free.push(event),
            }
        }
        if !free.is_empty() {
            self.handle(&mut transaction, &free).await?;
        }
        // Last of all: who writes letters holds up others who do.
        if !behind.is_empty() {
            self.park(&mut transaction, &behind).await?;
            applied = Applied::CopiesWanted;
        }
        transaction.commit().await?;
        Ok(applied)
    }

    /// Has the handler apply `events`. A panic is a bug that an event meets: it fails, and what stands behind it goes on.
    pub(super) async fn handle(
        &self,
        connection: &mut AnyConnection,
        events: &[Event<H::Payload>],
    ) -> Result<(), Failure> {
        let applied = AssertUnwindSafe(self.subscription.handler.apply(connection, events)).catch_unwind();
        applied.await.unwrap_or_else(|panic| Err(Failure::Failed(panicked(&*panic))))
    }

    /// Writes a letter for each message, in order: of this key, behind the letter that parks it.
    async fn park(
        &self,
        connection: &mut AnyConnection,
        messages: &[(&Received, i32, &str)],
    ) -> Result<(), sqlx::Error> {
        let (destination, partition) = (self.subscription.binding.destination.as_str(), self.partition.number());
        let followers: Vec<NewLetter<'_>> = messages
            .iter()
            .map(|&(message, key, first)| {
                info!(destination, partition, id = message.id, key, behind = first, "event parked");
                NewLetter {
                    key: Some(key),
                    kind: Kind::Parked,
                    cause: format!("parked behind {first}"),
                    attempts: 0,
                    ..NewLetter::of(message)
                }
            })
            .collect();
        let ids: Vec<&str> = followers.iter().map(|letter| letter.id).collect();
        inbox::mark_dead(connection, &ids).await?;
        letters::write(connection, destination, partition, &followers).await
    }
}

/// What a panic said.
fn panicked(panic: &(dyn Any + Send)) -> anyhow::Error {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
    anyhow!("the handler panicked: {}", said.unwrap_or("it gave no reason"))
}
