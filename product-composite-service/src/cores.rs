//! Reads from the core services over HTTP, whichever of their instances answers.

use crate::aggregate::Parts;
use async_trait::async_trait;
use futures_util::future::{join_all, try_join3};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::de::DeserializeOwned;
use shared::actuator::{Health, Indicator};
use shared::discovery::calls::{Answer, CallError, Calls};
use shared::discovery::location::Location;
use shared::error::ApiError;
use shared::service::platform::Platform;
use shared::service::telemetry::{TRACEPARENT, TraceContext};
use std::time::Duration;
use tracing::warn;

/// Where a service says how it is.
const HEALTH: &str = "/actuator/health";

/// The core services as the composite reads them. A clone shares the connections.
#[derive(Debug, Clone)]
pub(crate) struct Cores {
    product: Core,
    recommendation: Core,
    review: Core,
}

/// One core service.
#[derive(Debug, Clone)]
struct Core {
    name: &'static str,
    calls: Calls,
}

/// What was read of a composite.
pub(crate) struct Read {
    pub(crate) parts: Parts,
    /// The parts that could not be read, by the names of their services' lists.
    pub(crate) missing: Vec<&'static str>,
}

/// Why a core service gave nothing to go on with.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    /// It answered with a failure, and perhaps a sentence of the landscape.
    #[error("{status} from GET {url}")]
    Answered { status: StatusCode, url: String, message: Option<String> },
    /// It did not answer in time.
    #[error("Did not observe any item or terminal signal within {}ms from GET {url}", limit.as_millis())]
    Late { limit: Duration, url: String },
    /// It could not be reached, or broke off.
    #[error("503 Service Unavailable from GET {url}")]
    Away { url: String, source: anyhow::Error },
    /// Nobody knows where it is.
    #[error("LoadBalancer does not contain an instance for the service {service}")]
    Nowhere { service: &'static str, source: CallError },
}

impl Cores {
    /// The core services where the configuration says. Must be called in a runtime.
    pub(crate) fn new(platform: &Platform) -> Self {
        let cores = &platform.config.cores;
        let core = |name, location: &Location| Core { name, calls: platform.calls(location) };
        Self {
            product: core("product", &cores.product),
            recommendation: core("recommendation", &cores.recommendation),
            review: core("review", &cores.review),
        }
    }

    /// Reads all parts at once. Without the product there is nothing; without the others there is less.
    pub(crate) async fn read(&self, product_id: i32, trace: &TraceContext) -> Result<Read, ApiError> {
        let mut missing = Vec::new();
        let (product, recommendations, reviews) = try_join3(
            self.product.get(format!("/product/{product_id}"), trace),
            self.recommendation.list(format!("/recommendation?productId={product_id}"), trace),
            self.review.list(format!("/review?productId={product_id}"), trace),
        )
        .await
        .map_err(ApiError::from)?;
        for (name, read) in [("recommendations", recommendations.is_some()), ("reviews", reviews.is_some())] {
            if !read {
                missing.push(name);
            }
        }
        let (recommendations, reviews) = (recommendations.unwrap_or_default(), reviews.unwrap_or_default());
        Ok(Read { parts: Parts { product, recommendations, reviews }, missing })
    }
}

impl Core {
    /// A list that is nothing when its service fails: the reader is told, the log says why.
    async fn list<T: DeserializeOwned>(&self, path: String, trace: &TraceContext) -> Result<Option<Vec<T>>, ReadError> {
        match self.get(path, trace).await {
            Ok(list) => Ok(Some(list)),
            Err(error) => {
                warn!(error = format!("{:#}", anyhow::Error::from(error)), "a part of a composite is missing");
                Ok(None)
            }
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: String, trace: &TraceContext) -> Result<T, ReadError> {
        let Answer { status, body, instance } = self.fetch(&path, Some(trace)).await?;
        let url = || format!("http://{instance}{path}");
        if !status.is_success() {
            #[derive(serde::Deserialize)]
            struct Failed {
                message: Option<String>,
            }
            let message = serde_json::from_slice::<Failed>(&body).ok().and_then(|failed| failed.message);
            return Err(ReadError::Answered { status, url: url(), message });
        }
        serde_json::from_slice(&body).map_err(|error| ReadError::Away { url: url(), source: error.into() })
    }

    async fn fetch(&self, path: &str, trace: Option<&TraceContext>) -> Result<Answer, ReadError> {
        let away = |source| ReadError::Away { url: format!("{}{path}", self.calls.url()), source };
        let parsed: PathAndQuery = path.parse().map_err(|error: http::uri::InvalidUri| away(error.into()))?;
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(http::header::ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(trace) = trace.and_then(TraceContext::header) {
            headers.insert(TRACEPARENT, trace);
        }
        self.calls.get(parsed, &headers).await.map_err(|error| match error {
            CallError::Late { limit, url } => ReadError::Late { limit, url },
            CallError::Broken { url, source } => ReadError::Away { url, source },
            source @ CallError::NoInstance { .. } => ReadError::Nowhere { service: self.name, source },
        })
    }

    /// A core service is up if one of its instances says so of itself.
    async fn health(&self) -> Health {
        match self.fetch(HEALTH, None).await {
            Ok(Answer { status, .. }) if status.is_success() => Health::up(),
            Ok(Answer { status, instance, .. }) => Health::down(format!("{status} from GET http://{instance}{HEALTH}")),
            Err(error) => Health::down(error),
        }
    }
}

/// `coreServices`: the health of each core service, as the Java landscape's composite shows it.
#[async_trait]
impl Indicator for Cores {
    async fn check(&self) -> anyhow::Result<Health> {
        let cores = [&self.product, &self.recommendation, &self.review];
        let healths = join_all(cores.map(Core::health)).await;
        Ok(Health::composite(cores.map(|core| core.name).into_iter().zip(healths)))
    }
}

impl From<ReadError> for ApiError {
    /// What the product service decides is passed on; that it failed is told without the inner cause.
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Answered { status: StatusCode::NOT_FOUND, message: Some(message), .. } => {
                Self::NotFound(message)
            }
            error => Self::internal(error.to_string(), error),
        }
    }
}
