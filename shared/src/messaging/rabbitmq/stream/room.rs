//! How much of what was delivered may be in our hands.
//!
//! Only what comes on a channel that has a [`Share`] counts, from its first byte until it is settled. What must never
//! happen: the stream is held up for what nobody can settle; so whoever gives a channel up drops its share first.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// How many bytes of messages may be in hand, before no other is begun: four batches of the heaviest.
pub(super) const MOST: u64 = 16 << 20;

/// The room of a connection. A clone is the same one.
#[derive(Debug, Clone, Default)]
pub(in crate::messaging::rabbitmq) struct Room(Arc<Mutex<State>>);

/// A channel whose deliveries are counted, until this is dropped.
#[derive(Debug)]
pub(in crate::messaging::rabbitmq) struct Share {
    room: Room,
    channel: u16,
    /// Channels of later connections, and later ones of this, have the same numbers.
    id: u64,
}

/// What an end of waiting was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    /// There is room.
    ForRoom,
    /// There is none yet, and nothing was read for a while.
    ForLong,
}

#[derive(Debug, Default)]
struct State {
    bytes: u64,
    channels: BTreeMap<u16, Counted>,
    shares: u64,
    waiting: Option<Waker>,
    long: bool,
}

#[derive(Debug)]
struct Counted {
    share: u64,
    /// What the deliveries weigh that are not settled, by their order.
    deliveries: VecDeque<u64>,
    /// The tag of the last one that is settled: they begin at 1, without a gap.
    settled: u64,
}

impl Room {
    /// Counts what comes on `channel` from now on, which is before it consumes.
    pub(in crate::messaging::rabbitmq) fn share(&self, channel: u16) -> Share {
        let mut state = self.state();
        state.forget(channel);
        state.shares += 1;
        let id = state.shares;
        state.channels.insert(channel, Counted { share: id, deliveries: VecDeque::new(), settled: 0 });
        Share { room: self.clone(), channel, id }
    }

    /// Tells whoever waits for room that he has waited for a while; to be called more often than once a heartbeat.
    pub(in crate::messaging::rabbitmq) fn tick(&self) {
        let mut state = self.state();
        if let Some(waiting) = state.waiting.take() {
            state.long = true;
            waiting.wake();
        }
    }

    /// A connection begins: what came on the one before can no longer be settled, and who has it in hand may take long yet.
    pub(super) fn begin(&self) {
        let mut state = self.state();
        state.channels.clear();
        let all = state.bytes;
        state.free(all);
    }

    /// A message begins.
    pub(super) fn take(&self, channel: u16, bytes: u64) {
        let mut state = self.state();
        if let Some(counted) = state.channels.get_mut(&channel) {
            counted.deliveries.push_back(bytes);
            state.bytes = state.bytes.saturating_add(bytes);
        }
    }

    /// Whether no other message is to begin.
    pub(super) fn is_full(&self) -> bool {
        self.state().is_full()
    }

    /// Waits until there is room, or for long.
    pub(super) fn poll_free(&self, context: &mut Context<'_>) -> Poll<Waited> {
        let mut state = self.state();
        let long = std::mem::take(&mut state.long);
        if !state.is_full() {
            return Poll::Ready(Waited::ForRoom);
        }
        if long {
            return Poll::Ready(Waited::ForLong);
        }
        state.waiting = Some(context.waker().clone());
        Poll::Pending
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// The deliveries up to `tag` are settled.
    pub(in crate::messaging::rabbitmq) fn settled(&self, tag: u64) {
        let mut state = self.room.state();
        let Some(counted) = state.channels.get_mut(&self.channel).filter(|counted| counted.share == self.id) else {
            return;
        };
        let count = usize::try_from(tag.saturating_sub(counted.settled)).unwrap_or(usize::MAX);
        let count = count.min(counted.deliveries.len());
        counted.settled = tag;
        let freed = counted.deliveries.drain(..count).fold(0, u64::saturating_add);
        state.free(freed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut state = self.room.state();
        if state.channels.get(&self.channel).is_some_and(|counted| counted.share == self.id) {
            state.forget(self.channel);
        }
    }
}

impl State {
    fn is_full(&self) -> bool {
        self.bytes >= MOST
    }

    fn forget(&mut self, channel: u16) {
        if let Some(counted) = self.channels.remove(&channel) {
            self.free(counted.deliveries.into_iter().fold(0, u64::saturating_add));
        }
    }

    fn free(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some(waiting) = self.waiting.take_if(|_| self.bytes < MOST) {
            waiting.wake();
        }
    }
}
