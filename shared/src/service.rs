//! The life of a service: wired first, run later, stopped in order.
//!
//! - this file: [`Service`]
//! - [`config`]: what the environment says
//! - [`address`]: where a service is, and what a registry is told of it
//! - [`platform`]: what the surroundings give to every service of a process
//! - [`program`]: a service as a program of its own
//! - [`extract`]: what handlers take from a request
//! - [`dead_letters`]: the letters over HTTP
//! - [`indicators`]: what health looks at
//! - [`telemetry`]: logs and traces
//! - [`connections`]: those of clients
//!
//! Nothing here is global: a process and a test run as many services as they like.

mod address;
pub mod config;
mod connections;
pub mod dead_letters;
pub mod extract;
pub mod indicators;
pub mod platform;
pub mod program;
pub mod telemetry;

pub use address::{ServiceAddress, service_address};

use crate::actuator::metrics::{self, Meter, Uptime};
use crate::actuator::{Actuator, Indicator, Info, Readiness};
use crate::api::Destination;
use crate::database::Database;
use crate::discovery::eureka::Eureka;
use crate::error::{ApiError, error_bodies};
use crate::messaging::processor::{Handler, Subscription, process};
use crate::messaging::retry::Waiting;
use crate::messaging::{BinderError, ConsumerBinding};
use anyhow::Context;
use axum::{Extension, Router};
use config::{Discovery, Limits};
use connections::Connections;
use dead_letters::DeadLetters;
use extract::BodyLimit;
use futures_util::future::BoxFuture;
use http::StatusCode;
use platform::Platform;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tower_http::timeout::TimeoutLayer;
use tracing::{info, warn};

/// How long nothing may happen on a connection, beside the time limit of a request.
const QUIET: Duration = Duration::from_secs(30);

/// A part of a service that runs until it is told to stop.
type Part = Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, anyhow::Result<()>> + Send>;

/// A service as it is wired: routes, health, events.
pub struct Service {
    name: &'static str,
    limits: Limits,
    routes: Router,
    actuator: Actuator,
    readiness: Readiness,
    parts: Vec<Part>,
    databases: Vec<Database>,
    meters: Vec<Box<dyn Meter>>,
    registry: Option<(Eureka, Discovery)>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Service {
    /// A service with these routes, which shows the disk of `DATA_DIR` and the binder in its health, and is found
    /// through the registry where there is one.
    pub fn new(info: Info, platform: &Platform, routes: Router) -> Self {
        let (readiness, limits) = (Readiness::default(), &platform.config.limits);
        let limited = routes
            .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, limits.request))
            .layer(Extension(BodyLimit(limits.body)));
        let mut service = Self::with(Actuator::new(info, &readiness), readiness, info, limits, error_bodies(limited));
        service.actuator = service
            .actuator
            .indicator("diskSpace", crate::actuator::DiskSpace::new(&platform.config.data_dir))
            .readiness_indicator("binders", indicators::Binders(platform.binder.clone()));
        // Spring shows a broker that its client knows beside its binder too.
        if platform.binder.name() == "rabbit" {
            service.actuator = service.actuator.indicator("rabbit", indicators::Broker(platform.binder.clone()));
        }
        service.meters.push(Box::new(Uptime(std::time::Instant::now())));
        service.registry = platform.eureka.clone().map(|eureka| (eureka, platform.config.discovery.clone()));
        service
    }

    /// A service that needs nothing of its surroundings, and whose routes word their failures themselves.
    /// Its health is one word.
    pub fn plain(info: Info, limits: &Limits, routes: Router) -> Self {
        let readiness = Readiness::default();
        let limited = routes.layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, limits.request));
        Self::with(Actuator::new(info, &readiness).without_details(), readiness, info, limits, limited)
    }

    fn with(actuator: Actuator, readiness: Readiness, info: Info, limits: &Limits, routes: Router) -> Self {
        Self {
            name: info.name,
            limits: limits.clone(),
            routes,
            actuator,
            readiness,
            parts: Vec::new(),
            databases: Vec::new(),
            meters: Vec::new(),
            registry: None,
        }
    }

    /// Shows `indicator` as a component of the health.
    #[must_use]
    pub fn health(mut self, name: &'static str, indicator: impl Indicator) -> Self {
        self.actuator = self.actuator.indicator(name, indicator);
        self
    }

    /// Shows the numbers of `meter` among the metrics.
    #[must_use]
    pub fn metrics(mut self, meter: impl Meter) -> Self {
        self.meters.push(Box::new(meter));
        self
    }

    /// Runs `part` while the service runs; it ends when the token it gets is cancelled. An error ends the service.
    #[must_use]
    pub fn part<F>(mut self, part: impl FnOnce(CancellationToken) -> F + Send + 'static) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.parts.push(Box::new(move |stop| Box::pin(part(stop))));
        self
    }

    /// Applies the events of `destination` with `handler` to `database`, whose health and dead letters are shown.
    #[must_use]
    pub fn on_events<H: Handler>(
        mut self,
        platform: &Platform,
        destination: Destination,
        database: &Database,
        handler: H,
    ) -> Self {
        let config = &platform.config;
        let subscription = Subscription {
            binder: platform.binder.clone(),
            binding: ConsumerBinding {
                destination: destination.name.to_owned(),
                group: destination.group.to_owned(),
                partitions: config.events.partitions,
                instance: config.events.instance,
                takeover: config.events.takeover,
                batch: config.events.batch,
            },
            database: database.clone(),
            handler,
            retry: config.retry.clone(),
            remember: config.events.retention * 2,
        };
        let letters = DeadLetters {
            database: database.clone(),
            binder: subscription.binder.clone(),
            binding: subscription.binding.clone(),
            token: config.dead_letters_token.clone(),
        };
        self.databases.push(database.clone());
        self.meters.push(Box::new(indicators::DeadLetters(database.clone())));
        self.actuator = self
            .actuator
            .indicator("deadLetters", indicators::DeadLetters(database.clone()))
            .readiness_indicator("db", indicators::Db(database.clone()))
            .endpoint(dead_letters::LINKS.iter().copied(), letters.routes());
        self.part(|stop| async move {
            let Subscription { binder, binding, database, .. } = &subscription;
            if !until_prepared(&stop, database).await {
                return Ok(());
            }
            // Until the broker lets us in, health and readiness say what is missing.
            let joined = until_bound(&stop, &binding.destination, || binder.consumer(binding, database)).await?;
            if let Some(consumer) = joined {
                process(subscription, consumer, stop).await;
            }
            Ok(())
        })
    }

    /// Its routes alone, with their limits and bodies of failures, for who asks without a socket.
    pub fn into_routes(self) -> Router {
        self.routes
    }

    /// Serves until `shutdown` resolves or a part ends by itself; then stops: gone from the registry, not ready, no new
    /// requests, those under way and the batches in hand finished within the grace time, databases closed.
    pub async fn run(self, listener: TcpListener, shutdown: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
        let (name, limits, stop) = (self.name, self.limits, CancellationToken::new());
        let address = listener.local_addr().context("the listener has no address")?;
        let (mut actuator, mut found) = (self.actuator, None);
        if let Some((eureka, config)) = self.registry {
            let presence = address::presence(name, &config, address).await;
            actuator = actuator.indicator("discoveryComposite", indicators::Discovery::new(&eureka, &presence));
            found = Some((eureka, presence));
        }
        if !self.meters.is_empty() {
            actuator = actuator.endpoint(metrics::LINKS.iter().copied(), metrics::routes(self.meters));
        }
        let app = self.routes.merge(actuator.routes());

        let mut parts = JoinSet::new();
        for part in self.parts {
            parts.spawn(part(stop.clone()));
        }
        // The listener has taken requests since it was bound: who waits there is let in.
        self.readiness.accepting();
        let stopped = stop.clone();
        parts.spawn(async move {
            let connections = Connections::new(listener, limits.connections, limits.request + QUIET);
            let served = axum::serve(connections, app).with_graceful_shutdown(stopped.cancelled_owned()).await;
            if let Err(error) = served {
                warn!(%error, "the HTTP server ended");
            }
            Ok(())
        });
        info!(service = name, %address, "started");
        let registration = found.map(|(eureka, presence)| eureka.register(&presence));

        let ended = tokio::select! {
            () = shutdown => None,
            ended = parts.join_next() => ended,
        };
        let deadline = Instant::now() + limits.grace;
        // First of all nobody new is to come.
        if let Some(registration) = registration {
            registration.leave().await;
        }
        self.readiness.refusing("stopping");
        stop.cancel();
        let finished = timeout_at(deadline, async { while parts.join_next().await.is_some() {} }).await;
        if finished.is_err() {
            warn!(service = name, grace = ?limits.grace, "the grace time is over; what was under way is dropped");
            parts.shutdown().await;
        }
        for database in &self.databases {
            database.close().await;
        }
        info!(service = name, "stopped");
        match ended {
            None => Ok(()),
            Some(ended) => {
                ended.with_context(|| format!("a part of {name} panicked"))??;
                anyhow::bail!("a part of {name} ended by itself")
            }
        }
    }
}

/// Prepares `database` as soon as it lets us, and tells whether that came before the stop. Until then, health and
/// readiness say what is missing.
async fn until_prepared(stop: &CancellationToken, database: &Database) -> bool {
    let (mut waiting, mut said) = (Waiting::new(), None);
    loop {
        let prepared = tokio::select! {
            biased;
            () = stop.cancelled() => return false,
            prepared = database.prepare() => prepared,
        };
        let Err(unprepared) = prepared else {
            if said.is_some() {
                info!(database = database.at(), "the database is there");
            }
            return true;
        };
        // Said once, and once more where somebody has to do something about it.
        if said.replace(unprepared.passes) != Some(unprepared.passes) {
            warn!(error = %unprepared, "events wait for the database; this is tried until it works");
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(waiting.pause()) => {}
        }
    }
}

/// Tries `bind` until it succeeds or the service stops. A broker that is away is waited for; one that refuses for good
/// is an error.
pub async fn until_bound<T, F>(
    stop: &CancellationToken,
    what: &str,
    bind: impl Fn() -> F,
) -> Result<Option<T>, BinderError>
where
    F: Future<Output = Result<T, BinderError>>,
{
    let mut waiting: Option<Waiting> = None;
    loop {
        let bound = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(None),
            bound = bind() => bound,
        };
        let error = match bound {
            Ok(bound) => return Ok(Some(bound)),
            Err(refused @ BinderError::Refused { .. }) => return Err(refused),
            Err(error) => anyhow::Error::from(error),
        };
        let pause = waiting
            .get_or_insert_with(|| {
                warn!(what, error = format!("{error:#}"), "cannot bind yet; this is tried until it works");
                Waiting::new()
            })
            .pause();
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// An error of the database, as a reader meets it: 503 where it may pass, 500 where it stays.
pub fn database_error(error: impl Into<Arc<sqlx::Error>>) -> ApiError {
    let error = error.into();
    match crate::database::trouble(&error) {
        crate::database::Trouble::Away => ApiError::unavailable("The database cannot be reached", error),
        _ => ApiError::from(anyhow::Error::from(error)),
    }
}
