//! More writes than the broker takes: some are refused before anything is done for them, the others and all reads go on.

use crate::broken::{Broken, Trouble};
use crate::{Landscape, aggregate, shown};
use std::sync::Arc;
use testkit::{Answer, Running, SOON, Sandbox, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const PATH: &str = "/product-composite";

/// A landscape that is given up by its broker at a word; a send waits for that longer than any test.
async fn landscape<const N: usize>(variables: [(&str, &str); N]) -> (Landscape, Broken) {
    let sandbox = Sandbox::with(variables).await;
    let mut broker = None;
    let broken = |binder| Arc::new(broker.insert(Broken::new(binder, Trouble::None)).clone()) as _;
    let landscape = Landscape::start_in(sandbox, broken).await;
    (landscape, broker.unwrap())
}

/// That it is 503, and in the form in which that is said.
fn assert_refused(answer: &Answer) {
    let sentence = "Too many requests are being written, try again";
    let expected = format!(r#"{{"path":"{PATH}","status":503,"error":"Service Unavailable","message":"{sentence}"}}"#);
    assert_eq!((answer.status, answer.failure()), (503, expected));
    assert_eq!(answer.header("retry-after"), Some("1"));
}

async fn accepted_again(composite: &Running) {
    eventually(SOON, "a write that is accepted", async || match composite.post(PATH, aggregate(2, "n")).await {
        answer if answer.status == 202 => Ok(()),
        answer => Err(format!("{answer:?}")),
    })
    .await;
}

#[tokio::test]
async fn what_would_wait_is_refused_at_once_while_reads_go_on() {
    let (landscape, broken) = landscape([("WRITES", "4"), ("SEND_TIMEOUT_MS", "60000")]).await;
    let composite = &landscape.composite;
    assert_eq!(composite.post(PATH, aggregate(1, "n")).await.status, 202);
    composite.shows(&format!("{PATH}/1"), &shown(1, "n", &landscape)).await;

    broken.set(Trouble::Silent);
    let mut posts = JoinSet::new();
    for id in 0..40 {
        let post = composite.request(reqwest::Method::POST, PATH).header("content-type", "application/json");
        posts.spawn(Answer::to(post.body(aggregate(10 + id, "n"))));
    }
    // Four wait for the broker as long as it takes; nobody else waits for them.
    for _ in 0..36 {
        assert_refused(&posts.join_next().await.unwrap().unwrap());
    }
    assert!(posts.try_join_next().is_none());
    assert_refused(&composite.post(PATH, aggregate(1, "n")).await);
    assert_eq!(composite.delete(&format!("{PATH}/1")).await.status, 503);
    assert_eq!(composite.get(&format!("{PATH}/1")).await.status, 200);
    assert_eq!(composite.get(&format!("{PATH}/99")).await.status, 404);

    // Who leaves makes room.
    posts.shutdown().await;
    broken.set(Trouble::None);
    accepted_again(composite).await;
    landscape.stop().await;
}

/// The head of a request that writes, with this in it.
fn head(line: &str) -> String {
    format!("POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n{line}\r\n\r\n")
}

#[tokio::test]
async fn what_would_take_too_much_room_is_refused_before_it_comes() {
    let (landscape, _) = landscape([("WRITES_BYTES", "70000"), ("BODY_LIMIT_BYTES", "60000")]).await;
    let composite = &landscape.composite;
    let most = " ".repeat(58_000);
    for begun in [head("content-length: 60000") + &most, head("transfer-encoding: chunked") + "e290\r\n" + &most] {
        // It is waited for, and what came of it has its room meanwhile.
        let slow = send(composite, &begun).await;
        // It may be accepted before that is counted, and then says the same each time.
        let long = aggregate(3, &"n".repeat(5_000));
        let refused = eventually(SOON, "no room", async || match composite.post(PATH, long.clone()).await {
            answer if answer.status == 503 => Ok(answer),
            answer => Err(format!("{answer:?}")),
        })
        .await;
        assert_refused(&refused);
        drop(slow);
        accepted_again(composite).await;
    }
    let refused = composite.get("/actuator/metrics/writes.refused?tag=reason:room").await.json();
    assert_eq!(refused["measurements"][0]["statistic"], "COUNT");
    assert!(refused["measurements"][0]["value"].as_f64() >= Some(2.0), "{refused}");
    landscape.sandbox.settled().await;
    landscape.stop().await;
}

#[tokio::test]
async fn who_announces_much_and_sends_nothing_keeps_nobody_out() {
    let (landscape, _) = landscape([("WRITES_BYTES", "70000"), ("BODY_LIMIT_BYTES", "60000")]).await;
    let composite = &landscape.composite;
    let mut idle = Vec::new();
    for head in [head("content-length: 60000"), head("content-length: 60000"), head("transfer-encoding: chunked")] {
        idle.push(send(composite, &head).await);
    }
    eventually(SOON, "their heads are read", async || {
        let room = composite.get("/actuator/metrics/writes.room").await.json()["measurements"][0]["value"].as_f64();
        (room == Some(3.0 * 4096.0)).then_some(()).ok_or(format!("{room:?}"))
    })
    .await;
    assert_eq!(composite.post(PATH, aggregate(1, &"n".repeat(30_000))).await.status, 202);
    drop(idle);
    landscape.sandbox.settled().await;
    landscape.stop().await;
}

#[tokio::test]
async fn a_body_that_finds_no_room_on_its_way_is_refused() {
    let (landscape, _) = landscape([("WRITES_BYTES", "70000"), ("BODY_LIMIT_BYTES", "60000")]).await;
    let composite = &landscape.composite;
    let half = head("transfer-encoding: chunked") + "9c40\r\n" + &" ".repeat(40_000) + "\r\n";
    let (mut first, mut second) = (send(composite, &half).await, send(composite, &half).await);
    // Whichever of them came last.
    let mut answers = [[0; 12]; 2];
    let [of_first, of_second] = &mut answers;
    tokio::select! {
        read = first.read_exact(of_first) => read,
        read = second.read_exact(of_second) => read,
        () = tokio::time::sleep(SOON) => panic!("nobody is refused"),
    }
    .unwrap();
    assert!(answers.contains(b"HTTP/1.1 503"), "{answers:?}");
    drop((first, second));
    accepted_again(composite).await;
    landscape.sandbox.settled().await;
    landscape.stop().await;
}

#[tokio::test]
async fn a_refusal_costs_no_connection() {
    let (landscape, _) = landscape([("WRITES_BYTES", "1"), ("BODY_LIMIT_BYTES", "60000")]).await;
    let composite = &landscape.composite;
    let slow = send(composite, &head("content-length: 9")).await;
    accept_none(composite).await;
    let mut refused = send(composite, &(head("content-length: 9") + "123")).await;
    refused.write_all(b"456789").await.unwrap();
    refused
        .write_all(format!("GET {PATH}/1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut answers = String::new();
    refused.read_to_string(&mut answers).await.unwrap();
    let statuses: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["503", "404"], "{answers}");
    drop(slow);
    landscape.stop().await;
}

async fn accept_none(composite: &Running) {
    eventually(SOON, "no room", async || match composite.delete(&format!("{PATH}/1")).await.status {
        503 => Ok(()),
        status => Err(status.to_string()),
    })
    .await;
}

async fn send(composite: &Running, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(composite.url.trim_start_matches("http://")).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}
