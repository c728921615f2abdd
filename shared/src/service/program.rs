//! A service as a program of its own: the environment, one listener, one service, until SIGINT or SIGTERM.

use super::config::{self, Config, Variables};
use super::platform::Platform;
use super::{Service, ServiceAddress, service_address, telemetry};
use anyhow::Context;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Runs the service that `wire` makes, on `PORT`. What ends the start is one sentence on standard error.
pub async fn main<F>(name: &str, port: u16, wire: impl FnOnce(Platform, ServiceAddress) -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<Service>>,
{
    let ports = [("PORT", port, "port to listen on; 0 for any")];
    let about = format!("The {name} service of the product-composite landscape.");
    clap::Command::new("service")
        .bin_name(format!("{name}-service"))
        .version(env!("CARGO_PKG_VERSION"))
        .about(about)
        .after_help(config::help(&ports))
        .get_matches();
    exit(run(&Variables::from_env(), port, wire).await)
}

async fn run<F>(
    variables: &Variables,
    port: u16,
    wire: impl FnOnce(Platform, ServiceAddress) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<Service>>,
{
    let config = Config::read(variables)?;
    telemetry::start(&config.log)?;
    let listener = listen(config.host, "PORT", variables.port("PORT", port)?).await?;
    let shutdown = shutdown()?;
    let address = service_address(&listener).await?;
    let service = wire(Platform::open(config).await?, address).await?;
    service.run(listener, shutdown).await
}

/// Binds a port, or says in one sentence which variable to change.
pub async fn listen(host: IpAddr, variable: &str, port: u16) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::new(host, port);
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("cannot listen on {address}; set {variable} to another port, or HOST"))
}

/// Resolves when the process is asked to end.
pub fn shutdown() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    // The handlers are set now, so that no signal after this call is missed.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Ends a program: an error becomes one line on standard error.
pub fn exit(ended: anyhow::Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The logs may be filtered or not yet started; this line is for who typed the command.
            #[expect(clippy::print_stderr)]
            {
                eprintln!("error: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
