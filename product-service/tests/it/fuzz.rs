//! Messages that nobody sends on purpose: each takes effect or becomes an invalid dead letter; none fails, none blocks
//! those behind it.

// What a large run came to is to be read.
#![expect(clippy::print_stdout)]

use crate::{product, start};
use serde_json::json;
use shared::api::PRODUCTS;
use shared::messaging::{Headers, Outgoing};
use std::time::Instant;
use testkit::{Fuzz, Sandbox, eventually};

/// How many are sent at once.
const CHUNK: u32 = 500;

fn message(fuzz: &mut Fuzz, number: u32) -> Outgoing {
    let whole = json!({
        "eventType": "CREATE", "key": number + 1, "eventCreatedAt": "2026-01-02T03:04:05Z",
        "data": { "productId": number + 1, "name": "n", "weight": 1, "serviceAddress": null },
    });
    let mut headers = Headers::new();
    for _ in 0..fuzz.below(3) {
        headers.insert(fuzz.text(), fuzz.value());
    }
    let body = fuzz.mutated(&whole).into();
    let key = i32::try_from(number).unwrap();
    Outgoing { destination: PRODUCTS.name.to_owned(), id: format!("fuzz-{number}"), key, headers, body }
}

async fn send_all(seed: u64, count: u32) {
    let sandbox = Sandbox::new().await;
    let service = start(&sandbox).await;
    let (mut fuzz, started) = (Fuzz::new(seed), Instant::now());
    for chunk in 0..count / CHUNK {
        let messages = (chunk * CHUNK..(chunk + 1) * CHUNK).map(|number| message(&mut fuzz, number));
        sandbox.send(PRODUCTS, messages.collect()).await;
        // What waits is little, so that a message that blocks is noticed at once.
        sandbox.settled().await;
    }
    let of_kind = async |kind: &str| {
        let listed = service.get(&format!("/actuator/deadletters?limit=1&kind={kind}")).await.json();
        listed["total"].as_u64().unwrap()
    };
    let (invalid, failed) = (of_kind("invalid").await, of_kind("failed").await + of_kind("parked").await);
    println!("{count} messages in {:.0?}: {invalid} invalid, {failed} failed", started.elapsed());
    if failed > 0 {
        let letters = service.get("/actuator/deadletters?kind=failed").await.json();
        panic!("messages of seed {seed} failed: {letters:#}");
    }
    assert!(invalid > 0 && invalid < u64::from(count), "{invalid} of {count} were invalid");

    // The service works on.
    let next = i32::MAX - 1;
    sandbox.create(PRODUCTS, next, product(next, "next")).await;
    eventually(testkit::SOON, "the product behind them", async || {
        let answer = service.get(&format!("/product/{next}")).await;
        if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
    // More letters than are listed at once.
    service.stop_unseen().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_fails_or_blocks() {
    send_all(1, 1_000).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: cargo test --profile profiling -p product-service fuzz -- --ignored --nocapture"]
async fn no_message_of_a_hundred_thousand_fails_or_blocks() {
    send_all(2, 100_000).await;
}
