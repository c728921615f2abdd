//! What tests of several crates need. For tests only: whatever goes wrong here fails the test at once.
//!
//! - [`eventually`](mod@eventually): waiting for what happens elsewhere
//! - [`sandbox`]: a folder, a configuration and a binder for one test
//! - [`running`]: a service of ours on a port of its own
//! - [`answer`]: what came back over HTTP
//! - [`neighbour`]: others that a service talks to, and nobody; [`port`]: where somebody is who must be told so
//! - [`servers`]: real databases, brokers and registries
//! - [`program`]: programs that others wrote; [`java`]: those in Java
//! - [`dns`]: a name server that answers as a test says
//! - [`killable`]: a server that is killed and started again; [`proxy`]: a network that fails; [`disk`]: a disk that is full
//! - [`reaper`](mod@reaper): cleaning up, however a process ends
//! - [`registry`]: a registry of services that fails as the test says; [`finding`]: our client before any registry
//! - [`fuzz`]: what nobody sends on purpose
//! - [`workload`]: clients that know what they were promised; [`verdict`]: whether that was kept

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

pub mod answer;
pub mod disk;
pub mod dns;
pub mod eventually;
pub mod finding;
pub mod fuzz;
pub mod java;
pub mod killable;
pub mod neighbour;
pub mod port;
pub mod program;
pub mod proxy;
pub mod reaper;
pub mod registry;
pub mod running;
pub mod sandbox;
pub mod servers;
pub mod verdict;
pub mod workload;

pub use answer::Answer;
pub use disk::Disk;
pub use dns::NameServer;
pub use eventually::{eventually, within};
pub use fuzz::Fuzz;
pub use killable::Killable;
pub use neighbour::{Neighbour, Nobody};
pub use program::Program;
pub use proxy::Proxy;
pub use reaper::reaper;
pub use registry::{Fault, Registry};
pub use running::Running;
pub use sandbox::Sandbox;

use std::time::Duration;

/// How long what is to happen may take, on a busy machine too.
pub const SOON: Duration = Duration::from_secs(20);
