//! The four services as programs of their own, which share one `DATA_DIR`.

use crate::process::{Process, SOON, client};
use reqwest::Client;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use testkit::eventually;

/// How long a partition may be without an owner after its owner was killed.
const TAKEN_OVER: Duration = Duration::from_secs(10);

/// The programs of the services by name. Cargo hands a test the programs of its own package only, so it is asked to
/// build these: whoever runs this test has it, and it does nothing when they are fresh. The program of this package is
/// left alone, since other tests are using it.
static PROGRAMS: LazyLock<HashMap<String, PathBuf>> = LazyLock::new(|| {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--workspace", "--exclude", "landscape", "--bins", "--message-format", "json"]);
    build.arg("--target-dir").arg(target).current_dir(env!("CARGO_MANIFEST_DIR"));
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let built = build.stderr(Stdio::inherit()).output().unwrap();
    assert!(built.status.success(), "{build:?} fails");
    let messages = built.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    messages
        .filter_map(|message: Value| {
            let program = message["executable"].as_str()?;
            Some((message["target"]["name"].as_str()?.to_owned(), program.into()))
        })
        .collect()
});

/// A service that runs alone.
struct Alone {
    process: Process,
    url: String,
}

impl Alone {
    async fn start(program: &str, data_dir: &Path, variables: &[(&str, &str)]) -> Self {
        let usual =
            [("DATA_DIR", data_dir.to_str().unwrap()), ("PORT", "0"), ("HOST", "127.0.0.1"), ("PARTITIONS", "2")];
        let process = Process::start(&PROGRAMS[program], &[], &[&usual, variables].concat());
        let url = eventually(SOON, "the service says where it is", async || {
            let said = process.stderr();
            let started = said.lines().find(|line| line.contains(" started "));
            let address = started.and_then(|line| Some(line.split_once("address=")?.1.trim().to_owned()));
            address.map(|address| format!("http://{address}")).ok_or(said)
        });
        let url = url.await;
        Self { process, url }
    }

    /// How often it has taken a partition.
    fn taken(&self) -> usize {
        self.process.stderr().matches("partition taken").count()
    }
}

async fn create(http: &Client, composite: &Alone, id: i32) {
    let body = json!({
        "productId": id, "name": format!("product {id}"), "weight": 1,
        "recommendations": [{ "recommendationId": 1 }], "reviews": [{ "reviewId": 1 }]
    });
    let answer = http.post(format!("{}/product-composite", composite.url)).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 202);
}

#[tokio::test]
async fn four_processes_are_one_landscape() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path();
    let product = Alone::start("product-service", data_dir, &[]).await;
    let recommendation = Alone::start("recommendation-service", data_dir, &[]).await;
    let review = Alone::start("review-service", data_dir, &[]).await;
    let cores = [
        ("PRODUCT_SERVICE_URL", product.url.as_str()),
        ("RECOMMENDATION_SERVICE_URL", &recommendation.url),
        ("REVIEW_SERVICE_URL", &review.url),
    ];
    let composite = Alone::start("product-composite-service", data_dir, &cores).await;

    let http = client();
    create(&http, &composite, 1).await;
    let url = format!("{}/product-composite/1", composite.url);
    eventually(SOON, "the composite is there with all its parts", async || {
        let found: Value = http.get(&url).send().await.unwrap().json().await.unwrap();
        let parts = [&found["recommendations"], &found["reviews"]].map(|list| list.as_array().map_or(0, Vec::len));
        if parts == [1, 1] { Ok(()) } else { Err(found) }
    })
    .await;
    assert_eq!(http.delete(&url).send().await.unwrap().status(), 202);
    eventually(SOON, "the composite is gone", async || {
        let status = http.get(&url).send().await.unwrap().status();
        if status == 404 { Ok(()) } else { Err(status) }
    })
    .await;

    for service in [composite, product, recommendation, review] {
        service.process.signal("TERM");
        let ended = service.process.ended().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}

#[tokio::test]
async fn the_partitions_of_a_killed_instance_are_taken_over_by_another() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path();
    let composite = Alone::start("product-composite-service", data_dir, &[]).await;
    let mut killed = Alone::start("product-service", data_dir, &[]).await;
    let other = Alone::start("product-service", data_dir, &[]).await;
    // The first has taken both partitions or one, and hands the other one the half of them.
    eventually(SOON, "each instance has a partition", async || {
        let taken = [&killed, &other].map(Alone::taken);
        if taken.contains(&0) { Err(format!("{taken:?}")) } else { Ok(()) }
    })
    .await;

    let http = client();
    killed.process.kill();
    let since = Instant::now();
    // Two keys, so that one of them is in the partition that nobody has now.
    for id in [1, 2] {
        create(&http, &composite, id).await;
    }
    for id in [1, 2] {
        eventually(TAKEN_OVER, "the other instance has the product", async || {
            let status = http.get(format!("{}/product/{id}", other.url)).send().await.unwrap().status();
            if status == 200 { Ok(()) } else { Err(format!("{status}; it said {}", other.process.stderr())) }
        })
        .await;
    }
    assert!(since.elapsed() < TAKEN_OVER, "after {:?}", since.elapsed());
    assert!(other.taken() >= 2, "{}", other.process.stderr());
}

#[tokio::test]
async fn a_service_is_asked_whether_it_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    // It is ready without those that it reads from.
    let composite = Alone::start("product-composite-service", folder.path(), &[]).await;
    let port = composite.url.rsplit(':').next().unwrap().to_owned();
    let variables = [("PORT", port.as_str()), ("HOST", "0.0.0.0")];
    let ask = || Process::start(&PROGRAMS["product-composite-service"], &["healthcheck"], &variables).ended();
    let ready = ask().await;
    assert_eq!((ready.code, ready.stderr.as_str()), (Some(0), ""));

    // One that does not answer is not waited for.
    composite.process.signal("STOP");
    let silent = ask().await;
    let url = format!("http://127.0.0.1:{port}/actuator/health/readiness");
    assert_eq!(
        (silent.code, silent.stderr),
        (Some(1), format!("error: {url} does not answer in 2s: deadline has elapsed\n"))
    );
    drop(composite);
    let away = ask().await;
    assert_eq!(away.code, Some(1));
    assert!(away.stderr.starts_with(&format!("error: {url} cannot be reached: ")), "{}", away.stderr);
    assert_eq!(away.stderr.lines().count(), 1, "{}", away.stderr);
}

#[tokio::test]
async fn a_service_that_cannot_start_says_why_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().to_str().unwrap();
    for (variable, value, sentence) in [
        ("PORT", "none", "PORT is \"none\": allowed is a port from 0 to 65535\n"),
        (
            "DATABASE_URL",
            "mysql://me:secret@host/db",
            "DATABASE_URL is \"mysql:…\": allowed is sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE\n",
        ),
    ] {
        let variables = [("DATA_DIR", data_dir), ("HOST", "127.0.0.1"), ("PORT", "0"), (variable, value)];
        let ended = Process::start(&PROGRAMS["review-service"], &[], &variables).ended().await;
        assert_eq!((ended.code, ended.stderr), (Some(1), format!("error: {sentence}")));
    }
    let help = Process::start(&PROGRAMS["product-service"], &["--help"], &[]).ended().await;
    assert!(help.code == Some(0) && help.stdout.contains(" PORT ") && help.stdout.contains("[7001]"), "{help:?}");
}
