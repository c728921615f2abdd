//! The command line beside a running landscape.

use crate::process::{Ended, LANDSCAPE, Landscape, Process, SOON, client};
use crate::verdict;
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;
use testkit::eventually;

pub(crate) async fn running() -> (TempDir, Landscape) {
    let folder = tempfile::tempdir().unwrap();
    let landscape = Landscape::start(folder.path(), &[("PARTITIONS", "2")]).await;
    (folder, landscape)
}

pub(crate) async fn create(landscape: &Landscape, id: i32, name: &str) {
    let body = json!({ "productId": id, "name": name, "weight": 1, "reviews": [{ "reviewId": 1 }] });
    let answer = client().post(format!("{}/product-composite", landscape.composite())).json(&body).send().await;
    assert_eq!(answer.unwrap().status(), 202);
}

pub(crate) fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))).collect()
}

/// Asserts that a command failed with one sentence, and returns it.
pub(crate) fn sentence(ended: &Ended) -> &str {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    let sentence = ended.stderr.strip_prefix("error: ").and_then(|rest| rest.strip_suffix('\n'));
    sentence.filter(|sentence| !sentence.contains('\n')).unwrap_or_else(|| panic!("more than a sentence: {ended:?}"))
}

#[tokio::test]
async fn topics_are_listed_and_described_and_followed() {
    let (folder, landscape) = running().await;
    for id in 1..=3 {
        create(&landscape, id, "a").await;
    }
    let listed = landscape.command(folder.path(), &["topics", "list", "--json"]).await;
    let names: Vec<_> = lines(&listed.stdout).into_iter().map(|topic| topic["name"].clone()).collect();
    assert_eq!((listed.code, names), (Some(0), vec!["products".into(), "recommendations".into(), "reviews".into()]));
    let listed = landscape.command(folder.path(), &["topics", "list"]).await;
    assert!(listed.stdout.starts_with("TOPIC"), "{listed:?}");

    verdict::all_settled(&landscape, folder.path()).await;
    let described = landscape.command(folder.path(), &["topics", "describe", "products", "--json"]).await;
    let described: Value = serde_json::from_str(&described.stdout).unwrap();
    let ends: Vec<_> = described["partitions"].as_array().unwrap().iter().map(|row| row["end"].clone()).collect();
    assert_eq!(ends, [1, 2]);

    let tail = ["topics", "tail", "products", "--from-beginning", "--json"];
    let all = landscape.start_command(folder.path(), &tail);
    let one = landscape.start_command(folder.path(), &[&tail[..], &["--partition", "1"]].concat());
    until_shown(&all, &[1, 2, 3]).await;
    until_shown(&one, &[1, 3]).await;
    // What comes later is shown too, until Ctrl-C.
    create(&landscape, 5, "later").await;
    until_shown(&all, &[1, 2, 3, 5]).await;
    until_shown(&one, &[1, 3, 5]).await;
    for tail in [all, one] {
        tail.signal("INT");
        let ended = tail.ended().await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    }
}

/// Waits until a tail shows the events of these keys, and no others.
async fn until_shown(tail: &Process, keys: &[i64]) {
    eventually(SOON, "the tail shows all events", async || {
        let said = tail.stdout();
        // The last line may still be on its way.
        let complete = said.rfind('\n').map_or("", |end| &said[..=end]);
        let mut found: Vec<_> = lines(complete).iter().map(|line| line["body"]["key"].as_i64().unwrap()).collect();
        found.sort_unstable();
        if found == keys { Ok(()) } else { Err(said) }
    })
    .await;
}

#[tokio::test]
async fn a_landscape_is_ready_when_each_of_its_services_is() {
    let (folder, landscape) = running().await;
    let ready = landscape.command(folder.path(), &["healthcheck"]).await;
    assert_eq!((ready.code, ready.stderr.as_str()), (Some(0), ""));
    let port = |number: usize| landscape.urls[number].rsplit(':').next().unwrap();
    let one_away = [("COMPOSITE_PORT", port(0)), ("PRODUCT_PORT", port(1)), ("RECOMMENDATION_PORT", "9")];
    let said = Process::start(LANDSCAPE, &["healthcheck"], &one_away).ended().await;
    assert!(sentence(&said).starts_with("http://127.0.0.1:9/actuator/health/readiness cannot be reached"), "{said:?}");
}

#[tokio::test]
async fn help_lists_every_variable_that_is_read() {
    let help = Process::start(LANDSCAPE, &["--help"], &[]).ended().await;
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    let source = include_str!("../../../shared/src/service/config.rs");
    let mut variables: Vec<&str> =
        source.split("variable(").filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next()).collect();
    assert!(variables.len() > 20, "{variables:?}");
    variables.extend(["COMPOSITE_PORT", "PRODUCT_PORT", "RECOMMENDATION_PORT", "REVIEW_PORT", "EUREKA_PORT"]);
    for variable in variables {
        assert!(help.stdout.contains(&format!(" {variable} ")), "{variable} is not in {}", help.stdout);
    }
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_said_in_one_sentence() {
    let (folder, landscape) = running().await;
    for command in ["describe", "tail"] {
        let unknown = landscape.command(folder.path(), &["topics", command, "orders"]).await;
        assert_eq!(sentence(&unknown), "there is no topic \"orders\"; there are products, recommendations, reviews");
    }
    let unknown = landscape.command(folder.path(), &["topics", "tail", "products", "--partition", "2"]).await;
    assert_eq!(sentence(&unknown), "the topic products has no partition 2; it has 2, from 0");

    let elsewhere = folder.path().join("elsewhere");
    let nothing = landscape.command(&elsewhere, &["topics", "list"]).await;
    let expected = format!("there is no event log at {}/events.db; DATA_DIR says where it is", elsewhere.display());
    assert_eq!(sentence(&nothing), expected);
    assert!(!elsewhere.exists(), "a look has made a folder");
}

#[tokio::test]
async fn a_landscape_that_is_not_there_is_said_to_be_away() {
    // A port that nobody listens on, and that nobody is given: it is below those that are handed out.
    let away = [("PRODUCT_PORT", "9"), ("RECOMMENDATION_PORT", "9"), ("REVIEW_PORT", "9")];
    let load = ["load", "--products", "1", "--concurrency", "1", "--url", "http://127.0.0.1:9"];
    let ended = Process::start(LANDSCAPE, &load, &[]).ended().await;
    let said = sentence(&ended);
    assert!(said.starts_with("http://127.0.0.1:9/product-composite cannot be reached: Connection refused"), "{said}");
    assert!(said.ends_with("Is the landscape running?"), "{said}");

    let ended = Process::start(LANDSCAPE, &["dead-letters", "list"], &away).ended().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    // One line for each service that is away.
    assert_eq!(ended.stderr.lines().count(), 3, "{ended:?}");
    assert!(ended.stderr.starts_with("error: product at http://127.0.0.1:9 cannot be reached"), "{ended:?}");
    assert!(!Path::new("data").exists(), "a command has made a folder");
}
