//! Spring's registry, as Netflix wrote it.

use super::until_answered;
use crate::{Program, java};

/// A registry that runs until this is dropped.
#[derive(Debug)]
pub struct Eureka {
    /// Where its clients find it, such as `http://127.0.0.1:41234/eureka`.
    pub url: String,
    program: Program,
}

impl Eureka {
    /// A registry with these variables, such as `EUREKA_SERVER_EVICTIONINTERVALTIMERINMS`, on top of what the reference
    /// landscape sets: it asks no peers, waits for none, and answers with what it knows now.
    pub async fn start(variables: &[(&str, &str)]) -> Result<Self, String> {
        Self::reached(java::start(("registry", "Registry"), &[], variables).await?).await
    }

    /// Likewise to be measured: as it would run in a landscape, not as it starts fastest.
    pub async fn measured() -> Result<Self, String> {
        Self::reached(java::start_measured(("registry", "Registry"), &[]).await?).await
    }

    async fn reached(mut program: Program) -> Result<Self, String> {
        let url = format!("http://127.0.0.1:{}/eureka", program.says().await?["port"]);
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        // Not its list, which it may not be ready to give yet.
        until_answered("Eureka", async || client.get(format!("{url}/status")).send().await?.error_for_status()).await?;
        Ok(Self { url, program })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }
}
