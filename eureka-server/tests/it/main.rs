//! The registry over HTTP, as operators and other registries meet it. What clients meet is in `conformance`.

// Outside the test functions too, a test that cannot go on ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bounds;
mod lab;
mod peers;
mod refusals;
mod restart;
mod user;
