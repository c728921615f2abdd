//! What the services of the landscape share, in reading order.
//!
//! - [`jackson`]: how Java's JSON reader takes numbers and texts, for everything that comes from outside
//! - [`api`]: the wire types of the services
//! - [`error`]: one error, one body
//! - [`actuator`]: health and its siblings
//! - [`database`]: pools, migrations, the inbox and the dead letters
//! - [`messaging`]: the event layer: contract, policy, binders
//! - [`discovery`]: registry client, endpoint sources, balancer
//! - [`service`]: configuration and the life of a service
//!
//! The layers are a test (`tests/layering.rs`): `api` uses nothing but `jackson`; `messaging` knows neither HTTP nor
//! `api`; `discovery` uses no sibling and no server; only `service` uses all of them.

pub mod actuator;
pub mod api;
pub mod database;
pub mod discovery;
pub mod error;
pub mod jackson;
pub mod messaging;
pub mod service;
