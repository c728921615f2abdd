//! The connections to one instance, kept while it is used.

use bytes::Bytes;
use http::uri::{Authority, InvalidUri, PathAndQuery, Scheme};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// No connection is older, give or take a tenth: a name may mean another machine by then.
const OLDEST: Duration = Duration::from_secs(300);
/// How long a connection is kept without a request.
const IDLE: Duration = Duration::from_secs(30);

/// The connections to one instance.
#[derive(Debug)]
pub(super) struct Connections {
    authority: Authority,
    connect: Duration,
    pool: Mutex<Pool>,
}

/// Connections that are given up together; requests under way on them go on.
#[derive(Debug)]
struct Pool {
    client: Client<HttpConnector, Empty<Bytes>>,
    until: Instant,
}

/// A request without an answer.
#[derive(Debug)]
pub(super) struct Broken {
    /// There was no connection to be had.
    pub(super) refused: bool,
    pub(super) source: anyhow::Error,
}

impl Connections {
    /// To the instance at `host:port`; a connection is there within `connect`, or not at all.
    pub(super) fn new(authority: &str, connect: Duration) -> Result<Self, InvalidUri> {
        Ok(Self { authority: authority.parse()?, connect, pool: Mutex::new(Pool::new(connect)) })
    }

    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Status and body of `GET path`.
    pub(super) async fn get(&self, path: PathAndQuery, headers: HeaderMap) -> Result<(StatusCode, Bytes), Broken> {
        let broken = |source: anyhow::Error| Broken { refused: false, source };
        let uri = Uri::builder().scheme(Scheme::HTTP).authority(self.authority.clone()).path_and_query(path);
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri.build().map_err(|error| broken(error.into()))?;
        *request.headers_mut() = headers;
        let answer = self.client().request(request).await;
        let answer = answer.map_err(|error| Broken { refused: error.is_connect(), source: error.into() })?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| broken(error.into()))?;
        Ok((status, body.to_bytes()))
    }

    fn client(&self) -> Client<HttpConnector, Empty<Bytes>> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if Instant::now() >= pool.until {
            *pool = Pool::new(self.connect);
        }
        pool.client.clone()
    }
}

impl Pool {
    fn new(connect: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(connect));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Self { client, until: Instant::now() + OLDEST.mul_f64(0.9 + 0.2 * fastrand::f64()) }
    }
}
