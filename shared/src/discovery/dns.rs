//! All addresses of a name, as instances: asked for again when the answer has expired.
//!
//! A client that looks a name up when it connects sticks to the address it got first. Here the name is asked for again by
//! the TTL of its records, but at least every 30 seconds (Docker says ten minutes), and nothing is kept in between. What
//! `/etc/hosts` says of a name comes first, as everywhere; both it and `/etc/resolv.conf` are read again each time.

#[cfg(test)]
mod tests;

use super::{Endpoint, Endpoints, Source};
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, TokioResolver, system_conf};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tracing::{info, warn};

/// How long a name server may think; it is asked three times in all.
const PATIENCE: Duration = Duration::from_secs(1);
const MORE_ATTEMPTS: usize = 2;

/// How names are asked for.
#[derive(Debug, Clone)]
pub struct Dns {
    /// Who is asked instead of those that the system names.
    pub nameserver: Option<SocketAddr>,
    /// The least and the most time from one answer to the next question, whatever its TTL.
    pub pause: (Duration, Duration),
}

impl Default for Dns {
    /// The system's name servers, asked again after 1 to 30 seconds.
    fn default() -> Self {
        Self { nameserver: None, pause: (Duration::from_secs(1), Duration::from_secs(30)) }
    }
}

impl Dns {
    /// An instance at `port` of each address of `name`, in a runtime.
    pub fn discover(self, name: String, port: u16) -> Source {
        let (sender, endpoints) = watch::channel(Endpoints::default());
        let doubts = Arc::<Notify>::default();
        let asking = Asking { dns: self, name, known: Addresses::default() };
        tokio::spawn(asking.go_on(port, sender, doubts.clone()));
        Source { endpoints, doubts }
    }
}

/// A name that is asked for again and again.
struct Asking {
    dns: Dns,
    name: String,
    /// The answer of each family, kept while there is none.
    known: Addresses,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Addresses {
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
}

impl Asking {
    async fn go_on(mut self, port: u16, sender: watch::Sender<Endpoints>, doubts: Arc<Notify>) {
        let asking = async {
            let (least, most) = self.dns.pause;
            let mut failures: u32 = 0;
            loop {
                let asked = self.ask().await;
                self.publish(port, &sender);
                let pause = match asked {
                    Ok(ttl) => {
                        if failures > 0 {
                            info!(name = self.name, "the name has addresses again");
                        }
                        failures = 0;
                        ttl
                    }
                    Err(error) => {
                        if failures == 0 {
                            let error = format!("{error:#}");
                            warn!(name = self.name, error, "the name has no addresses now, those it had are kept");
                        }
                        failures += 1;
                        least.saturating_mul(1 << failures.min(16)) / 2
                    }
                };
                sleep(least).await;
                let rest = pause.clamp(least, most) - least;
                tokio::select! {
                    () = sleep(rest) => {}
                    () = doubts.notified() => {}
                }
            }
        };
        tokio::select! {
            biased;
            () = sender.closed() => {}
            () = asking => {}
        }
    }

    /// Says what is known; that it is nothing, too.
    fn publish(&self, port: u16, sender: &watch::Sender<Endpoints>) {
        let addresses = self.known.v4.iter().chain(&self.known.v6);
        let now: Endpoints = addresses
            .map(|address| Endpoint { authority: SocketAddr::new(*address, port).to_string(), zone: None })
            .collect();
        sender.send_if_modified(|known| {
            let news = known.is_empty() || *known != now;
            *known = now;
            news
        });
    }

    /// Asks for both families; returns how long the answer holds. A family that nobody answered for keeps its addresses.
    async fn ask(&mut self) -> anyhow::Result<Duration> {
        let system = self.dns.nameserver.is_none();
        let name = self.name.clone();
        let (hosts, resolver) =
            tokio::task::spawn_blocking(move || system.then(|| (hosts(&name), system_configuration()))).await?.unzip();
        if let Some(addresses) = hosts.flatten() {
            self.known = addresses;
            return Ok(Duration::MAX);
        }
        let resolver = match self.dns.nameserver {
            Some(nameserver) => with_options(only(nameserver), ResolverOpts::default())?,
            None => {
                let (configuration, options) = resolver.unwrap_or_default();
                with_options(configuration, options)?
            }
        };
        let (v4, v6) =
            tokio::join!(family(&resolver, &self.name, RecordType::A), family(&resolver, &self.name, RecordType::AAAA));
        let ttl = [&v4, &v6].into_iter().flatten().filter_map(|(_, ttl)| *ttl).min();
        match ttl {
            Some(ttl) => {
                // The other family may be one that nobody answers for, ever.
                self.known.v4 = v4.map_or_else(|_| std::mem::take(&mut self.known.v4), |(addresses, _)| addresses);
                self.known.v6 = v6.map_or_else(|_| std::mem::take(&mut self.known.v6), |(addresses, _)| addresses);
                Ok(ttl)
            }
            None => {
                v4?;
                v6?;
                anyhow::bail!("there is no such name, or it has no address")
            }
        }
    }
}

/// The addresses of one family, in order, and for how long; nothing where the name has none.
async fn family(
    resolver: &TokioResolver,
    name: &str,
    family: RecordType,
) -> Result<(Vec<IpAddr>, Option<Duration>), NetError> {
    let answer = match resolver.lookup(name, family).await {
        Err(NetError::Dns(DnsError::NoRecordsFound(_))) => return Ok((Vec::new(), None)),
        answer => answer?,
    };
    let mut addresses: Vec<IpAddr> = answer.answers().iter().filter_map(|record| record.data.ip_addr()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let ttl = answer.answers().iter().map(|record| record.ttl).min();
    let ttl = ttl.filter(|_| !addresses.is_empty()).map(|seconds| Duration::from_secs(seconds.into()));
    Ok((addresses, ttl))
}

/// What the hosts file says of the name, which then is all.
fn hosts(name: &str) -> Option<Addresses> {
    let (hosts, name) = (Hosts::from_system().ok()?, Name::from_str_relaxed(name).ok()?);
    let of = |family| {
        let found = hosts.lookup_static_host(&Query::query(name.clone(), family));
        let mut addresses: Vec<IpAddr> =
            found.iter().flat_map(|found| found.answers()).filter_map(|record| record.data.ip_addr()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    };
    let addresses = Addresses { v4: of(RecordType::A), v6: of(RecordType::AAAA) };
    (addresses != Addresses::default()).then_some(addresses)
}

/// The system's name servers and search list; without a file of them the one on this machine, as the C library does.
fn system_configuration() -> (ResolverConfig, ResolverOpts) {
    system_conf::read_system_conf()
        .unwrap_or_else(|_| (only((Ipv4Addr::LOCALHOST, 53).into()), ResolverOpts::default()))
}

fn only(nameserver: SocketAddr) -> ResolverConfig {
    let mut server = NameServerConfig::udp_and_tcp(nameserver.ip());
    for connection in &mut server.connections {
        connection.port = nameserver.port();
    }
    ResolverConfig::from_parts(None, Vec::new(), vec![server])
}

fn with_options(configuration: ResolverConfig, options: ResolverOpts) -> Result<TokioResolver, NetError> {
    let mut builder = TokioResolver::builder_with_config(configuration, TokioRuntimeProvider::default());
    let own = builder.options_mut();
    *own = options;
    own.cache_size = 0;
    own.use_hosts_file = ResolveHosts::Never;
    own.timeout = PATIENCE;
    own.attempts = MORE_ATTEMPTS;
    builder.build()
}
