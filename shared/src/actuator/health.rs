use super::media::Media;
use async_trait::async_trait;
use futures_util::FutureExt;
use http::StatusCode;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;
use std::{collections::BTreeMap, fmt, panic::AssertUnwindSafe, time::Duration};
use tokio::time::timeout;

/// Looks at one thing that a service needs.
///
/// It is asked on every look at the health, so it must be cheap. It must not block the thread. An error, a panic and
/// an answer that takes too long count as DOWN.
#[async_trait]
pub trait Indicator: Send + Sync + 'static {
    /// How it is now.
    async fn check(&self) -> anyhow::Result<Health>;
}

/// How a thing is. The first in this order decides where several come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// It does not work.
    Down,
    /// It was taken out of service.
    OutOfService,
    /// It works.
    Up,
    /// Nothing is known; this does no harm to a whole that is up.
    Unknown,
}

impl Status {
    /// The HTTP status that tells it.
    pub fn code(self) -> StatusCode {
        match self {
            Self::Down | Self::OutOfService => StatusCode::SERVICE_UNAVAILABLE,
            Self::Up | Self::Unknown => StatusCode::OK,
        }
    }
}

/// How a thing is, and why; or several things under one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    status: Status,
    description: Option<String>,
    content: Content,
}

#[derive(Debug, Clone, PartialEq)]
enum Content {
    /// Kept in the order in which they were added.
    Details(Vec<(String, Value)>),
    Components(BTreeMap<String, Health>),
}

impl From<Status> for Health {
    fn from(status: Status) -> Self {
        Self { status, description: None, content: Content::Details(Vec::new()) }
    }
}

impl Health {
    /// It works.
    pub fn up() -> Self {
        Status::Up.into()
    }

    /// It does not work, and the detail `error` says why.
    pub fn down(error: impl fmt::Display) -> Self {
        Self::from(Status::Down).with("error", error.to_string())
    }

    /// It was taken out of service.
    pub fn out_of_service() -> Self {
        Status::OutOfService.into()
    }

    /// Nothing is known of it.
    pub fn unknown() -> Self {
        Status::Unknown.into()
    }

    /// Several things under one name, whose status is the worst of theirs.
    pub fn composite<N: Into<String>>(components: impl IntoIterator<Item = (N, Self)>) -> Self {
        let components: BTreeMap<_, _> = components.into_iter().map(|(name, health)| (name.into(), health)).collect();
        // Of equals the first decides, and what it says of itself is said of the whole, as in Spring.
        let worst = components.values().min_by_key(|health| health.status);
        Self {
            status: worst.map_or(Status::Unknown, |health| health.status),
            description: worst.and_then(|health| health.description.clone()),
            content: Content::Components(components),
        }
    }

    /// Adds a detail; a composite has none and stays as it is.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        if let Content::Details(details) = &mut self.content {
            details.push((name.into(), value.into()));
        }
        self
    }

    /// Describes the status in a sentence.
    #[must_use]
    pub fn described(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// How it is in a word.
    pub fn status(&self) -> Status {
        self.status
    }

    pub(super) fn into_component(self, name: &str) -> Option<Self> {
        match self.content {
            Content::Components(mut components) => components.remove(name),
            Content::Details(_) => None,
        }
    }
}

/// Asks `indicator`, whatever it does.
pub(super) async fn check(indicator: &dyn Indicator, limit: Duration) -> Health {
    match timeout(limit, AssertUnwindSafe(indicator.check()).catch_unwind()).await {
        Ok(Ok(Ok(health))) => health,
        Ok(Ok(Err(error))) => Health::down(format_args!("{error:#}")),
        Ok(Err(_)) => Health::down("the check panicked"),
        Err(_) => Health::down(format_args!("no answer within {limit:?}")),
    }
}

/// A health as clients read it.
pub(super) struct Answer<'a> {
    pub(super) health: &'a Health,
    pub(super) groups: &'a [&'a str],
    pub(super) media: Media,
}

impl Serialize for Answer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(description) = &self.health.description {
            map.serialize_entry("description", description)?;
        }
        map.serialize_entry("status", &self.health.status)?;
        match &self.health.content {
            Content::Details(details) if details.is_empty() => {}
            Content::Details(details) => map.serialize_entry("details", &Pairs(details))?,
            Content::Components(components) if components.is_empty() => {}
            Content::Components(components) => {
                let answers: BTreeMap<_, _> = components
                    .iter()
                    .map(|(name, health)| (name, Answer { health, groups: &[], media: self.media }))
                    .collect();
                map.serialize_entry(self.media.components_key(), &answers)?;
            }
        }
        if !self.groups.is_empty() {
            map.serialize_entry("groups", self.groups)?;
        }
        map.end()
    }
}

struct Pairs<'a>(&'a [(String, Value)]);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_component_decides() {
        use Status::{Down, OutOfService, Unknown, Up};
        for (statuses, worst) in [
            (&[][..], Unknown),
            (&[Up][..], Up),
            (&[Unknown], Unknown),
            (&[Unknown, Up], Up),
            (&[Up, OutOfService, Unknown], OutOfService),
            (&[OutOfService, Down, Up], Down),
        ] {
            let components = statuses.iter().enumerate().map(|(n, &status)| (n.to_string(), status.into()));
            assert_eq!(Health::composite(components).status(), worst, "{statuses:?}");
        }
    }

    #[test]
    fn only_down_and_out_of_service_are_503() {
        let codes =
            [Status::Down, Status::OutOfService, Status::Up, Status::Unknown].map(|status| status.code().as_u16());
        assert_eq!(codes, [503, 503, 200, 200]);
    }

    #[test]
    fn the_description_of_the_worst_is_that_of_the_whole() {
        let whole = Health::composite([
            ("a", Health::up().described("fine")),
            ("b", Health::down("x").described("first")),
            ("c", Health::down("x").described("second")),
        ]);
        assert_eq!(whole.description.as_deref(), Some("first"));
    }
}
