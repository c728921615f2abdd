use super::{Health, Indicator};
use async_trait::async_trait;
use tokio::sync::watch;

/// Whether a service takes requests: a handle whose clones all tell the same.
#[derive(Debug, Clone)]
pub struct Readiness {
    /// Why requests are refused; nothing while they are accepted.
    refused: watch::Sender<Option<String>>,
}

impl Default for Readiness {
    /// A service that starts refuses until it says otherwise.
    fn default() -> Self {
        Self { refused: watch::Sender::new(Some("starting".to_owned())) }
    }
}

impl Readiness {
    /// From now on requests are accepted.
    pub fn accepting(&self) {
        self.refused.send_replace(None);
    }

    /// From now on requests are refused, because of `reason`.
    pub fn refusing(&self, reason: impl Into<String>) {
        self.refused.send_replace(Some(reason.into()));
    }

    /// Whether requests are accepted now.
    pub fn is_accepting(&self) -> bool {
        self.refused.borrow().is_none()
    }
}

#[async_trait]
impl Indicator for Readiness {
    async fn check(&self) -> anyhow::Result<Health> {
        Ok(match &*self.refused.borrow() {
            None => Health::up(),
            Some(reason) => Health::out_of_service().with("reason", reason.as_str()),
        })
    }
}
