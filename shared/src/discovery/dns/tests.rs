//! Names, asked for at a real server.

// A test that cannot go on ends.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::discovery::Discovered;
use std::time::Instant;
use testkit::dns::Says;
use testkit::{NameServer, SOON, eventually};

/// Long enough to be sure that nothing follows, short enough to wait for it.
const LEAST: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(600);

fn asking(server: &NameServer, most: Duration) -> Source {
    let dns = Dns { nameserver: Some(server.address), pause: (LEAST, most) };
    dns.discover("review.test.".to_owned(), 8080)
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

async fn shows(endpoints: &mut Discovered, expected: &[&str]) {
    let is = |known: &Endpoints| known.iter().map(|endpoint| endpoint.authority.as_str()).eq(expected.iter().copied());
    let shown = tokio::time::timeout(SOON, endpoints.wait_for(is)).await.map(|shown| shown.unwrap().clone());
    assert!(shown.is_ok(), "{expected:?} is not {:?}", endpoints.borrow());
}

async fn asked(server: &NameServer, times: usize) {
    eventually(SOON, &format!("asked {times} times"), async || match server.asked() {
        asked if asked >= times => Ok(()),
        asked => Err(asked),
    })
    .await;
}

#[tokio::test]
async fn all_addresses_of_both_families_are_instances_and_follow_the_name() {
    let server = NameServer::saying(Says::Addresses(addresses(&["10.0.0.2", "::2", "10.0.0.1", "10.0.0.2"]), 0)).await;
    let mut source = asking(&server, LONG);
    shows(&mut source.endpoints, &["10.0.0.1:8080", "10.0.0.2:8080", "[::2]:8080"]).await;
    server.say(Says::Addresses(addresses(&["10.0.0.1", "10.0.0.3"]), 0));
    shows(&mut source.endpoints, &["10.0.0.1:8080", "10.0.0.3:8080"]).await;
}

#[tokio::test]
async fn more_addresses_than_a_datagram_holds_come_over_tcp() {
    let many: Vec<String> = (1..200).map(|last| format!("10.0.0.{last}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let server = NameServer::saying(Says::Addresses(addresses(&many), 60)).await;
    let mut source = asking(&server, LONG);
    tokio::time::timeout(SOON, source.endpoints.wait_for(|known| known.len() == 199)).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_answer_holds_for_its_ttl_but_never_for_long() {
    let of = |ttl| Says::Addresses(addresses(&["10.0.0.1"]), ttl);
    let (forever, second) = (NameServer::saying(of(600)).await, NameServer::saying(of(1)).await);
    let start = Instant::now();
    let mut sources = [asking(&forever, LONG), asking(&second, LONG)];
    for source in &mut sources {
        shows(&mut source.endpoints, &["10.0.0.1:8080"]).await;
    }
    asked(&second, 3).await;
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(forever.asked(), 1, "ten minutes are not over");
    let capped = NameServer::saying(of(600)).await;
    let _source = asking(&capped, 2 * LEAST);
    asked(&capped, 3).await;
    assert_eq!(Dns::default().pause.1, Duration::from_secs(30));
}

#[tokio::test]
async fn a_failure_keeps_what_was_known_and_is_no_news() {
    for failure in [Says::Unknown, Says::Failure, Says::Addresses(Vec::new(), 0), Says::Silence] {
        let server = NameServer::saying(Says::Addresses(addresses(&["10.0.0.1", "::1"]), 0)).await;
        let mut source = asking(&server, LONG);
        shows(&mut source.endpoints, &["10.0.0.1:8080", "[::1]:8080"]).await;
        server.say(failure.clone());
        let before = server.asked();
        asked(&server, before + 3).await;
        assert!(!source.endpoints.has_changed().unwrap(), "{failure:?}");
        server.say(Says::Addresses(addresses(&["10.0.0.9"]), 0));
        shows(&mut source.endpoints, &["10.0.0.9:8080"]).await;
    }
}

#[tokio::test]
async fn a_family_that_nobody_answers_for_costs_the_other_nothing() {
    let server = NameServer::saying(Says::Addresses(addresses(&["10.0.0.1", "::1"]), 0)).await;
    let mut source = asking(&server, LONG);
    shows(&mut source.endpoints, &["10.0.0.1:8080", "[::1]:8080"]).await;
    server.say(Says::Half(addresses(&["10.0.0.2"]), 0));
    shows(&mut source.endpoints, &["10.0.0.2:8080", "[::1]:8080"]).await;
}

#[tokio::test]
async fn a_name_that_is_not_there_yet_is_said_to_be_nowhere_and_asked_for_again() {
    let server = NameServer::saying(Says::Unknown).await;
    let mut source = asking(&server, LONG);
    tokio::time::timeout(SOON, source.endpoints.changed()).await.unwrap().unwrap();
    assert!(source.endpoints.borrow_and_update().is_empty());
    server.say(Says::Addresses(addresses(&["10.0.0.1"]), 600));
    shows(&mut source.endpoints, &["10.0.0.1:8080"]).await;
}

#[tokio::test]
async fn a_doubt_asks_again_early() {
    let server = NameServer::saying(Says::Addresses(addresses(&["10.0.0.1"]), 600)).await;
    let mut source = asking(&server, LONG);
    shows(&mut source.endpoints, &["10.0.0.1:8080"]).await;
    server.say(Says::Addresses(addresses(&["10.0.0.2"]), 600));
    source.doubts.notify_one();
    shows(&mut source.endpoints, &["10.0.0.2:8080"]).await;
}

#[tokio::test]
async fn nobody_is_asked_when_nobody_listens() {
    let server = NameServer::saying(Says::Addresses(addresses(&["10.0.0.1"]), 0)).await;
    let mut source = asking(&server, LONG);
    let doubts = Arc::downgrade(&source.doubts);
    shows(&mut source.endpoints, &["10.0.0.1:8080"]).await;
    drop(source);
    eventually(SOON, "the source has ended", async || match doubts.strong_count() {
        0 => Ok(()),
        count => Err(count),
    })
    .await;
}

#[tokio::test]
async fn this_machine_is_known_without_a_name_server() {
    let mut source = Dns::default().discover("localhost".to_owned(), 80);
    let there = |known: &Endpoints| known.iter().any(|endpoint| endpoint.authority == "127.0.0.1:80");
    tokio::time::timeout(SOON, source.endpoints.wait_for(there)).await.unwrap().unwrap();
}
