//! A broker that is away: nothing is accepted that is not safe, and nothing half done.

use crate::broken::{Broken, Trouble};
use crate::{Landscape, aggregate, alone_on, shown};
use reqwest::Method;
use shared::api::{PRODUCTS, RECOMMENDATIONS, REVIEWS};
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::{Answer, Running, SOON, Sandbox, eventually};

const PATH: &str = "/product-composite";

/// The composite service over a broker in trouble.
async fn in_trouble(sandbox: &Sandbox, trouble: Trouble) -> (Running, Broken) {
    let broken = Broken::new(sandbox.platform.binder.clone(), trouble);
    (alone_on(sandbox, Arc::new(broken.clone())).await, broken)
}

async fn assert_not_accepted(service: &Running) {
    for (method, path) in [(Method::POST, PATH), (Method::DELETE, "/product-composite/1")] {
        let request = service.request(method, path).header("content-type", "application/json");
        let answer = Answer::to(request.body(aggregate(1, "n"))).await;
        let sentence = "The events could not be stored, try again";
        let expected =
            format!(r#"{{"path":"{path}","status":503,"error":"Service Unavailable","message":"{sentence}"}}"#);
        assert_eq!((answer.status, answer.failure()), (503, expected));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
}

#[tokio::test]
async fn a_broker_that_is_away_or_silent_accepts_nothing_until_it_is_back() {
    for trouble in [Trouble::Away, Trouble::Silent] {
        let sandbox = Sandbox::with([("SEND_TIMEOUT_MS", "3000")]).await;
        let (service, broken) = in_trouble(&sandbox, Trouble::None).await;
        assert_eq!(service.post(PATH, aggregate(1, "n")).await.status, 202);
        broken.set(trouble);
        assert_not_accepted(&service).await;
        assert_eq!(sandbox.count().await, 3, "nothing but what was accepted is sent");
        assert_eq!(service.get("/actuator/health/readiness").await.status, 503);
        broken.set(Trouble::None);
        assert_eq!(service.post(PATH, aggregate(1, "n")).await.status, 202);
        assert_eq!(sandbox.count().await, 6);
        service.answers("/actuator/health/readiness", 200).await;
        service.stop().await;
    }
}

#[tokio::test]
async fn a_broker_that_is_away_at_the_start_is_waited_for() {
    for trouble in [Trouble::Away, Trouble::Silent] {
        let sandbox = Sandbox::with([("SEND_TIMEOUT_MS", "3000")]).await;
        let (service, broken) = in_trouble(&sandbox, trouble).await;
        assert_not_accepted(&service).await;
        broken.set(Trouble::None);
        if trouble == Trouble::Away {
            eventually(SOON, "the topics are bound", async || match service.post(PATH, aggregate(1, "n")).await {
                answer if answer.status == 202 => Ok(()),
                answer => Err(format!("{answer:?}")),
            })
            .await;
            assert_eq!(sandbox.count().await, 3);
        }
        let start = Instant::now();
        service.stop().await;
        assert!(start.elapsed() < Duration::from_secs(5), "a stop waits for no broker: {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn what_the_broker_refuses_is_500_and_its_reason_is_not_told() {
    let sandbox = Sandbox::new().await;
    let (service, broken) = in_trouble(&sandbox, Trouble::None).await;
    broken.set(Trouble::Refusing);
    let answer = service.post(PATH, aggregate(1, "n")).await;
    let error = "Internal Server Error";
    let expected = format!(r#"{{"path":"{PATH}","status":500,"error":"{error}","message":"{error}"}}"#);
    assert_eq!((answer.status, answer.failure()), (500, expected));
    service.stop().await;
}

#[tokio::test]
async fn a_request_whose_answer_was_lost_may_be_sent_again_without_harm() {
    let mut broker = None;
    let landscape =
        Landscape::start_with(|binder| Arc::new(broker.insert(Broken::new(binder, Trouble::None)).clone())).await;
    let (broker, composite) = (broker.unwrap(), &landscape.composite);
    let post = async |id: i32, key: Option<&str>| {
        let request = composite.request(Method::POST, PATH).header("content-type", "application/json");
        let request = key.into_iter().fold(request, |request, key| request.header("idempotency-key", key));
        Answer::to(request.body(aggregate(id, "n"))).await.status
    };
    for (id, key) in [(1, Some("k")), (2, None)] {
        broker.set(Trouble::AnswerLost);
        assert_eq!(post(id, key).await, 503);
        broker.set(Trouble::None);
        assert_eq!(post(id, key).await, 202);
        composite.shows(&format!("{PATH}/{id}"), &shown(id, "n", &landscape)).await;
    }
    for destination in [PRODUCTS, RECOMMENDATIONS, REVIEWS] {
        let ids: Vec<String> = landscape.sandbox.sent(destination).await.into_iter().map(|sent| sent.id).collect();
        assert_eq!(ids.len(), 4, "all events of each request, whether its answer came or not");
        assert_eq!((ids[0] == ids[1], ids[2] == ids[3]), (true, false));
    }
    // At the stop no service may have a dead letter.
    landscape.stop().await;
}
