//! The deployment diagram as code: four services, one binder, one process.

use futures_util::future::join_all;
use shared::discovery::location::Location;
use shared::service::config::{BinderKind, Config, Variables};
use shared::service::platform::Platform;
use shared::service::program::{listen, reachable};
use shared::service::{Service, service_address};
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The variable and default of each port: composite, product, recommendation, review.
pub const PORTS: [(&str, u16, &str); 4] = [
    ("COMPOSITE_PORT", 8080, "port of the composite service; 0 for any"),
    ("PRODUCT_PORT", product_service::PORT, "port of the product service"),
    ("RECOMMENDATION_PORT", recommendation_service::PORT, "port of the recommendation service"),
    ("REVIEW_PORT", review_service::PORT, "port of the review service"),
];

/// All services, wired and not yet running.
#[derive(Debug)]
pub struct Landscape {
    services: Vec<(Service, TcpListener)>,
    /// Where composite, product, recommendation and review are served.
    pub addresses: [SocketAddr; 4],
    /// Where events are kept, for people: `data`, or the broker.
    pub kept: String,
}

impl Landscape {
    /// Takes the ports, opens the log and the databases, wires the services.
    pub async fn wire(variables: &Variables, mut config: Config) -> anyhow::Result<Self> {
        config.databases.share_out(variables, &["product", "recommendation", "review"])?;
        let mut listeners = Vec::with_capacity(PORTS.len());
        for (variable, default, _) in PORTS {
            listeners.push(listen(config.host, variable, variables.port(variable, default)?).await?);
        }
        let [composite, product, recommendation, review] = <[TcpListener; 4]>::try_from(listeners)
            .map_err(|listeners| anyhow::anyhow!("there are {} listeners", listeners.len()))?;
        let addresses =
            [composite.local_addr()?, product.local_addr()?, recommendation.local_addr()?, review.local_addr()?];
        // The composite reads from its siblings here, wherever they are served.
        let here = |address: SocketAddr| format!("http://{}", reachable(address)).parse::<Location>();
        config.cores.product = here(addresses[1])?;
        config.cores.recommendation = here(addresses[2])?;
        config.cores.review = here(addresses[3])?;

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
        Ok(Self { services, addresses, kept })
    }

    /// Serves until `shutdown` resolves, or until one of the services ends by itself, which stops the others.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
        let stop = CancellationToken::new();
        let services = self.services.into_iter().map(|(service, listener)| {
            let (stopped, ended) = (stop.clone().cancelled_owned(), stop.clone().drop_guard());
            async move {
                let _ended = ended;
                service.run(listener, stopped).await
            }
        });
        let all = join_all(services);
        tokio::pin!(all);
        let ended = tokio::select! {
            ended = &mut all => ended,
            () = shutdown => {
                stop.cancel();
                all.await
            }
        };
        ended.into_iter().collect()
    }
}
