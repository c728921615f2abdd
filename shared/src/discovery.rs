//! Finding the instances of a service, and spreading requests over them.
//!
//! - this file: [`Endpoint`] and the set of them, which sources feed and the balancer reads
//! - [`eureka`]: the source that follows Eureka's registries, and how a service registers there
//! - [`wire`]: what Eureka's registries and clients say to each other
//!
//! Sources and balancer do not know each other: between them is a [`watch`] channel of [`Endpoints`]. The set must never
//! become empty because a registry or a name server did.

pub mod eureka;
pub mod wire;

use std::sync::Arc;
use tokio::sync::watch;

/// Where one instance of a service is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// `host:port`, as it stands in a URL. Two endpoints of the same authority are the same instance.
    pub authority: String,
    /// The zone that the instance says it is in.
    pub zone: Option<String>,
}

/// All instances of a service as a source knows them now, each authority once.
pub type Endpoints = Arc<[Endpoint]>;

/// The end of a source that the balancer reads.
pub type Discovered = watch::Receiver<Endpoints>;
