//! An exclusive consumer, which is the lock of its queue: the broker lets no second one in.

use super::link::ANSWER;
use super::topology::{ACCESS_REFUSED, NOT_FOUND, reply_code};
use crate::messaging::BinderError;
use futures_util::StreamExt;
use lapin::options::BasicConsumeOptions;
use lapin::protocol::constants::REPLY_SUCCESS;
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::time::timeout;

/// Dropped, it closes the channel; that alone frees the queue together with what was sent ahead: a consumer that is
/// cancelled first would let another in while this channel still holds earlier messages.
pub(super) struct Hold(Option<(Channel, Consumer)>);

impl Hold {
    /// Takes a queue, unless somebody else has it or it is gone.
    pub(super) async fn take(channel: Channel, queue: &str) -> Result<Option<Self>, BinderError> {
        let (attempt, queue) = (format!("consume {queue}"), queue.to_owned());
        let asked = async move {
            let exclusive = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
            let consumed = channel.basic_consume(queue.into(), "".into(), exclusive, FieldTable::default()).await?;
            Ok(Self(Some((channel.clone(), consumed))))
        };
        // Who stops waiting must not leave a consumer behind: the answer may still come, and then goes with the hold.
        match to_its_end(&attempt, asked).await? {
            Ok(hold) => Ok(Some(hold)),
            // Somebody was faster, or the queue has just been deleted.
            Err(error) if matches!(reply_code(&error), Some(ACCESS_REFUSED | NOT_FOUND)) => Ok(None),
            Err(error) => Err(BinderError::unavailable(attempt, error)),
        }
    }

    /// The channel and the consumer, until they are given back.
    pub(super) fn held(&mut self) -> Option<&mut (Channel, Consumer)> {
        self.0.as_mut()
    }

    pub(super) fn channel(&self) -> Result<&Channel, BinderError> {
        let held = self.0.as_ref().map(|(channel, _)| channel);
        held.ok_or_else(|| BinderError::unavailable("use a queue", anyhow::anyhow!("it was given back")))
    }

    /// Gives the queue back; returns when the broker has answered, which comes behind all that was acknowledged.
    pub(super) async fn close(mut self) -> Result<(), BinderError> {
        Self::closed(self.0.take()).await
    }

    async fn closed(held: Option<(Channel, Consumer)>) -> Result<(), BinderError> {
        let Some((channel, mut consumer)) = held else { return Ok(()) };
        let attempt = "close a channel";
        let closing = async move {
            // What still comes meanwhile is not kept, however long that is.
            let dropping = async {
                while consumer.next().await.is_some() {}
                std::future::pending().await
            };
            tokio::select! {
                closed = channel.close(REPLY_SUCCESS, "given back".into()) => closed,
                () = dropping => Ok(()),
            }
        };
        to_its_end(attempt, closing).await?.map_err(|error| BinderError::unavailable(attempt, error))
    }
}

/// What the broker answers, in time; what is asked for goes on to its end, also for who stops waiting.
async fn to_its_end<T: Send + 'static>(
    attempt: &str,
    asked: impl Future<Output = lapin::Result<T>> + Send + 'static,
) -> Result<lapin::Result<T>, BinderError> {
    let answered = timeout(ANSWER, tokio::spawn(asked)).await;
    let answered = answered.map_err(|elapsed| BinderError::unavailable(attempt, elapsed))?;
    answered.map_err(|ended| BinderError::unavailable(attempt, ended))
}

impl Drop for Hold {
    fn drop(&mut self) {
        let held = self.0.take();
        if let (true, Ok(runtime)) = (held.is_some(), tokio::runtime::Handle::try_current()) {
            // A channel that is gone already is closed.
            runtime.spawn(async { drop(Self::closed(held).await) });
        }
    }
}
