//! `GET /product-composite/{id}` of a composite that finds the core services through the registry, beside one that was told
//! their addresses: second by second in turn, in one process, on the same core services.

// What goes wrong ends the benchmark, and the figures are for people.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use landscape::everything::Landscape;
use reqwest::Client;
use shared::service::config::{Config, Variables};
use shared::service::platform::Platform;
use shared::service::{Service, service_address};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const READERS: usize = 32;
const ROUNDS: usize = 12;
const SLICE: Duration = Duration::from_secs(1);
const BODY: &str = r#"{"productId":1,"name":"n","weight":1,
    "recommendations":[{"recommendationId":1,"author":"a","rate":1,"content":"c"}],
    "reviews":[{"reviewId":1,"author":"a","subject":"s","content":"c"}]}"#;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let (all, told) = (folder.path().join("all"), folder.path().join("told"));
    std::fs::create_dir_all(&all).unwrap();
    std::fs::create_dir_all(&told).unwrap();
    let variables = Variables::from([
        ("DATA_DIR", all.to_str().unwrap()),
        ("COMPOSITE_PORT", "0"),
        ("PRODUCT_PORT", "0"),
        ("RECOMMENDATION_PORT", "0"),
        ("REVIEW_PORT", "0"),
        ("EUREKA_PORT", "0"),
    ]);
    let landscape = Landscape::wire(&variables, Config::read(&variables).unwrap()).await.unwrap();
    let [by_registry, cores @ ..] = landscape.addresses.map(|address| format!("http://{address}"));
    let stop = CancellationToken::new();
    let running = tokio::spawn(landscape.run(stop.clone().cancelled_owned()));
    let (told, address) = told_composite(&told, &cores).await;
    let told = tokio::spawn(told.0.run(told.1, stop.clone().cancelled_owned()));
    let by_address = format!("http://{address}");

    let client = Client::builder().no_proxy().build().unwrap();
    let created = client.post(format!("{by_registry}/product-composite")).header("content-type", "application/json");
    while created.try_clone().unwrap().body(BODY).send().await.unwrap().status() != 202 {}
    for url in [&by_registry, &by_address] {
        while client.get(format!("{url}/product-composite/1")).send().await.unwrap().status() != 200 {}
    }
    let mut ratios = Vec::new();
    for round in 0..=ROUNDS {
        let registry = reads(&client, &by_registry).await;
        let address = reads(&client, &by_address).await;
        // The first round warms both up.
        if round > 0 {
            println!("reads a second: {registry:.0} by the registry, {address:.0} by address");
            ratios.push(registry / address);
        }
    }
    ratios.sort_by(f64::total_cmp);
    let middle = &ratios[ROUNDS / 4..ROUNDS - ROUNDS / 4];
    let median = (ratios[ROUNDS / 2 - 1] + ratios[ROUNDS / 2]) / 2.0;
    println!(
        "by the registry / by address: {median:.3} (middle half {:.3} to {:.3})",
        middle[0],
        middle[middle.len() - 1]
    );
    stop.cancel();
    running.await.unwrap().unwrap();
    told.await.unwrap().unwrap();
}

async fn told_composite(data_dir: &Path, cores: &[String]) -> ((Service, TcpListener), SocketAddr) {
    let variables = Variables::from([
        ("DATA_DIR", data_dir.to_str().unwrap()),
        ("PRODUCT_SERVICE_URL", &cores[0]),
        ("RECOMMENDATION_SERVICE_URL", &cores[1]),
        ("REVIEW_SERVICE_URL", &cores[2]),
    ]);
    let platform = Platform::open(Config::read(&variables).unwrap(), "told").await.unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let named = service_address(&listener).await.unwrap();
    let service = product_composite_service::service(platform, named).await.unwrap();
    ((service, listener), address)
}

/// Whole composites read in a second.
async fn reads(client: &Client, url: &str) -> f64 {
    let begun = Instant::now();
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let (client, url) = (client.clone(), format!("{url}/product-composite/1"));
            tokio::spawn(async move {
                let mut count = 0_u32;
                while begun.elapsed() < SLICE {
                    let answer = client.get(&url).send().await.unwrap();
                    assert!(answer.status() == 200 && !answer.headers().contains_key("x-missing-parts"));
                    answer.bytes().await.unwrap();
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut count = 0;
    for reader in readers {
        count += reader.await.unwrap();
    }
    f64::from(count) / begun.elapsed().as_secs_f64()
}
