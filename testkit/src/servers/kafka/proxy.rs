//! A network between a Kafka broker and its clients that can fail for some of them: it carries nothing any more, or
//! it ends their connections.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A proxy before a broker, in a thread of its own: it serves tests that have a runtime each. It ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    network: Arc<Mutex<Network>>,
    _running: DropGuard,
}

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Carried,
    Swallowed,
    Cut,
}

#[derive(Debug, Default)]
struct Network {
    /// What the ids of clients begin with that are silenced.
    silenced: Vec<String>,
    /// By the ids of their clients; those that have ended too, until the next begins.
    connections: Vec<(String, watch::Sender<Fate>)>,
}

impl Proxy {
    /// Starts a proxy before `broker`, which need not be there yet.
    pub(super) fn start(broker: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let address = listener.local_addr().expect("an address");
        let network = Arc::<Mutex<Network>>::default();
        let stop = CancellationToken::new();
        let (stopped, of_thread) = (stop.clone(), network.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let serve = async move {
            let listener = TcpListener::from_std(listener).expect("a socket for this runtime");
            stopped.run_until_cancelled(accept(&listener, broker, &of_thread)).await;
        };
        std::thread::spawn(move || runtime.block_on(serve));
        Self { address, network, _running: stop.drop_guard() }
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Carries nothing any more, in either direction, for the clients whose ids begin with `prefix`: on the connections
    /// that they have and on those that they make later. All of these stay open.
    pub fn silence(&self, prefix: &str) {
        let mut network = self.network.lock().unwrap();
        network.silenced.push(prefix.to_owned());
        network.tell(prefix, Fate::Swallowed);
    }

    /// Ends the connections of the clients whose ids begin with `prefix`. New ones are let through.
    pub fn cut(&self, prefix: &str) {
        self.network.lock().unwrap().tell(prefix, Fate::Cut);
    }
}

impl Network {
    fn tell(&self, prefix: &str, fate: Fate) {
        for (_, connection) in self.connections.iter().filter(|(client, _)| client.starts_with(prefix)) {
            connection.send_replace(fate);
        }
    }

    /// Notes a connection of `client`, and tells what happens to it from now on.
    fn connected(&mut self, client: String) -> watch::Receiver<Fate> {
        self.connections.retain(|(_, connection)| !connection.is_closed());
        let silenced = self.silenced.iter().any(|prefix| client.starts_with(prefix));
        let (told, fate) = watch::channel(if silenced { Fate::Swallowed } else { Fate::Carried });
        self.connections.push((client, told));
        fate
    }
}

async fn accept(listener: &TcpListener, broker: SocketAddr, network: &Arc<Mutex<Network>>) {
    loop {
        // Too many open files, say: the tests see what comes of it.
        let Ok((client, _)) = listener.accept().await else { return };
        let network = network.clone();
        // Who ends a connection, and why, is for both of its ends to say.
        tokio::spawn(async move { carry(client, broker, &network).await.ok() });
    }
}

async fn carry(mut client: TcpStream, broker: SocketAddr, network: &Mutex<Network>) -> std::io::Result<()> {
    // Length, API key, its version, a number for the answer, and the length of the client's id.
    let mut head = [0; 14];
    client.read_exact(&mut head).await?;
    let mut id = vec![0; usize::from(u16::from_be_bytes([head[12], head[13]]))];
    client.read_exact(&mut id).await?;
    let mut fate = network.lock().unwrap().connected(String::from_utf8_lossy(&id).into_owned());
    let mut server = None;
    let carried = async {
        let server = server.insert(TcpStream::connect(broker).await?);
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        server.write_all(&head).await?;
        server.write_all(&id).await?;
        copy_bidirectional(&mut client, server).await
    };
    let fate = tokio::select! {
        biased;
        told = fate.wait_for(|fate| *fate != Fate::Carried) => told.map_or(Fate::Cut, |fate| *fate),
        carried = carried => return carried.map(drop),
    };
    if fate == Fate::Swallowed {
        // Until the client itself gives up; the broker learns of nothing until then.
        copy(&mut client, &mut sink()).await?;
    }
    Ok(())
}
