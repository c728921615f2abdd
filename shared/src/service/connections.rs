//! The connections of clients: so many at a time, and none for ever on which nothing happens.

use axum::serve::Listener;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// A listener that accepts no more than there is room for. Whoever comes then waits in the queue of the system, as
/// before Tomcat's `max-connections`.
#[derive(Debug)]
pub(super) struct Connections {
    listener: TcpListener,
    room: Arc<Semaphore>,
    idle: Duration,
}

impl Connections {
    /// At most `most` at a time; one on which nothing happens for `idle` is closed.
    pub(super) fn new(listener: TcpListener, most: u32, idle: Duration) -> Self {
        Self { listener, room: Arc::new(Semaphore::new(most as usize)), idle }
    }
}

impl Listener for Connections {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // Nobody closes the semaphore.
        let room = self.room.clone().acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // Without it answers wait for acknowledgements; a connection that refuses it is only slower.
        let _ = stream.set_nodelay(true);
        let alarm = Box::pin(sleep(self.idle));
        (Connection { stream, idle: self.idle, last: Instant::now(), alarm, _room: room }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A client's connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    idle: Duration,
    /// When something happened last.
    last: Instant,
    /// Goes off when it may have been idle for too long: it is not set anew each time that something happens.
    alarm: Pin<Box<Sleep>>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Connection {
    fn in_time<T>(&mut self, context: &mut Context<'_>, happened: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if happened.is_ready() {
            self.last = Instant::now();
            return happened;
        }
        while self.alarm.as_mut().poll(context).is_ready() {
            let until = self.last + self.idle;
            if until <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.alarm.as_mut().reset(until);
        }
        Poll::Pending
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.in_time(context, read)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buffer);
        self.in_time(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.in_time(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use testkit::SOON;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    async fn served(most: u32, idle: Duration) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/", get(async || "here")).route("/slow", get(std::future::pending::<()>));
        tokio::spawn(async move { axum::serve(Connections::new(listener, most, idle), routes).await });
        address
    }

    async fn asks(client: &mut TcpStream) {
        client.write_all(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n").await.unwrap();
    }

    /// Until it was answered whole.
    async fn is_answered(client: &mut TcpStream) {
        let mut answer = Vec::new();
        while !answer.ends_with(b"here") {
            assert_ne!(timeout(SOON, client.read_buf(&mut answer)).await.unwrap().unwrap(), 0);
        }
    }

    #[tokio::test]
    async fn who_finds_no_room_is_served_when_somebody_leaves() {
        let address = served(2, SOON).await;
        let mut clients = Vec::new();
        for _ in 0..2 {
            let mut client = TcpStream::connect(address).await.unwrap();
            asks(&mut client).await;
            is_answered(&mut client).await;
            clients.push(client);
        }
        let mut third = TcpStream::connect(address).await.unwrap();
        asks(&mut third).await;
        assert!(timeout(Duration::from_millis(100), third.read_u8()).await.is_err());
        // Those who are there are served on.
        asks(&mut clients[0]).await;
        is_answered(&mut clients[0]).await;
        clients.pop();
        is_answered(&mut third).await;
    }

    #[tokio::test]
    async fn a_connection_on_which_nothing_happens_is_closed() {
        let address = served(1, Duration::from_millis(200)).await;
        for said in [&b""[..], b"GET / HT", b"GET /slow HTTP/1.1\r\nhost: here\r\n\r\n"] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(said).await.unwrap();
            // There is room for one only: the next is served when this one is gone.
            assert_eq!(timeout(SOON, client.read(&mut [0; 100])).await.unwrap().unwrap_or(0), 0, "{said:?}");
        }
    }
}
