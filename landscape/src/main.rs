//! `landscape`: every service in one process; with a command, a look at what runs.

// The command line is read by people: this program prints.
#![expect(clippy::print_stdout)]

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use landscape::dead_letters::DeadLettersCommand;
use landscape::everything::{Landscape, PORTS, used_ports};
use landscape::load::LoadArgs;
use landscape::topics::TopicsCommand;
use landscape::{dead_letters, load, token, topics};
use shared::service::config::{self, BinderKind, Config, Variables};
use shared::service::platform::Platform;
use shared::service::program::{self, reachable};
use shared::service::telemetry;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The product-composite landscape in one process. Without a command it runs until Ctrl-C.
#[derive(Parser)]
#[command(name = "landscape", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Looks at the topics of the event log, beside a running landscape
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Looks at the events that were given up and decides on them, through the running services
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Writes, deletes and reads composites of a running landscape, waits until all is visible, verifies each
    Load(LoadArgs),
    /// Ask the services of a running landscape whether they are ready
    Healthcheck,
}

#[tokio::main]
async fn main() -> ExitCode {
    let matches = Arguments::command()
        .after_help(config::help(&PORTS, &[config::COMMON, eureka_server::settings::VARIABLES]))
        .get_matches();
    let arguments = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    program::exit(run(arguments, &Variables::from_env()).await)
}

async fn run(arguments: Arguments, variables: &Variables) -> anyhow::Result<()> {
    let config = Config::read(variables)?;
    match arguments.command {
        None => serve(variables, config).await,
        Some(Command::Topics(command)) => {
            if let BinderKind::Embedded = config.events.binder {
                let log = config.data_dir.join("events.db");
                anyhow::ensure!(log.exists(), "there is no event log at {}; DATA_DIR says where it is", log.display());
            }
            topics::run(command, &*Platform::open(config, "operator").await?.binder).await
        }
        Some(Command::DeadLetters(command)) => {
            let services = core_services(variables, &config)?;
            dead_letters::run(command, &services, || token::find(config.dead_letters_token.as_ref(), &config.data_dir))
                .await
        }
        Some(Command::Load(args)) => load::run(args).await,
        Some(Command::Healthcheck) => {
            let ports: Vec<_> =
                used_ports(&config).iter().map(|(variable, default, _)| (*variable, *default)).collect();
            program::healthcheck(variables, &ports).await
        }
    }
}

async fn serve(variables: &Variables, config: Config) -> anyhow::Result<()> {
    telemetry::start(&config.log)?;
    let shutdown = program::shutdown()?;
    let landscape = Landscape::wire(variables, config).await?;
    welcome(&landscape);
    landscape.run(shutdown).await
}

fn welcome(landscape: &Landscape) {
    let [composite, product, recommendation, review] = landscape.addresses.map(reachable);
    let (kept, registry) = (&landscape.kept, &landscape.registry_url);
    println!(
        "The product-composite landscape
  composite       http://{composite}
  product         http://{product}
  recommendation  http://{recommendation}
  review          http://{review}
  registry        {registry}
  {kept}

Try:
  curl -i http://{composite}/product-composite -H 'Content-Type: application/json' \\
    -d '{{\"productId\":1,\"name\":\"a product\",\"weight\":1,\"reviews\":[{{\"reviewId\":1,\"author\":\"a\",\"subject\":\"s\",\"content\":\"c\"}}]}}'
  curl -s http://{composite}/product-composite/1 | jq
  curl -s http://{composite}/actuator/health | jq

Ctrl-C stops it."
    );
}

/// The core services by name and address: where `*_SERVICE_URL` says, else on their ports on this machine.
fn core_services(variables: &Variables, config: &Config) -> anyhow::Result<Vec<(&'static str, String)>> {
    let cores = [
        ("product", "PRODUCT_SERVICE_URL", &config.cores.product),
        ("recommendation", "RECOMMENDATION_SERVICE_URL", &config.cores.recommendation),
        ("review", "REVIEW_SERVICE_URL", &config.cores.review),
    ];
    let mut services = Vec::with_capacity(cores.len());
    for ((name, url_variable, location), (port_variable, default, _)) in cores.into_iter().zip(&PORTS[1..4]) {
        let here = reachable((config.host, variables.port(port_variable, *default)?).into());
        let url = if variables.text(url_variable).is_some() { location.url() } else { format!("http://{here}") };
        services.push((name, url));
    }
    Ok(services)
}
