//! Others that a service talks to: a server that does as the test says, and a port where nobody answers.

use axum::Router;
use axum::serve::ListenerExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;

/// A server in place of a neighbour.
#[derive(Debug)]
pub struct Neighbour {
    /// Where it is.
    pub url: String,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Neighbour {
    /// Serves `routes`.
    pub async fn serve(routes: Router) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::<AtomicUsize>::default();
        let accepted = connections.clone();
        let listener = listener.tap_io(move |_| {
            accepted.fetch_add(1, Ordering::SeqCst);
        });
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, connections, task }
    }

    /// How many connections were ever made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A port that refuses every connection, and that nobody else gets meanwhile.
#[derive(Debug)]
pub struct Nobody {
    /// Where nobody answers.
    pub url: String,
    _socket: TcpSocket,
}

impl Nobody {
    /// Takes a port and never listens.
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        Self { url: format!("http://{}", socket.local_addr().unwrap()), _socket: socket }
    }
}

impl Default for Nobody {
    fn default() -> Self {
        Self::new()
    }
}
