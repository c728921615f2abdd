//! A server that can be killed as a process is, and started again at the same place.

use crate::port::free_address;
use crate::{SOON, eventually};
use axum::Router;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// A server with a runtime of its own: killed, it closes all connections in the middle of whatever they do.
#[derive(Debug)]
pub struct Killable {
    /// Where it is, also while it is dead.
    pub address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Killable {
    /// Serves `routes` at a free port.
    pub async fn serve(routes: Router) -> Self {
        let mut server = Self { address: free_address(), runtime: None };
        server.start(routes).await;
        server
    }

    /// Serves again, where it did before.
    pub async fn start(&mut self, routes: Router) {
        // Who was killed may still be on its way out.
        let listener = eventually(SOON, "the place is free", async || TcpListener::bind(self.address).await).await;
        let listener = listener.into_std().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.spawn(async move { axum::serve(TcpListener::from_std(listener).unwrap(), routes).await.unwrap() });
        self.runtime = Some(runtime);
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        self.kill();
    }
}
