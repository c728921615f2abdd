//! The room that writes take, from the first byte of their bodies until they have ended.
//!
//! It is counted as bodies arrive, not as they are announced: who announces much and sends nothing keeps nobody out.

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

/// What a write takes beside its body.
const BESIDE: usize = 4 << 10;

/// The room for all writes. A clone is the same room.
#[derive(Debug, Clone)]
pub(super) struct Room {
    taken: Arc<AtomicUsize>,
    most: usize,
}

/// What one write has of it, until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    room: Room,
    bytes: AtomicUsize,
    too_large: AtomicBool,
}

impl Room {
    pub(super) fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    /// How many bytes are taken.
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Lets a write in that says it has a body of this size, if there is room for it now.
    pub(super) fn enter(&self, announced: usize) -> Option<Arc<Held>> {
        let held = Held { room: self.clone(), bytes: AtomicUsize::default(), too_large: AtomicBool::default() };
        let fits = held.has_room(self.taken(), announced.saturating_add(BESIDE)) && held.take(BESIDE);
        fits.then(|| Arc::new(held))
    }
}

impl Held {
    /// The body, whose bytes are counted as they come; it ends with an error where there is no room for them.
    pub(super) fn counted(self: &Arc<Self>, body: Body) -> Body {
        Body::new(Counted { body, held: self.clone() })
    }

    /// Whether the body did not fit.
    pub(super) fn was_too_large(&self) -> bool {
        self.too_large.load(Ordering::Relaxed)
    }

    /// Whatever its size, a write that is alone has room.
    fn has_room(&self, taken: usize, bytes: usize) -> bool {
        taken == self.bytes.load(Ordering::Relaxed) || taken.saturating_add(bytes) <= self.room.most
    }

    fn take(&self, bytes: usize) -> bool {
        let taking = |taken: usize| self.has_room(taken, bytes).then(|| taken.saturating_add(bytes));
        let taken = self.room.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taking).is_ok();
        if taken {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        } else {
            self.too_large.store(true, Ordering::Relaxed);
        }
        taken
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Counted {
    body: Body,
    held: Arc<Held>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let came = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
        if came > 0 && !self.held.take(came) {
            return Poll::Ready(Some(Err(axum::Error::new("there is no room for this body"))));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn what_is_announced_takes_no_room_until_it_comes() {
        let room = Room::new(40_000);
        let announced: Vec<_> = (0..4).map(|_| room.enter(10_000).unwrap()).collect();
        assert_eq!(room.taken(), 4 * BESIDE);
        assert!(room.enter(20_000).is_none(), "there is no room for a fifth");
        assert!(announced[0].counted(Body::from(vec![0; 20_000])).collect().await.is_ok());
        assert!(announced[1].counted(Body::from(vec![0; 20_000])).collect().await.is_err());
        assert!(announced[1].was_too_large() && !announced[0].was_too_large());
        drop(announced);
        assert_eq!(room.taken(), 0);
    }

    #[tokio::test]
    async fn who_is_alone_has_room_whatever_its_size() {
        let room = Room::new(1);
        let alone = room.enter(1 << 20).unwrap();
        assert!(alone.counted(Body::from(vec![0; 1 << 20])).collect().await.is_ok());
        assert!(room.enter(0).is_none());
        drop(alone);
        assert!(room.enter(0).is_some());
    }
}
