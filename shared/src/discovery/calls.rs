//! Requests to a service, whichever of its instances answers.
//!
//! - this file: [`Calls`], which tries again elsewhere
//! - [`connections`]: the connections to one instance
//! - [`budget`]: how often something may be tried again
//!
//! Only GET is asked, so everything may be tried again: on another instance, at most twice, within the budget. An instance
//! has less than the whole time to answer while there is another to go to.

mod budget;
mod connections;
#[cfg(test)]
mod tests;

use super::Source;
use super::balancer::{Balancer, InstanceId, Options, Pick, Trouble};
use budget::Budget;
use bytes::Bytes;
use connections::{Broken, Connections};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, StatusCode};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

/// How often a request is tried after the first time.
const RETRIES: usize = 2;

/// How long requests may take.
#[derive(Debug, Clone, Copy)]
pub struct TimeLimits {
    /// A request with everything that is tried for it.
    pub whole: Duration,
    /// One instance, while there is another one to go to.
    pub each_try: Duration,
}

/// Requests to one service. A clone shares connections and what is known of the instances.
#[derive(Debug, Clone)]
pub struct Calls {
    /// The service in messages where no instance is to blame: `http://host:port`.
    url: Arc<str>,
    balancer: Balancer<Connections>,
    budget: Arc<Budget>,
    limits: TimeLimits,
}

/// What an instance has answered, of whatever status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// All of the body.
    pub body: Bytes,
    /// Who answered.
    pub instance: Authority,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The service has no instance, or its source does not say which.
    #[error("no instance of {url} is known")]
    NoInstance {
        /// The service.
        url: String,
    },
    /// The time is over.
    #[error("no answer within {} ms from {url}", limit.as_millis())]
    Late {
        /// The whole time.
        limit: Duration,
        /// What was asked, at the last instance.
        url: String,
    },
    /// The last instance could not be reached, or broke off.
    #[error("no answer from {url}")]
    Broken {
        /// What was asked, at the last instance.
        url: String,
        /// Why.
        source: anyhow::Error,
    },
}

/// What came of one try.
type Tried = Result<Answer, (Trouble, CallError)>;

impl Calls {
    /// Requests to what `source` knows; `url` names the service in messages.
    pub fn over(source: Source, url: &str, options: Options, limits: TimeLimits) -> Self {
        let connect = limits.each_try;
        let balancer = Balancer::new(source, options, move |endpoint| {
            let connections = Connections::new(&endpoint.authority, connect);
            connections.inspect_err(|error| warn!(endpoint.authority, %error, "an instance is left out")).ok()
        });
        Self { url: url.into(), balancer, budget: Arc::default(), limits }
    }

    /// Where the service is, as messages name it: `http://host:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks for `path` with these headers. An answer of any status is an answer, but of 502, 503 and 504 only where
    /// nobody else has a better one.
    pub async fn get(&self, path: PathAndQuery, headers: &HeaderMap) -> Result<Answer, CallError> {
        let deadline = Instant::now() + self.limits.whole;
        self.budget.earn();
        let mut avoid: Vec<InstanceId> = Vec::new();
        let mut pick = self.first(deadline).await?;
        loop {
            let last = avoid.len() == RETRIES || self.balancer.len() <= avoid.len() + 1;
            let until = if last { deadline } else { deadline.min(Instant::now() + self.limits.each_try) };
            let tried = self.try_at(pick.instance(), &path, headers, until).await;
            let trouble = match &tried {
                Ok(answer) if !answer.status.is_server_error() => None,
                Ok(_) => Some(Trouble::Failed),
                Err((trouble, _)) => Some(*trouble),
            };
            let id = pick.id();
            match trouble {
                None => pick.succeeded(),
                Some(trouble) => pick.failed(trouble),
            }
            let again = worth_another(&tried) && avoid.len() < RETRIES && Instant::now() < deadline;
            avoid.push(id);
            let next = if again { self.next(&tried, &avoid) } else { None };
            match next {
                Some(next) => pick = next,
                None => return tried.map_err(|(_, error)| error),
            }
            debug!(path = path.as_str(), "a request is tried again");
        }
    }

    /// The first instance to ask; waits while the source has not said anything.
    async fn first(&self, deadline: Instant) -> Result<Pick<Connections>, CallError> {
        if let Some(pick) = self.balancer.pick(&[]) {
            return Ok(pick);
        }
        // When it is over, there is still nobody to ask.
        let _ = timeout_at(deadline, self.balancer.known()).await;
        self.balancer.pick(&[]).ok_or_else(|| CallError::NoInstance { url: self.url.to_string() })
    }

    /// The next instance to ask, if the budget has it.
    fn next(&self, tried: &Tried, avoid: &[InstanceId]) -> Option<Pick<Connections>> {
        // A connection that broke may have been an old one, so the only instance there is gets another.
        let broken = matches!(tried, Err((Trouble::Failed, _)));
        let next = self.balancer.pick(avoid).or_else(|| self.balancer.pick(&[]).filter(|_| broken))?;
        self.budget.spend().then_some(next)
    }

    async fn try_at(&self, at: &Connections, path: &PathAndQuery, headers: &HeaderMap, until: Instant) -> Tried {
        let url = || format!("http://{}{path}", at.authority());
        match timeout_at(until, at.get(path.clone(), headers.clone())).await {
            Ok(Ok((status, body))) => Ok(Answer { status, body, instance: at.authority().clone() }),
            Ok(Err(Broken { refused, source })) => {
                let trouble = if refused { Trouble::Refused } else { Trouble::Failed };
                Err((trouble, CallError::Broken { url: url(), source }))
            }
            Err(_) => Err((Trouble::Late, CallError::Late { limit: self.limits.whole, url: url() })),
        }
    }
}

/// Whether another instance may do better.
fn worth_another(tried: &Tried) -> bool {
    match tried {
        Ok(answer) => matches!(
            answer.status,
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
        ),
        Err(_) => true,
    }
}
