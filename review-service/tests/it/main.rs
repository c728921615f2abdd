//! The review service as others meet it: events in, HTTP out, a database of its own.

// Outside the test functions too, a test that cannot go on ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod events;
mod reads;

use shared::api::Review;
use testkit::{Running, Sandbox};

async fn start(sandbox: &Sandbox) -> Running {
    sandbox.start(review_service::service).await
}

fn review(product_id: i32, review_id: i32, content: &str) -> Review {
    let (author, subject) = (Some("a".to_owned()), Some("s".to_owned()));
    let content = Some(content.to_owned());
    Review { product_id, review_id, author, subject, content, service_address: None }
}

/// The answer that shows these [`review`]s of one product.
fn shown(product_id: i32, reviews: &[(i32, &str)], service: &Running) -> String {
    let address = &service.address;
    let one = |(id, content): &(i32, &str)| {
        format!(
            r#"{{"productId":{product_id},"reviewId":{id},"author":"a","subject":"s","content":"{content}","serviceAddress":"{address}"}}"#
        )
    };
    format!("[{}]", reviews.iter().map(one).collect::<Vec<_>>().join(","))
}
