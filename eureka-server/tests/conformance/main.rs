//! What a registry promises to its clients: each check once, run by its number against ours and against Spring's, such
//! as `real::check_01_an_empty_registry_is_empty_to_the_letter`. Where Spring's says otherwise, the check is wrong.
//!
//! - [`lab`]: a registry of either kind, and what to ask it
//! - [`words`]: instances to register, and answers without what no test can know
//! - [`strict`]: what Spring's client refuses to read
//! - [`checks`]: the promises
//! - [`clients`]: other people's clients; [`recorder`]: what they say;
//!   [`golden`]: what they said
//! - [`dashboard`]: the page in a browser

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod checks;
mod clients;
mod dashboard;
mod golden;
mod lab;
mod recorder;
mod strict;
mod words;

use lab::Kind;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

/// How long a trial may take: two of a registry's minutes, and a slow start.
const LIMIT: Duration = Duration::from_secs(240);

/// A trial that is still to be run.
type Run = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Trials wait for the registries' clocks more than they compute.
    arguments.test_threads.get_or_insert(8);
    let checks = checks::all().into_iter().flat_map(|check| [Kind::Real, Kind::Ours].map(|kind| check.on(kind)));
    let alone = checks::alone().into_iter().map(|(kind, check)| check.on(kind));
    let trials = alone
        .chain(checks)
        .map(|(name, absent, run)| Trial::ignorable_test(name, move || absent.map_or_else(|| finish(run), left_out)));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Who has no Java may go on without; who checks a change may not.
fn left_out(reason: String) -> Result<Completion, Failed> {
    let checked = shared::service::config::Variables::from_env().text("CI").is_some();
    if checked { Err(reason.into()) } else { Ok(Completion::ignored_with(reason)) }
}

fn finish(run: Run) -> Result<Completion, Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let trial = async { tokio::time::timeout(LIMIT, run()).await };
    let outcome = catch_unwind(AssertUnwindSafe(|| runtime.block_on(trial)));
    runtime.shutdown_background();
    match outcome {
        Ok(in_time) => in_time.map(|()| Completion::Completed).map_err(|_| format!("not done within {LIMIT:?}").into()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            Err(text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").into())
        }
    }
}
