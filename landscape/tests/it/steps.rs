//! The steps of `test-em-all.sh`, in process; and the script itself against the running program.

use crate::process::{Landscape, Process, SOON, client};
use landscape::everything;
use reqwest::Client;
use serde_json::{Value, json};
use shared::service::config::{Config, Variables};
use std::process::Command;
use testkit::eventually;
use tokio_util::sync::CancellationToken;

/// A client of one landscape, which asserts.
struct Steps {
    http: Client,
    url: String,
}

impl Steps {
    /// The body of an answer that must have this status.
    async fn get(&self, status: u16, path: &str) -> Value {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await.unwrap();
        assert_eq!(answer.status(), status, "GET {path}");
        answer.json().await.unwrap()
    }

    async fn delete(&self, id: i32) {
        let answer = self.http.delete(format!("{}/product-composite/{id}", self.url)).send().await.unwrap();
        assert_eq!(answer.status(), 202, "DELETE of {id}");
        eventually(SOON, "the product is gone", async || {
            let answer = self.http.get(format!("{}/product-composite/{id}", self.url)).send().await.unwrap();
            if answer.status() == 404 { Ok(()) } else { Err(answer.status()) }
        })
        .await;
    }

    /// Writes a composite, without the lists that are empty, and waits until it is there with all its parts.
    async fn recreate(&self, id: i32, recommendations: i32, reviews: i32) {
        self.delete(id).await;
        let recommendations: Vec<Value> = (1..=recommendations)
            .map(|n| json!({ "recommendationId": n, "author": format!("author {n}"), "rate": n, "content": "c" }))
            .collect();
        let reviews: Vec<Value> = (1..=reviews)
            .map(|n| json!({ "reviewId": n, "author": format!("author {n}"), "subject": "s", "content": "c" }))
            .collect();
        let whole = json!({
            "productId": id, "name": "name", "weight": 100, "recommendations": recommendations, "reviews": reviews
        });
        let mut sent = whole.clone();
        sent.as_object_mut().unwrap().retain(|_, value| *value != json!([]));
        let answer = self.http.post(format!("{}/product-composite", self.url)).json(&sent).send().await.unwrap();
        assert_eq!(answer.status(), 202, "POST of {id}");
        eventually(SOON, "the composite is there with all its parts", async || {
            let answer = self.http.get(format!("{}/product-composite/{id}", self.url)).send().await.unwrap();
            let mut found: Value = answer.json().await.unwrap();
            found.as_object_mut().unwrap().remove("serviceAddresses");
            if found == whole { Ok(()) } else { Err(found) }
        })
        .await;
    }

    async fn all(&self) {
        eventually(SOON, "health is UP", async || {
            let answer = self.http.get(format!("{}/actuator/health", self.url)).send().await;
            match answer.map(|answer| answer.status()) {
                Ok(status) if status == 200 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        self.recreate(1, 3, 3).await;
        self.recreate(113, 0, 3).await;
        self.recreate(213, 3, 0).await;
        self.delete(13).await;

        for (id, recommendations, reviews) in [(1, 3, 3), (113, 0, 3), (213, 3, 0)] {
            let found = self.get(200, &format!("/product-composite/{id}")).await;
            let count = |list: &str| found[list].as_array().unwrap().len();
            assert_eq!(
                (&found["productId"], count("recommendations"), count("reviews")),
                (&id.into(), recommendations, reviews)
            );
        }
        for (status, id, message) in [
            (404, "13", "No product found for productId: 13"),
            (422, "-1", "Invalid productId: -1"),
            (400, "invalidProductId", "Type mismatch."),
        ] {
            assert_eq!(self.get(status, &format!("/product-composite/{id}")).await["message"], message);
        }
        let bad = self.http.post(format!("{}/product-composite", self.url)).header("Content-Type", "application/json");
        let answer = bad.body("{bad").send().await.unwrap();
        assert_eq!(answer.status(), 400);
        assert_eq!(answer.json::<Value>().await.unwrap()["message"], "Failed to read HTTP message");

        self.delete(213).await;
        self.delete(213).await;
        for service in ["product", "recommendation", "review"] {
            assert_eq!(self.get(200, &format!("/actuator/health/coreServices/{service}")).await["status"], "UP");
        }
        let links = self.get(200, "/actuator").await;
        assert!(links["_links"]["health"]["href"].as_str().unwrap().ends_with("/actuator/health"), "{links}");
    }
}

#[tokio::test]
async fn a_landscape_in_this_process_passes_all_steps_twice() {
    let folder = tempfile::tempdir().unwrap();
    let variables = Variables::from([
        ("DATA_DIR", folder.path().to_str().unwrap()),
        ("COMPOSITE_PORT", "0"),
        ("PRODUCT_PORT", "0"),
        ("RECOMMENDATION_PORT", "0"),
        ("REVIEW_PORT", "0"),
        ("EUREKA_PORT", "0"),
    ]);
    let config = Config::read(&variables).unwrap();
    let landscape = everything::Landscape::wire(&variables, config).await.unwrap();
    let steps = Steps { http: client(), url: format!("http://{}", landscape.addresses[0]) };
    let stop = CancellationToken::new();
    let ((), ended) = tokio::join!(
        async {
            steps.all().await;
            // Without a reset.
            steps.all().await;
            stop.cancel();
        },
        landscape.run(stop.clone().cancelled_owned()),
    );
    ended.unwrap();
}

#[tokio::test]
async fn the_script_passes_twice_against_the_running_program() {
    for tool in ["bash", "curl", "jq"] {
        let found = Command::new(tool).arg("--version").output();
        assert!(found.is_ok(), "test-em-all.sh needs {tool}, which is not installed here");
    }
    let folder = tempfile::tempdir().unwrap();
    let landscape = Landscape::start(folder.path(), &[]).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../test-em-all.sh");
    let port = landscape.composite().rsplit(':').next().unwrap();
    for _ in 0..2 {
        let mut command = Command::new("bash");
        let ended = Process::spawn(command.arg(script).env("PORT", port).env_remove("HOST")).ended().await;
        assert!(
            ended.code == Some(0) && ended.stdout.contains("End, all tests OK"),
            "{}{}",
            ended.stdout,
            ended.stderr
        );
    }
    assert_eq!(landscape.stop("TERM").await.code, Some(0));

    // And it sees that nobody is there, without waiting as long as it would for a landscape that starts.
    let usage = Process::spawn(Command::new("bash").args([script, "begin"])).ended().await;
    assert!(usage.code == Some(2) && usage.stderr.starts_with("Usage: "), "{usage:?}");
}
