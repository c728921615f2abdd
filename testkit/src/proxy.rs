//! A network between a server and its clients that can fail, for all of them or for some: it carries nothing for a
//! while, loses what it is given, or ends connections.

mod kafka;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncWriteExt, copy, copy_bidirectional, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::io::InspectReader;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A proxy before a server, in a thread of its own: it serves tests that have a runtime each. It ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    network: Arc<Mutex<Network>>,
    _running: DropGuard,
}

/// Whether clients can be told apart: those of Kafka say who they are.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Clients {
    Alike,
    OfKafka,
}

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
enum Fate {
    #[default]
    Carried,
    Held,
    Swallowed,
    Cut,
}

#[derive(Debug, Default)]
struct Network {
    /// What happens to everybody.
    weather: Fate,
    /// What the ids of clients begin with that are silenced.
    silenced: Vec<String>,
    /// By the ids of their clients; those that have ended too, until the next begins.
    connections: Vec<(String, watch::Sender<Fate>)>,
    /// How many bytes the server has said.
    said: Arc<AtomicU64>,
    /// What the ids of clients of Kafka begin with of which the next records are refused.
    refused: Vec<String>,
}

impl Proxy {
    /// Starts a proxy before `server`, which need not be there yet.
    pub fn start(server: SocketAddr) -> Self {
        Self::before(server, Clients::Alike)
    }

    /// Likewise before a Kafka broker, whose clients have ids.
    pub fn before_kafka(broker: SocketAddr) -> Self {
        Self::before(broker, Clients::OfKafka)
    }

    fn before(server: SocketAddr, clients: Clients) -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let address = listener.local_addr().expect("an address");
        let network = Arc::<Mutex<Network>>::default();
        let stop = CancellationToken::new();
        let (stopped, of_thread) = (stop.clone(), network.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let serve = async move {
            let listener = TcpListener::from_std(listener).expect("a socket for this runtime");
            stopped.run_until_cancelled(accept(&listener, (server, clients), &of_thread)).await;
        };
        std::thread::spawn(move || runtime.block_on(serve));
        Self { address, network, _running: stop.drop_guard() }
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many bytes the server has said to all clients so far.
    pub fn said(&self) -> u64 {
        self.network.lock().unwrap().said.load(Ordering::Relaxed)
    }

    /// Carries nothing any more, in either direction, for the clients whose ids begin with `prefix`: on the connections
    /// that they have and on those that they make later. All of these stay open.
    pub fn silence(&self, prefix: &str) {
        let mut network = self.network.lock().unwrap();
        network.silenced.push(prefix.to_owned());
        network.tell(prefix, Fate::Swallowed);
    }

    /// Refuses the next records of a client of Kafka whose id begins with `prefix`, as a broker does that does not lead
    /// their partition yet; what comes behind them is carried.
    pub fn refuse(&self, prefix: &str) {
        self.network.lock().unwrap().refused.push(prefix.to_owned());
    }

    /// Ends the connections of the clients whose ids begin with `prefix`, without a farewell. New ones are let through.
    pub fn cut(&self, prefix: &str) {
        self.network.lock().unwrap().tell(prefix, Fate::Cut);
    }

    /// Carries nothing until [`recover`](Self::recover), as a network that is parted: nothing is lost, all of it is late.
    pub fn hold(&self) {
        self.network.lock().unwrap().turn(Fate::Held);
    }

    /// Loses everything that it is given until [`recover`](Self::recover), and says nothing to anybody.
    pub fn swallow(&self) {
        self.network.lock().unwrap().turn(Fate::Swallowed);
    }

    /// Carries again what was held. Connections that have lost something end now.
    pub fn recover(&self) {
        let mut network = self.network.lock().unwrap();
        let lossy = network.weather == Fate::Swallowed;
        network.turn(if lossy { Fate::Cut } else { Fate::Carried });
        network.weather = Fate::Carried;
    }
}

impl Network {
    fn turn(&mut self, fate: Fate) {
        self.weather = fate;
        self.tell("", fate);
    }

    fn tell(&self, prefix: &str, fate: Fate) {
        for (_, connection) in self.connections.iter().filter(|(client, _)| client.starts_with(prefix)) {
            connection.send_replace(fate);
        }
    }

    /// Whether records of this client are refused, which they are once.
    fn refuses(&mut self, client: &str) -> bool {
        let at = self.refused.iter().position(|prefix| client.starts_with(prefix));
        at.map(|at| self.refused.swap_remove(at)).is_some()
    }

    /// Notes a connection of `client`, and tells what happens to it from now on.
    fn connected(&mut self, client: String) -> watch::Receiver<Fate> {
        self.connections.retain(|(_, connection)| !connection.is_closed());
        let silenced = self.silenced.iter().any(|prefix| client.starts_with(prefix));
        let (told, fate) = watch::channel(if silenced { Fate::Swallowed } else { self.weather });
        self.connections.push((client, told));
        fate
    }
}

async fn accept(listener: &TcpListener, server: (SocketAddr, Clients), network: &Arc<Mutex<Network>>) {
    loop {
        // Too many open files, say: the tests see what comes of it.
        let Ok((client, _)) = listener.accept().await else { return };
        let network = network.clone();
        // Who ends a connection, and why, is for both of its ends to say.
        tokio::spawn(async move { carry(client, server, &network).await.ok() });
    }
}

async fn carry(
    mut client: TcpStream,
    (server, clients): (SocketAddr, Clients),
    network: &Mutex<Network>,
) -> std::io::Result<()> {
    let of_kafka = clients == Clients::OfKafka;
    let (read, id) = if of_kafka { kafka::introduction(&mut client).await? } else { Default::default() };
    let (mut fate, said) = {
        let mut network = network.lock().unwrap();
        (network.connected(id.clone()), network.said.clone())
    };
    let mut upstream = None;
    let carried = async {
        let server = TcpStream::connect(server).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        if of_kafka {
            kafka::carry(&mut client, server, (&read, &id), network).await?;
            return Ok((0, 0));
        }
        let count = |bytes: &[u8]| {
            said.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        };
        let server = upstream.insert(InspectReader::new(server, count));
        server.write_all(&read).await?;
        copy_bidirectional(&mut client, server).await
    };
    if let Some(ended) = until_lost(carried, &mut fate).await {
        return ended;
    }
    if *fate.borrow_and_update() == Fate::Swallowed {
        // Until the client itself gives up; the server learns of nothing until then.
        let mut nowhere = sink();
        tokio::select! {
            _ = fate.changed() => {}
            swallowed = copy(&mut client, &mut nowhere) => return swallowed.map(drop),
        }
    }
    for end in [Some(&client), upstream.as_ref().map(InspectReader::get_ref)].into_iter().flatten() {
        end.set_zero_linger()?;
    }
    Ok(())
}

/// Carries while it is fate, and waits while nothing is; returns how it ended, unless something is to be lost.
async fn until_lost(
    carried: impl Future<Output = std::io::Result<(u64, u64)>>,
    fate: &mut watch::Receiver<Fate>,
) -> Option<std::io::Result<()>> {
    let mut carried = pin!(carried);
    loop {
        let now = *fate.borrow_and_update();
        tokio::select! {
            biased;
            changed = fate.changed(), if matches!(now, Fate::Carried | Fate::Held) => changed.ok()?,
            carried = &mut carried, if now == Fate::Carried => return Some(carried.map(drop)),
            else => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SOON;
    use std::io::ErrorKind;
    use std::time::Duration;
    use tokio::io::AsyncReadExt;
    use tokio::time::timeout;

    /// Says again what it hears.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    copy(&mut read, &mut write).await
                });
            }
        });
        address
    }

    async fn hears(client: &mut TcpStream) -> std::io::Result<u8> {
        timeout(SOON, client.read_u8()).await.unwrap()
    }

    async fn hears_nothing(client: &mut TcpStream) {
        assert!(timeout(Duration::from_millis(100), client.read_u8()).await.is_err());
    }

    #[tokio::test]
    async fn what_is_held_comes_late_and_what_is_swallowed_never() {
        let proxy = Proxy::start(echo().await);
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        client.write_u8(1).await.unwrap();
        assert_eq!(hears(&mut client).await.unwrap(), 1);

        proxy.hold();
        let mut later = TcpStream::connect(proxy.address()).await.unwrap();
        for client in [&mut client, &mut later] {
            client.write_u8(2).await.unwrap();
            hears_nothing(client).await;
        }
        proxy.recover();
        for client in [&mut client, &mut later] {
            assert_eq!(hears(client).await.unwrap(), 2);
        }

        proxy.swallow();
        client.write_u8(3).await.unwrap();
        hears_nothing(&mut client).await;
        proxy.recover();
        assert_eq!(hears(&mut client).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn who_is_cut_comes_back() {
        let proxy = Proxy::start(echo().await);
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        client.write_u8(1).await.unwrap();
        assert_eq!(hears(&mut client).await.unwrap(), 1);
        proxy.cut("");
        assert_eq!(hears(&mut client).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        client.write_u8(2).await.unwrap();
        assert_eq!(hears(&mut client).await.unwrap(), 2);
    }
}
