//! The actuator of one service, as Spring Boot 3 has it: health with its groups, info, and the list of what there is.
//!
//! A service hands in [`Indicator`]s and may add endpoints of its own. The routes stand outside
//! [`error_bodies`](crate::error::error_bodies): their failures have forms of their own.

mod health;
mod indicators;
mod links;
mod media;
pub mod metrics;
mod readiness;

pub use health::{Health, Indicator, Status};
pub use indicators::{DiskSpace, Ping};
pub use readiness::Readiness;

use axum::{
    Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::future::join_all;
use health::{Answer, check};
use http::{HeaderMap, StatusCode};
use links::Links;
use media::Media;
use serde::Serialize;
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

const LIVENESS: &str = "liveness";
const READINESS: &str = "readiness";

/// What a service says about its build in `/actuator/info`.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Info {
    /// The program, such as `product-service`.
    pub artifact: &'static str,
    /// The service, such as `product`.
    pub name: &'static str,
    /// The version of the program.
    pub version: &'static str,
}

/// Gathers what a service shows of itself, until [`routes`](Self::routes) serves it.
pub struct Actuator {
    shown: Shown,
    endpoints: Router,
}

struct Shown {
    info: Info,
    members: BTreeMap<String, Member>,
    links: Links,
    time_limit: Duration,
    /// Whether the health tells more than one word.
    details: bool,
}

struct Member {
    indicator: Box<dyn Indicator>,
    group: Option<&'static str>,
}

impl Actuator {
    /// Starts with the indicators that every service has: `ping`, `livenessState` and `readinessState`.
    pub fn new(info: Info, readiness: &Readiness) -> Self {
        let links = Links::new([("health", "health"), ("health-path", "health/{*path}"), ("info", "info")]);
        let shown = Shown { info, members: BTreeMap::new(), links, time_limit: Duration::from_secs(5), details: true };
        Self { shown, endpoints: Router::new() }
            .member("ping", Ping, None)
            // A process that answers is alive.
            .member("livenessState", Ping, Some(LIVENESS))
            .member("readinessState", readiness.clone(), Some(READINESS))
    }

    /// Shows `indicator` as the component `name` of the health.
    #[must_use]
    pub fn indicator(self, name: impl Into<String>, indicator: impl Indicator) -> Self {
        self.member(name, indicator, None)
    }

    /// Like [`indicator`](Self::indicator); and the service is ready only while this one is neither DOWN nor
    /// OUT_OF_SERVICE.
    #[must_use]
    pub fn readiness_indicator(self, name: impl Into<String>, indicator: impl Indicator) -> Self {
        self.member(name, indicator, Some(READINESS))
    }

    /// Counts an indicator as DOWN that has not answered within `limit`; 5 seconds unless told.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.shown.time_limit = limit;
        self
    }

    /// Tells of the health as a whole nothing but its status, as Spring does unless it is told to.
    #[must_use]
    pub fn without_details(mut self) -> Self {
        self.shown.details = false;
        self
    }

    /// Serves `routes`, whose paths start with `/actuator/`, and lists them under `/actuator`.
    ///
    /// Each of `links` is a name and a path below `/actuator/`: `("deadletters-id", "deadletters/{id}")`.
    #[must_use]
    pub fn endpoint(mut self, links: impl IntoIterator<Item = (&'static str, &'static str)>, routes: Router) -> Self {
        self.shown.links.add(links);
        // Routers merge only where at most one has a fallback, and that is the one of the service's own routes.
        self.endpoints = self.endpoints.merge(routes.reset_fallback());
        self
    }

    /// The routes at and below `/actuator`.
    pub fn routes(self) -> Router {
        Router::new()
            .route("/actuator", get(list))
            .route("/actuator/health", get(health))
            .route("/actuator/health/{*path}", get(health_of))
            .route("/actuator/info", get(info))
            .with_state(Arc::new(self.shown))
            .merge(self.endpoints)
    }

    fn member(mut self, name: impl Into<String>, indicator: impl Indicator, group: Option<&'static str>) -> Self {
        self.shown.members.insert(name.into(), Member { indicator: Box::new(indicator), group });
        self
    }
}

impl fmt::Debug for Actuator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Actuator").field("members", &self.shown.members.keys()).finish_non_exhaustive()
    }
}

impl Shown {
    /// Checks the members that are `wanted`, side by side.
    async fn check(&self, wanted: impl Fn(&Member) -> bool) -> Health {
        let members = self.members.iter().filter(|(_, member)| wanted(member));
        let checks = members.map(async |(name, member)| {
            let health = check(&*member.indicator, self.time_limit).await;
            (name.clone(), health)
        });
        Health::composite(join_all(checks).await)
    }

    /// Finds what `path` names: a group, or a component and those inside it.
    async fn find(&self, path: &str) -> Option<Health> {
        match path {
            // The groups of Spring's probes tell their status and hide their members.
            LIVENESS | READINESS => Some(self.check(|member| member.group == Some(path)).await.status().into()),
            path => {
                let mut names = path.split('/');
                let member = self.members.get(names.next()?).filter(|_| self.details)?;
                let health = check(&*member.indicator, self.time_limit).await;
                names.try_fold(health, Health::into_component)
            }
        }
    }
}

async fn list(State(shown): State<Arc<Shown>>, headers: HeaderMap) -> Response {
    Media::wanted(&headers).response(StatusCode::OK, &shown.links.seen_from(&headers))
}

async fn info(State(shown): State<Arc<Shown>>, headers: HeaderMap) -> Response {
    #[derive(Serialize)]
    struct Answer<'a> {
        build: &'a Info,
    }
    Media::wanted(&headers).response(StatusCode::OK, &Answer { build: &shown.info })
}

async fn health(State(shown): State<Arc<Shown>>, headers: HeaderMap) -> Response {
    let health = shown.check(|_| true).await;
    if !shown.details {
        return answer(&health.status().into(), &[], &headers);
    }
    answer(&health, &[LIVENESS, READINESS], &headers)
}

async fn health_of(State(shown): State<Arc<Shown>>, Path(path): Path<String>, headers: HeaderMap) -> Response {
    match shown.find(&path).await {
        Some(health) => answer(&health, &[], &headers),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn answer(health: &Health, groups: &[&str], headers: &HeaderMap) -> Response {
    let media = Media::wanted(headers);
    media.response(health.status().code(), &Answer { health, groups, media })
}

#[cfg(test)]
mod tests;
