//! Reading the queue of dead letters: one exclusive reader, who takes single letters away and gives the rest back in
//! order.

use super::link::{Link, answer, channel};
use super::message::received;
use super::names::Names;
use super::topology::Topology;
use crate::messaging::{BinderError, ConsumerBinding, DeadLetters, Position, Received};
use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};

/// Begins to read `D.G.dlq`, unless there is none or it is empty.
pub(super) async fn read(link: &Link, binding: &ConsumerBinding) -> Result<Option<Box<dyn DeadLetters>>, BinderError> {
    let queue = Names::new(&binding.destination)?.dead_letter_queue(&binding.group);
    let connection = link.first_connection().await?;
    let found = Topology::open(connection.clone()).await?.look(&queue).await?;
    if found.is_none_or(|found| found.message_count() == 0) {
        return Ok(None);
    }
    let channel = channel(&connection).await?;
    // The consumer is the lock; letters are got one by one, so that the broker and not we hold those that stay.
    answer("ask for one letter at a time", channel.basic_qos(1, BasicQosOptions::default())).await?;
    let options = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
    let consumed = channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default());
    let consumer = answer(&format!("be the only one who reads {queue}"), consumed).await?;
    Ok(Some(Box::new(Queue { channel, queue, consumer: Some(consumer) })))
}

/// A queue of dead letters, of which what was got and not acknowledged goes back when the channel is closed.
struct Queue {
    channel: Channel,
    queue: String,
    /// Has the oldest letter, until that is handed out.
    consumer: Option<Consumer>,
}

#[async_trait]
impl DeadLetters for Queue {
    async fn next(&mut self, most: usize) -> Result<Vec<Received>, BinderError> {
        let mut letters = Vec::new();
        while letters.len() < most {
            let got = self.channel.basic_get(self.queue.as_str().into(), BasicGetOptions::default());
            match answer(&format!("read {}", self.queue), got).await? {
                Some(message) => letters.push(received(message.delivery, &self.queue)),
                None => break,
            }
            self.first(&mut letters)?;
        }
        self.first(&mut letters)?;
        Ok(letters)
    }

    async fn settle(&mut self, remove: &[Position]) -> Result<(), BinderError> {
        for position in remove {
            let gone = self.channel.basic_ack(position.0.cast_unsigned(), BasicAckOptions::default());
            answer(&format!("remove a letter from {}", self.queue), gone).await?;
        }
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<(), BinderError> {
        // Its answer comes behind all that was acknowledged.
        answer("end the reading of dead letters", self.channel.close(200, "read".into())).await
    }
}

impl Queue {
    /// Adds the letter that the consumer was given, in front of those that were got since.
    fn first(&mut self, letters: &mut Vec<Received>) -> Result<(), BinderError> {
        let Some(Some(delivery)) = self.consumer.as_mut().and_then(|consumer| consumer.next().now_or_never()) else {
            return Ok(());
        };
        let delivery = delivery.map_err(|error| BinderError::unavailable("read dead letters", error))?;
        letters.insert(0, received(delivery, &self.queue));
        Ok(())
    }
}
