//! The recommendation service as others meet it: events in, HTTP out, a database of its own.

// Outside the test functions too, a test that cannot go on ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod events;
mod reads;

use shared::api::Recommendation;
use testkit::{Running, Sandbox};

async fn start(sandbox: &Sandbox) -> Running {
    sandbox.start(recommendation_service::service).await
}

fn recommendation(product_id: i32, recommendation_id: i32, content: &str) -> Recommendation {
    let (author, content) = (Some("a".to_owned()), Some(content.to_owned()));
    Recommendation { product_id, recommendation_id, author, rate: 5, content, service_address: None }
}

/// The answer that shows these [`recommendation`]s of one product.
fn shown(product_id: i32, recommendations: &[(i32, &str)], service: &Running) -> String {
    let address = &service.address;
    let one = |(id, content): &(i32, &str)| {
        format!(
            r#"{{"productId":{product_id},"recommendationId":{id},"author":"a","rate":5,"content":"{content}","serviceAddress":"{address}"}}"#
        )
    };
    format!("[{}]", recommendations.iter().map(one).collect::<Vec<_>>().join(","))
}
