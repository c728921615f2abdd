//! Reading the queue of dead letters: one exclusive reader, who takes single letters away and gives the rest back in
//! order.

use super::hold::Hold;
use super::link::{Link, answer, channel};
use super::message::standing;
use super::names::Names;
use super::topology::Topology;
use crate::messaging::{BinderError, ConsumerBinding, DeadLetters, Position, STANDING_BYTES, StandingLetter};
use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicQosOptions};

/// Begins to read `D.G.dlq`, unless there is none or it is empty. What somebody else has in hand is not counted: while
/// he reads, nobody knows whether it is.
pub(super) async fn read(link: &Link, binding: &ConsumerBinding) -> Result<Option<Box<dyn DeadLetters>>, BinderError> {
    let queue = Names::new(&binding.destination)?.dead_letter_queue(&binding.group);
    let connection = link.first_connection().await?;
    let found = Topology::open(connection.clone()).await?.look(&queue).await?;
    if found.is_none_or(|found| found.message_count() == 0 && found.consumer_count() == 0) {
        return Ok(None);
    }
    let channel = channel(&connection).await?;
    // The consumer is the lock; letters are got one by one, so that the broker and not we hold those that stay.
    answer("ask for one letter at a time", channel.basic_qos(1, BasicQosOptions::default())).await?;
    match Hold::take(channel, &queue).await? {
        Some(hold) => Ok(Some(Box::new(Queue { queue, hold }))),
        None => Err(BinderError::unavailable(format!("read {queue}"), anyhow::anyhow!("somebody else reads it"))),
    }
}

/// A queue of dead letters, of which what was got and not acknowledged goes back when the channel is closed. The consumer
/// gets the oldest letter.
struct Queue {
    queue: String,
    hold: Hold,
}

#[async_trait]
impl DeadLetters for Queue {
    async fn next(&mut self, most: usize) -> Result<Vec<StandingLetter>, BinderError> {
        let mut letters = Vec::new();
        while letters.len() < most && weight(&letters) < STANDING_BYTES {
            let got = self.hold.channel()?.basic_get(self.queue.as_str().into(), BasicGetOptions::default());
            match answer(&format!("read {}", self.queue), got).await? {
                Some(message) => letters.push(standing(message.delivery, &self.queue)),
                None => break,
            }
            self.first(&mut letters)?;
        }
        self.first(&mut letters)?;
        Ok(letters)
    }

    async fn settle(&mut self, remove: &[Position]) -> Result<(), BinderError> {
        for position in remove {
            let tag = position.0.cast_unsigned();
            let gone = self.hold.channel()?.basic_ack(tag, BasicAckOptions::default());
            answer(&format!("remove a letter from {}", self.queue), gone).await?;
        }
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<(), BinderError> {
        self.hold.close().await
    }
}

fn weight(letters: &[StandingLetter]) -> usize {
    letters.iter().map(|letter| letter.message.body.len()).sum()
}

impl Queue {
    /// Adds the letter that the consumer was given, in front of those that were got since.
    fn first(&mut self, letters: &mut Vec<StandingLetter>) -> Result<(), BinderError> {
        let delivery = self.hold.held().and_then(|(_, consumer)| consumer.next().now_or_never().flatten());
        let Some(delivery) = delivery else { return Ok(()) };
        let delivery = delivery.map_err(|error| BinderError::unavailable("read dead letters", error))?;
        letters.insert(0, standing(delivery, &self.queue));
        Ok(())
    }
}
