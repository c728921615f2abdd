//! Reads from the core services over HTTP, on connections that are kept, each under a time limit.

use crate::aggregate::Parts;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{join_all, try_join3};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::de::DeserializeOwned;
use shared::actuator::{Health, Indicator};
use shared::error::ApiError;
use shared::service::config;
use shared::service::telemetry::{TRACEPARENT, TraceContext};
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// The core services as the composite reads them. A clone shares the connections.
#[derive(Debug, Clone)]
pub(crate) struct Cores {
    client: Client<HttpConnector, Empty<Bytes>>,
    urls: Arc<config::Cores>,
    limit: Duration,
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
}

impl Cores {
    pub(crate) fn new(urls: &config::Cores, limit: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(limit));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(connector);
        Self { client, urls: Arc::new(urls.clone()), limit }
    }

    /// Reads all parts at once. Without the product there is nothing; without the others there is less.
    pub(crate) async fn read(&self, product_id: i32, trace: &TraceContext) -> Result<Read, ApiError> {
        let config::Cores { product, recommendation, review } = &*self.urls;
        let mut missing = Vec::new();
        let (product, recommendations, reviews) = try_join3(
            self.get(format!("{product}/product/{product_id}"), trace),
            self.list(format!("{recommendation}/recommendation?productId={product_id}"), trace),
            self.list(format!("{review}/review?productId={product_id}"), trace),
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

    /// A list that is nothing when its service fails: the reader is told, the log says why.
    async fn list<T: DeserializeOwned>(&self, url: String, trace: &TraceContext) -> Result<Option<Vec<T>>, ReadError> {
        match self.get(url, trace).await {
            Ok(list) => Ok(Some(list)),
            Err(error) => {
                warn!(error = format!("{:#}", anyhow::Error::from(error)), "a part of a composite is missing");
                Ok(None)
            }
        }
    }

    async fn get<T: DeserializeOwned>(&self, url: String, trace: &TraceContext) -> Result<T, ReadError> {
        let (status, body) = self.fetch(&url, Some(trace)).await?;
        if !status.is_success() {
            #[derive(serde::Deserialize)]
            struct Failed {
                message: Option<String>,
            }
            let message = serde_json::from_slice::<Failed>(&body).ok().and_then(|failed| failed.message);
            return Err(ReadError::Answered { status, url, message });
        }
        serde_json::from_slice(&body).map_err(|error| ReadError::Away { url, source: error.into() })
    }

    async fn fetch(&self, url: &str, trace: Option<&TraceContext>) -> Result<(StatusCode, Bytes), ReadError> {
        let answered = async {
            let mut request = Request::get(url).body(Empty::new())?;
            if let Some(trace) = trace.and_then(TraceContext::header) {
                request.headers_mut().insert(TRACEPARENT, trace);
            }
            let accept = HeaderValue::from_static("application/json");
            request.headers_mut().insert(http::header::ACCEPT, accept);
            let answer = self.client.request(request).await?;
            let status = answer.status();
            Ok((status, answer.into_body().collect().await?.to_bytes()))
        };
        match tokio::time::timeout(self.limit, answered).await {
            Ok(answered) => answered.map_err(|source| ReadError::Away { url: url.to_owned(), source }),
            Err(_) => Err(ReadError::Late { limit: self.limit, url: url.to_owned() }),
        }
    }

    /// A core service is up if its own health says so.
    async fn health(&self, url: &str) -> Health {
        match self.fetch(&format!("{url}/actuator/health"), None).await {
            Ok((status, _)) if status.is_success() => Health::up(),
            Ok((status, _)) => Health::down(format!("{status} from GET {url}/actuator/health")),
            Err(error) => Health::down(error),
        }
    }
}

/// `coreServices`: the health of each core service, as the Java landscape's composite shows it.
#[async_trait]
impl Indicator for Cores {
    async fn check(&self) -> anyhow::Result<Health> {
        let config::Cores { product, recommendation, review } = &*self.urls;
        let names = ["product", "recommendation", "review"];
        let healths = join_all([product, recommendation, review].map(|url| self.health(url))).await;
        Ok(Health::composite(names.into_iter().zip(healths)))
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
