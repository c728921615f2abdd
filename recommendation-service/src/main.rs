//! The recommendation service as a program of its own.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    shared::service::program::main("recommendation", recommendation_service::PORT, recommendation_service::service)
        .await
}
