//! Starts and stops: what ends a start says so in one sentence; what ends a running landscape loses nothing.

use crate::process::{Ended, LANDSCAPE, Landscape, Process, SOON, client};
use crate::verdict;
use shared::service::config::{Config, Variables};
use std::net::TcpListener;
use std::time::{Duration, Instant};
use testkit::eventually;
use testkit::workload::Clients;

/// The default of `SHUTDOWN_GRACE_MS`.
const GRACE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_and_sigint_end_it_cleanly_under_load_and_the_next_start_has_everything() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path();
    let mut landscape = Landscape::start(data_dir, &[]).await;
    verdict::keep_history(data_dir).await;
    let clients = Clients::start(client(), 8, 1, landscape.composite());
    for signal in ["TERM", "INT", "TERM"] {
        let enough = clients.answered() + 100;
        eventually(SOON, "requests are answered", async || {
            let answered = clients.answered();
            if answered < enough { Err(format!("{answered} of {enough}")) } else { Ok(()) }
        })
        .await;
        let asked = Instant::now();
        let ended = landscape.stop(signal).await;
        assert!(ended.code == Some(0) && asked.elapsed() < GRACE, "{:?} after {signal}: {ended:?}", asked.elapsed());
        assert!(!ended.stderr.contains("grace time is over"), "{}", ended.stderr);

        landscape = Landscape::start(data_dir, &[]).await;
        clients.go_on_at(landscape.composite());
    }
    let keys = clients.finish().await.unwrap();
    verdict::all_settled(&landscape, data_dir).await;
    assert_eq!(landscape.stop("TERM").await.code, Some(0));
    verdict::check(data_dir, &keys).await;
}

/// Asserts that the landscape does not start with `variables`, and returns the one sentence that it says.
async fn refused(variables: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let Ended { code, stdout, stderr } = Landscape::starting(folder.path(), variables).ended().await;
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{variables:?}: {stderr}");
    let sentence = stderr.strip_prefix("error: ").and_then(|rest| rest.strip_suffix('\n'));
    sentence
        .filter(|sentence| !sentence.contains('\n'))
        .unwrap_or_else(|| panic!("more than a sentence: {stderr}"))
        .to_owned()
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_variable() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let port = address.port().to_string();
    for variable in ["COMPOSITE_PORT", "PRODUCT_PORT", "RECOMMENDATION_PORT", "REVIEW_PORT", "EUREKA_PORT"] {
        let said = refused(&[(variable, &port)]).await;
        let expected =
            format!("cannot listen on {address}; set {variable} to another port, or HOST: Address already in use");
        assert!(said.starts_with(&expected), "{said}");
    }
}

#[tokio::test]
async fn a_variable_that_cannot_be_read_is_named_with_its_value_and_what_is_allowed() {
    for (variable, value, allowed) in [
        ("HOST", "somewhere", "an IP address"),
        ("COMPOSITE_PORT", "http", "a port from 0 to 65535"),
        ("REVIEW_PORT", "65536", "a port from 0 to 65535"),
        ("PARTITIONS", "0", "a whole number from 1 to"),
        ("BINDER", "pigeon", "embedded"),
        ("RETRY_MULTIPLIER", "half", "a number"),
        ("READ_TIMEOUT_MS", "-1", "a whole number from"),
        ("RUST_LOG", "landscape=loud", "a filter such as info"),
    ] {
        let said = refused(&[(variable, value)]).await;
        assert!(said.starts_with(&format!("{variable} is {value:?}: allowed is {allowed}")), "{said}");
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    // Even root cannot make a folder where a file stands.
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let said = refused(&[("DATA_DIR", path)]).await;
    assert!(said.starts_with(&format!("DATA_DIR {path} cannot be used: ")), "{said}");

    // A file of ours that is none: the log, or the database of a service.
    for file in ["events.db", "review.db"] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(file), "this is no database, whatever its name says").unwrap();
        let said = refused(&[("DATA_DIR", folder.path().to_str().unwrap())]).await;
        assert!(said.contains(&format!("{}/{file}", folder.path().display())), "{said}");
    }
}

#[tokio::test]
async fn one_file_for_all_services_is_refused() {
    let said = refused(&[("DATABASE_URL", "sqlite:all.db")]).await;
    assert!(said.starts_with("DATABASE_URL is \"sqlite:…\": allowed is postgres://"), "{said}");
}

#[tokio::test]
async fn an_unknown_command_is_refused_with_the_usage() {
    let ended = Process::start(LANDSCAPE, &["topic"], &[]).ended().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert!(ended.stderr.contains("unrecognized subcommand 'topic'") && ended.stderr.contains("Usage"), "{ended:?}");
}

#[tokio::test]
async fn without_a_host_it_listens_on_loopback_only() {
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
    let landscape = landscape::everything::Landscape::wire(&variables, config).await.unwrap();
    assert!(landscape.addresses.iter().all(|address| address.ip().is_loopback()), "{:?}", landscape.addresses);
}
