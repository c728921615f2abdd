//! The deployment diagram as code: four services, one binder, the registry, one process.

use crate::token;
use eureka_server::settings::Settings;
use futures_util::future::{join, join_all};
use shared::service::config::{BinderKind, Config, Token, Variables};
use shared::service::platform::Platform;
use shared::service::program::{listen, reachable};
use shared::service::{Service, service_address};
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// The variable and default of each port: composite, product, recommendation, review, registry.
pub const PORTS: [(&str, u16, &str); 5] = [
    ("COMPOSITE_PORT", 8080, "port of the composite service; 0 for any"),
    ("PRODUCT_PORT", product_service::PORT, "port of the product service"),
    ("RECOMMENDATION_PORT", recommendation_service::PORT, "port of the recommendation service"),
    ("REVIEW_PORT", review_service::PORT, "port of the review service"),
    ("EUREKA_PORT", eureka_server::PORT, "port of the registry, which runs unless EUREKA_URL names another"),
];

/// All services, wired and not yet running.
#[derive(Debug)]
pub struct Landscape {
    services: Vec<(Service, TcpListener)>,
    /// The registry, unless there is one elsewhere.
    registry: Option<(Service, TcpListener)>,
    /// Where composite, product, recommendation and review are served.
    pub addresses: [SocketAddr; 4],
    /// Where the registry is, for people.
    pub registry_url: String,
    /// Where events are kept, for people: `data`, or the broker.
    pub kept: String,
}

impl Landscape {
    /// Takes the ports, opens the log and the databases, wires the services.
    pub async fn wire(variables: &Variables, mut config: Config) -> anyhow::Result<Self> {
        config.databases.share_out(variables, &["product", "recommendation", "review"])?;
        if config.dead_letters_token.is_none() && config.host.is_loopback() {
            config.dead_letters_token = local_token(&config)?;
        }
        let mut listeners = Vec::with_capacity(PORTS.len());
        for (variable, default, _) in used_ports(&config) {
            listeners.push(listen(config.host, variable, variables.port(variable, *default)?).await?);
        }
        let registry = listeners.split_off(4).pop();
        let [composite, product, recommendation, review] = <[TcpListener; 4]>::try_from(listeners)
            .map_err(|listeners| anyhow::anyhow!("there are {} listeners", listeners.len()))?;
        let addresses =
            [composite.local_addr()?, product.local_addr()?, recommendation.local_addr()?, review.local_addr()?];
        let (registry, registry_url) = match registry {
            None => (None, "as EUREKA_URL says".to_owned()),
            Some(listener) => {
                let url = format!("http://{}", reachable(listener.local_addr()?));
                // The siblings find each other here, and others who are told this URL find them.
                config.find_by(&format!("{url}/eureka/"))?;
                let service = eureka_server::service(Settings::read(variables)?, &config.limits)?;
                (Some((service, listener)), url)
            }
        };

        let kept = match &config.events.binder {
            BinderKind::Embedded => {
                format!("data            {}  (remove it to start afresh)", config.data_dir.display())
            }
            BinderKind::RabbitMq(url, _) => format!("events          RabbitMQ at {url}"),
            BinderKind::Kafka(brokers) => format!("events          Kafka at {brokers}"),
        };
        let platform = Platform::open(config, "landscape").await?;
        let (p, a) = (|| platform.clone(), service_address);
        let services = vec![
            (product_service::service(p(), a(&product).await?).await?, product),
            (recommendation_service::service(p(), a(&recommendation).await?).await?, recommendation),
            (review_service::service(p(), a(&review).await?).await?, review),
            (product_composite_service::service(p(), a(&composite).await?).await?, composite),
        ];
        Ok(Self { services, registry, addresses, registry_url, kept })
    }

    /// Serves until `shutdown` resolves, or until one of the services ends by itself, which stops the others. The
    /// registry ends last, so that they can leave it.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
        let (stop, last) = (CancellationToken::new(), CancellationToken::new());
        let until = |stopped: CancellationToken, (service, listener): (Service, TcpListener)| {
            let ended = stop.clone().drop_guard();
            async move {
                let _ended = ended;
                service.run(listener, stopped.cancelled_owned()).await
            }
        };
        let services = join_all(self.services.into_iter().map(|service| until(stop.clone(), service)));
        let registry = join_all(self.registry.into_iter().map(|service| until(last.clone(), service)));
        let all = join(async { (services.await, last.cancel()).0 }, registry);
        tokio::pin!(all);
        let (services, registry) = tokio::select! {
            ended = &mut all => ended,
            () = shutdown => {
                stop.cancel();
                all.await
            }
        };
        services.into_iter().chain(registry).collect()
    }
}

/// The token beside the data: whoever can read that may decide on its dead letters, and nobody else on this machine.
fn local_token(config: &Config) -> anyhow::Result<Option<Token>> {
    match (token::find_or_make(&config.data_dir), &config.events.binder) {
        (Ok(token), _) => Ok(Some(token)),
        (Err(error), BinderKind::Embedded) => Err(error),
        (Err(error), _) => {
            // With a broker and a database elsewhere nothing else needs the folder.
            warn!(error = format!("{error:#}"), "nobody can decide on dead letters");
            Ok(None)
        }
    }
}

/// Those of the [`PORTS`] that are listened on.
pub fn used_ports(config: &Config) -> &'static [(&'static str, u16, &'static str)] {
    if config.discovery.registries.is_some() { &PORTS[..4] } else { &PORTS }
}
