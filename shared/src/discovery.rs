//! Finding the instances of a service, and spreading requests over them.
//!
//! - this file: [`Endpoint`] and the set of them, which a [`Source`] feeds and the balancer reads
//! - [`location`]: where a service is, as its URL says, and the source for it
//! - [`dns`]: all addresses of a name, asked for again and again
//! - [`eureka`]: the source that follows Eureka's registries, and how a service registers there
//! - [`balancer`]: which instance is next, and what became of the last ones
//! - [`calls`]: requests over a balancer, tried again elsewhere
//! - [`wire`]: what Eureka's registries and clients say to each other
//!
//! Sources and balancer do not know each other: between them is a [`watch`] channel of [`Endpoints`]. The set must never
//! become empty because a registry or a name server did.

pub mod balancer;
pub mod calls;
pub mod dns;
pub mod eureka;
pub mod location;
pub mod wire;

use std::sync::Arc;
use tokio::sync::{Notify, watch};

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

/// What feeds a balancer. It ends when nobody reads it any more.
#[derive(Debug, Clone)]
pub struct Source {
    /// The instances; empty and never changed until the source knows something, or knows that there is nothing.
    pub endpoints: Discovered,
    /// Told when an instance cannot be reached: a source that can ask again does so early.
    pub doubts: Arc<Notify>,
}

impl From<Discovered> for Source {
    /// A source that does not care about doubts.
    fn from(endpoints: Discovered) -> Self {
        Self { endpoints, doubts: Arc::default() }
    }
}
