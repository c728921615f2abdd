//! What every binder promises, and what the policy above it promises on every binder: each scenario once, run by name
//! against each lab, such as `embedded::each_group_gets_each_event_once`.
//!
//! - [`lab`]: one kind of broker, and the world that a trial has for itself
//! - [`scenarios`]: the promises
//! - [`service`]: the service under test, with a table in which doubles and inversions are seen
//! - [`reader`]: reading without a service; [`rows`]: a service for any destination
//! - [`load`]: clients that go on while a broker is away
//! - [`tampered`]: a binder that is held up, or fails, at a chosen step
//! - [`child`]: other processes, to be killed
//! - [`embedded`]: the lab that needs no server
//! - [`rabbit`], [`kafka`]: the labs with a RabbitMQ or a Kafka broker, and PostgreSQL beside it

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]
// The variables here are told by a test to its child, or by whoever runs the tests to all of them.
#![allow(clippy::disallowed_methods)]

mod child;
mod embedded;
mod kafka;
mod lab;
mod load;
mod rabbit;
mod reader;
mod rows;
mod scenarios;
mod service;
mod tampered;

use futures_util::FutureExt;
use lab::{Lab, World};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use scenarios::Scenario;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;

fn labs() -> Vec<Arc<dyn Lab>> {
    vec![Arc::new(embedded::Embedded), Arc::new(rabbit::Rabbit), Arc::new(kafka::Kafka)]
}

fn main() -> ExitCode {
    if let Some(task) = child::Task::of_this_process() {
        runtime().block_on(task.run(&labs()));
        return ExitCode::SUCCESS;
    }
    if std::env::var_os("RUST_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    let mut arguments = Arguments::from_args();
    // Trials wait for disks and locks more than they compute.
    arguments.test_threads.get_or_insert(6);
    libtest_mimic::run(&arguments, labs().iter().flat_map(trials).collect()).exit_code()
}

fn trials(lab: &Arc<dyn Lab>) -> Vec<Trial> {
    let trial = |scenario: Scenario| {
        let (lab, name) = (lab.clone(), format!("{}::{}", lab.name(), scenario.name));
        Trial::ignorable_test(name, move || run(&lab, &scenario))
    };
    scenarios::all().into_iter().chain(lab.own_scenarios()).map(trial).collect()
}

fn run(lab: &Arc<dyn Lab>, scenario: &Scenario) -> Result<Completion, Failed> {
    if let Some(reason) = lab.absent() {
        // Who has no server may go on without; who checks a change may not.
        if std::env::var_os("CI").is_some() {
            return Err(reason.into());
        }
        return Ok(Completion::ignored_with(reason));
    }
    if let Some(reason) = lab.exempt(scenario.name) {
        return Ok(Completion::ignored_with(reason));
    }
    let runtime = runtime();
    let trial = async {
        let world = World::new(lab.clone()).await;
        let (limit, address) = (lab.limit(), world.address().to_owned());
        let done = AssertUnwindSafe(tokio::time::timeout(limit, (scenario.run)(world))).catch_unwind().await;
        lab.remove(&address).await;
        done.map(|done| done.map_err(|_| format!("not done within {limit:?}")))
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| runtime.block_on(trial))).flatten();
    // What hangs on purpose is left behind.
    runtime.shutdown_background();
    match outcome {
        Ok(in_time) => in_time.map(|()| Completion::Completed).map_err(Failed::from),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(text.unwrap_or("a panic without words").into())
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
