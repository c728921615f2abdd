//! The composite service as a program of its own.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    shared::service::program::main(
        "product-composite",
        product_composite_service::PORT,
        product_composite_service::service,
    )
    .await
}
