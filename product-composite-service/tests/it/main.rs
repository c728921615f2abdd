//! The composite service between the real core services, or between neighbours that do as a test says.

// Outside the test functions too, a test that cannot go on ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod broken;
mod fakes;
mod fuzz;
mod health;
mod idempotency;
mod instances;
mod outages;
mod overload;
mod partial;
mod reads;
mod refusals;
mod writes;

use shared::messaging::Binder;
use shared::service::config::{Config, Cores};
use shared::service::platform::Platform;
use std::sync::Arc;
use testkit::{Running, Sandbox};

/// The four services, as the landscape runs them.
struct Landscape {
    sandbox: Sandbox,
    product: Running,
    recommendation: Running,
    review: Running,
    composite: Running,
}

impl Landscape {
    async fn start() -> Self {
        Self::start_with(|binder| binder).await
    }

    /// With a composite that is given another binder than the core services.
    async fn start_with(broken: impl FnOnce(Arc<dyn Binder>) -> Arc<dyn Binder>) -> Self {
        Self::start_in(Sandbox::new().await, broken).await
    }

    /// Likewise, in surroundings of the test's choice.
    async fn start_in(sandbox: Sandbox, broken: impl FnOnce(Arc<dyn Binder>) -> Arc<dyn Binder>) -> Self {
        let product = sandbox.start(product_service::service).await;
        let recommendation = sandbox.start(recommendation_service::service).await;
        let review = sandbox.start(review_service::service).await;
        let binder = broken(sandbox.platform.binder.clone());
        let cores = cores([&product.url, &recommendation.url, &review.url]);
        let composite = composite(&sandbox, binder, cores).await;
        Self { sandbox, product, recommendation, review, composite }
    }

    async fn stop(self) {
        self.sandbox.settled().await;
        self.composite.stop().await;
        self.product.stop().await;
        self.recommendation.stop().await;
        self.review.stop().await;
    }
}

/// The composite service on this binder, reading from core services at `cores`.
async fn composite(sandbox: &Sandbox, binder: Arc<dyn Binder>, cores: Cores) -> Running {
    let config = Arc::new(Config { cores, ..Config::clone(&sandbox.platform.config) });
    Running::start(Platform { config, binder, eureka: None }, product_composite_service::service).await
}

/// The composite service alone in the world; what it refuses and what it sends can be seen.
async fn alone(sandbox: &Sandbox) -> Running {
    alone_on(sandbox, sandbox.platform.binder.clone()).await
}

/// As [`alone`], on this binder.
async fn alone_on(sandbox: &Sandbox, binder: Arc<dyn Binder>) -> Running {
    // Nobody reads here, so nobody is asked.
    composite(sandbox, binder, cores(["http://127.0.0.1:1"; 3])).await
}

/// Where product, recommendation and review are, as their variables say it.
fn cores(urls: [&str; 3]) -> Cores {
    let [product, recommendation, review] = urls.map(|url| url.parse().unwrap());
    Cores { product, recommendation, review }
}

/// A composite as clients send it, with one recommendation and one review.
fn aggregate(product_id: i32, name: &str) -> String {
    format!(
        r#"{{"productId":{product_id},"name":"{name}","weight":1,"recommendations":[{{"recommendationId":1,"author":"a","rate":1,"content":"c"}}],"reviews":[{{"reviewId":1,"author":"a","subject":"s","content":"c"}}]}}"#
    )
}

/// The answer that shows [`aggregate`].
fn shown(product_id: i32, name: &str, landscape: &Landscape) -> String {
    let Landscape { composite, product, recommendation, review, .. } = landscape;
    let [cmp, pro, rev, rec] = [composite, product, review, recommendation].map(|service| &service.address);
    let sent = aggregate(product_id, name);
    let sent = sent.strip_suffix('}').expect("an object");
    format!(r#"{sent},"serviceAddresses":{{"cmp":"{cmp}","pro":"{pro}","rev":"{rev}","rec":"{rec}"}}}}"#)
}
