//! How a service is asked for its dead letters.

use anyhow::{Context, Result, bail};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::service::config::Token;
use std::fmt;
use std::time::Duration;

/// Those that are asked.
#[derive(Debug)]
pub(super) struct Services(pub(super) Vec<Service>);

/// One service by name and address.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) name: String,
    url: String,
    client: Client,
    token: Option<Token>,
}

/// A service that cannot do now what it may do in a moment, and what it says.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NotNow(String);

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.name, self.url)
    }
}

impl Services {
    /// Those of `services` that are named in `only`; all, where it names none.
    pub(super) fn new(services: &[(&str, String)], only: &[String]) -> Result<Self> {
        // The services stand on this network: a proxy for the way out of it does not know them.
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?;
        let wanted = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
        let services = services.iter().filter(|(name, _)| wanted(name));
        let service = |(name, url): &(&str, String)| Service {
            name: (*name).to_owned(),
            url: url.clone(),
            client: client.clone(),
            token: None,
        };
        Ok(Self(services.map(service).collect()))
    }

    /// Asked by somebody who has this token.
    pub(super) fn with(mut self, token: Token) -> Self {
        let token = Some(token);
        self.0.iter_mut().for_each(|service| service.token.clone_from(&token));
        self
    }
}

impl Service {
    /// What it answers, or nothing when it says that there is none; errors are one sentence.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, String)]) -> Result<Option<T>> {
        let mut url = self.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.answer(self.client.get(url)).await
    }

    /// Likewise for what only who has the token may ask.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &[&str], body: &Value) -> Result<Option<T>> {
        let request = self.client.post(self.url(path)?).json(body);
        self.answer(match &self.token {
            Some(token) => request.bearer_auth(token.reveal()),
            None => request,
        })
        .await
    }

    fn url(&self, path: &[&str]) -> Result<Url> {
        let Self { name, url, .. } = self;
        let mut asked = Url::parse(url).with_context(|| format!("the address of {name}, {url:?}, is no URL"))?;
        if let Ok(mut segments) = asked.path_segments_mut() {
            segments.pop_if_empty().extend(["actuator", "deadletters"]).extend(path);
        }
        Ok(asked)
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<Option<T>> {
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => bail!("{self} cannot be reached: {}", anyhow::Error::from(error).root_cause()),
        };
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => match answer.json().await {
                Ok(answer) => Ok(Some(answer)),
                Err(error) if error.is_decode() => bail!("{self} answers something else than dead letters"),
                Err(error) => bail!("{self} answers in part: {}", anyhow::Error::from(error).root_cause()),
            },
            StatusCode::UNAUTHORIZED => bail!(
                "{self} refuses the token: set DEAD_LETTERS_TOKEN to the one that it was started with, or DATA_DIR to the \
                 folder of its landscape"
            ),
            StatusCode::FORBIDDEN => {
                bail!(
                    "{self} lets nobody decide on dead letters: start it with DEAD_LETTERS_TOKEN, here and there the same"
                )
            }
            status => {
                let sentence = match said(answer).await {
                    Some(message) => format!("{self} answers {status}: {message}"),
                    None => format!("{self} answers {status}"),
                };
                if status == StatusCode::SERVICE_UNAVAILABLE {
                    return Err(NotNow(sentence).into());
                }
                bail!("{sentence}")
            }
        }
    }
}

/// The sentence of a failure, where it has one.
async fn said(answer: Response) -> Option<String> {
    #[derive(Deserialize)]
    struct Failed {
        message: Option<String>,
    }
    answer.json::<Failed>().await.ok()?.message
}
