//! A service as a program of its own: the environment, one listener, one service, until SIGINT or SIGTERM.

use super::config::{self, Config, Variable, Variables};
use super::platform::Platform;
use super::{Service, ServiceAddress, service_address, telemetry};
use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{StatusCode, Uri};
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// How long a service may take to say that it is ready.
const HEALTHCHECK_LIMIT: Duration = Duration::from_secs(2);

/// Runs the service that `wire` makes, on `PORT`; or, as `healthcheck`, asks the one that runs there. What ends the
/// start is one sentence on standard error.
pub async fn main<F>(name: &str, port: u16, wire: impl FnOnce(Platform, ServiceAddress) -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<Service>>,
{
    let about = format!("The {name} service of the product-composite landscape.");
    program(&format!("{name}-service"), &about, port, &[config::COMMON], async |variables, listener| {
        let address = service_address(listener).await?;
        wire(Platform::open(Config::read(variables)?, name).await?, address).await
    })
    .await
}

/// Likewise a service that needs neither broker nor database, and reads `settings` of its own.
pub async fn plain(
    (name, about): (&str, &str),
    port: u16,
    settings: &[Variable],
    wire: impl FnOnce(&Variables) -> anyhow::Result<Service>,
) -> ExitCode {
    program(name, about, port, &[config::PLAIN, settings], async |variables, _| wire(variables)).await
}

async fn program(
    name: &str,
    about: &str,
    port: u16,
    read: &[&[Variable]],
    wire: impl AsyncFnOnce(&Variables, &TcpListener) -> anyhow::Result<Service>,
) -> ExitCode {
    let ports = [("PORT", port, "port to listen on; 0 for any")];
    let matches = clap::Command::new("service")
        .bin_name(name.to_owned())
        .version(env!("CARGO_PKG_VERSION"))
        .about(about.to_owned())
        .after_help(config::help(&ports, read))
        .subcommand(clap::Command::new("healthcheck").about("Ask the running service whether it is ready"))
        .get_matches();
    let variables = Variables::from_env();
    exit(match matches.subcommand_name() {
        Some(_) => healthcheck(&variables, &[("PORT", port)]).await,
        None => run(&variables, port, wire).await,
    })
}

async fn run(
    variables: &Variables,
    port: u16,
    wire: impl AsyncFnOnce(&Variables, &TcpListener) -> anyhow::Result<Service>,
) -> anyhow::Result<()> {
    telemetry::start(config::log(variables))?;
    let listener = listen(config::host(variables)?, "PORT", variables.port("PORT", port)?).await?;
    let shutdown = shutdown()?;
    wire(variables, &listener).await?.run(listener, shutdown).await
}

/// Asks the services on these ports, each a variable and its default, whether they are ready. Readiness and not health
/// as a whole: a service is not unwell because its neighbour is.
pub async fn healthcheck(variables: &Variables, ports: &[(&str, u16)]) -> anyhow::Result<()> {
    let host = config::host(variables)?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    for (variable, default) in ports {
        let address = reachable((host, variables.port(variable, *default)?).into());
        let url = format!("http://{address}/actuator/health/readiness");
        let asked = tokio::time::timeout(HEALTHCHECK_LIMIT, client.get(url.parse::<Uri>()?)).await;
        let answer = asked.with_context(|| format!("{url} does not answer in {HEALTHCHECK_LIMIT:?}"))?;
        let status = answer.with_context(|| format!("{url} cannot be reached"))?.status();
        ensure!(status == StatusCode::OK, "{url} answers {status}");
    }
    Ok(())
}

/// Where a service that listens on all addresses is reached from here.
pub fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    address
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
