//! The landscape as its users meet it: the real program, its command line, its services, their ends.
//!
//! - [`crash`]: killed in the middle of a load, again and again
//! - [`life`]: starts that fail, stops under load
//! - [`commands`]: the command line beside a running landscape
//! - [`dead_letters`]: likewise, with events that fail
//! - [`load`]: the load, and whether it notices a landscape that lies
//! - [`steps`]: what `test-em-all.sh` does, in process; and the script itself
//! - [`alone`]: the four services as programs of their own
//!
//! They share [`process`], programs as child processes; and [`verdict`], which compares what the clients of
//! [`testkit::workload`] were promised with the log and the tables.

// Outside the test functions too, a test that cannot go on ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, clippy::print_stdout)]

mod alone;
mod commands;
mod crash;
mod dead_letters;
mod life;
mod load;
mod process;
mod steps;
mod verdict;
