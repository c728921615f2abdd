//! What the broker says, before lapin reads it: headers no deeper than a stack bears, and no more messages than there is
//! [`room`] for.
//!
//! lapin reads tables that stand in tables by recursion, without a limit: a message with thousands of them, which the
//! broker hands out again and again to whoever consumes, would end one process after the other; and one with a name that is
//! no text one connection after the other. So what comes is [looked at](look). And the broker counts the messages that it
//! sends ahead, whatever they weigh; lapin keeps them all. So nothing is read while those in hand weigh too much, and the
//! broker has to wait until some of them are settled.
//!
//! What must never happen: a byte comes out otherwise than it went in that is neither the mark of such a table nor of such
//! a name; a message that has begun is held up.

mod look;
mod room;

pub(super) use room::{Room, Share};

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::Stream;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};
use look::Look;
use room::Waited;
use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// What a broker says that has nothing else to say.
const HEARTBEAT: &[u8] = &[8, 0, 0, 0, 0, 0, 0, 0xce];

/// A connection on which no headers are too deep, and no more is read than there is room for.
pub(super) async fn connect(uri: AMQPUri, properties: ConnectionProperties, room: Room) -> lapin::Result<Connection> {
    let tokio = Tokio::current();
    let runtime = Runtime::new(RuntimeParts::new(tokio.clone(), Looking { reactor: tokio, room }));
    Connection::connect_uri_with_runtime(uri, properties, runtime).await
}

/// Tokio's reactor, whose TCP streams are looked at.
#[derive(Debug, Clone)]
struct Looking<R> {
    reactor: R,
    room: Room,
}

impl<R: Reactor + Sync> Reactor for Looking<R> {
    type TcpStream = Looked<R::TcpStream>;
    type Sleep = R::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.reactor.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.reactor.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.reactor.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let (connecting, room) = (self.reactor.tcp_connect_addr(address), self.room.clone());
        async { connecting.await.map(|stream| Looked::new(stream, room)) }
    }
}

/// A stream of which what comes is looked at.
#[derive(Debug)]
struct Looked<S> {
    stream: S,
    look: Look,
    /// What is left of a heartbeat that was begun.
    beat: &'static [u8],
}

impl<S> Looked<S> {
    /// Looks at a stream from its start, which has all of the room.
    fn new(stream: S, room: Room) -> Self {
        room.begin();
        Self { stream, look: Look::new(room), beat: &[] }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Looked<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let Self { stream, look, beat } = &mut *self;
        let mut most = buffer.len();
        if beat.is_empty() && look.room().is_full() {
            match look.begun() {
                Some(rest) => most = most.min(rest),
                // lapin ends a connection that is not read for long: while we are who does not read, we speak for the broker.
                None if ready!(look.room().poll_free(context)) == Waited::ForLong => *beat = HEARTBEAT,
                None => {}
            }
        }
        if !beat.is_empty() {
            let (now, later) = beat.split_at(most.min(beat.len()));
            buffer[..now.len()].copy_from_slice(now);
            *beat = later;
            return Poll::Ready(Ok(now.len()));
        }
        let read = ready!(Pin::new(stream).poll_read(context, &mut buffer[..most]))?;
        look.at(&mut buffer[..read]);
        Poll::Ready(Ok(read))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Looked<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests;
