//! Where a service is: as it names itself in answers, and as a registry tells it to others.

use super::config::Discovery;
use crate::discovery::eureka::Presence;
use anyhow::Context;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// The instance that answers, as Spring's services name it: `host/ip:port`.
pub type ServiceAddress = Arc<str>;

/// Names the instance behind `listener`.
pub async fn service_address(listener: &TcpListener) -> anyhow::Result<ServiceAddress> {
    let port = listener.local_addr().context("the listener has no address")?.port();
    let (host, ip) = machine().await;
    let host = host.unwrap_or_else(|| "unknown host name".to_owned());
    let ip = ip.map_or_else(|| "unknown IP address".to_owned(), |ip| ip.to_string());
    Ok(format!("{host}/{ip}:{port}").into())
}

/// What a registry is told of the service `name` that listens on `address`.
pub(super) async fn presence(name: &str, config: &Discovery, address: SocketAddr) -> Presence {
    let (machine, ip) = machine().await;
    let machine = machine.unwrap_or_else(|| "localhost".to_owned());
    // Who listens on one address is reached there only, and who listens on all of them by the name of the machine.
    let listens = Some(address.ip()).filter(|ip| !ip.is_unspecified());
    let ip = listens.or(ip).unwrap_or(Ipv4Addr::LOCALHOST.into());
    let host_name = config.host_name.clone().or_else(|| listens.map(|ip| ip.to_string()));
    Presence {
        name: name.to_owned(),
        // As in Spring the machine's name, whatever callers are told: replicas behind one name stay apart.
        id: format!("{machine}:{name}:{}", address.port()),
        host_name: host_name.unwrap_or(machine),
        ip_addr: ip.to_string(),
        port: address.port(),
        zone: config.zone.clone(),
        renewal: config.renewal,
        duration: config.duration,
    }
}

/// The name of this machine and its address, as far as they are known.
async fn machine() -> (Option<String>, Option<IpAddr>) {
    let host = gethostname::gethostname().into_string().ok().filter(|host| !host.is_empty());
    let Some(name) = &host else { return (None, None) };
    // A name server that is away must not hold the start.
    let lookup = tokio::time::timeout(Duration::from_millis(100), tokio::net::lookup_host((name.as_str(), 0)));
    let addresses: Vec<_> = lookup.await.ok().and_then(Result::ok).map(Iterator::collect).unwrap_or_default();
    let address = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    (host, address.map(SocketAddr::ip))
}
