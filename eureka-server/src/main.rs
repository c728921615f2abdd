//! The registry as a program of its own.

use eureka_server::settings::{Settings, VARIABLES};
use shared::service::config::Limits;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let about = "A registry of instances that Eureka's clients can use unchanged.";
    shared::service::program::plain(("eureka-server", about), eureka_server::PORT, VARIABLES, |variables| {
        eureka_server::service(Settings::read(variables)?, &Limits::read(variables)?)
    })
    .await
}
