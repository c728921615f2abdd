//! The servers that tests are given: there, empty, and gone afterwards.

// Outside the test functions too, a test that cannot go on ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod faults;
mod servers;
