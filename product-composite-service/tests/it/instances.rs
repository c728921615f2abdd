//! Core services of more than one instance.

use crate::fakes::{PRODUCT, RECOMMENDATIONS, REVIEWS, saying};
use crate::{Landscape, aggregate, composite, cores};
use std::collections::BTreeSet;
use testkit::{Answer, Killable, Neighbour, Nobody, SOON, Sandbox, eventually};

/// Who has given the reviews of an answer that is whole.
fn reviewer(answer: &Answer) -> String {
    assert_eq!((answer.status, answer.header("x-missing-parts")), (200, None), "{answer:?}");
    answer.json()["serviceAddresses"]["rev"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn both_instances_of_a_service_answer_and_one_that_stops_is_not_missed() {
    let Landscape { sandbox, product, recommendation, review, composite: first } = Landscape::start().await;
    let second = sandbox.start(review_service::service).await;
    let reviews = format!("{},{}", review.url, second.url);
    let cores = cores([&product.url, &recommendation.url, &reviews]);
    let composite = composite(&sandbox, sandbox.platform.binder.clone(), cores).await;
    assert_eq!(first.post("/product-composite", aggregate(1, "n")).await.status, 202);
    sandbox.settled().await;
    let read = async || reviewer(&composite.get("/product-composite/1").await);
    let mut seen = Vec::new();
    for _ in 0..20 {
        seen.push(read().await);
    }
    for address in [&review.address, &second.address] {
        // How many of them, the balancer says: who is slow for a moment gets few.
        assert!(seen.contains(&address.to_string()), "{seen:?}");
    }
    review.stop().await;
    for _ in 0..20 {
        assert_eq!(read().await, second.address.to_string());
    }
    for service in [first, composite, product, recommendation, second] {
        service.stop().await;
    }
}

#[tokio::test]
async fn an_instance_that_is_killed_fails_no_read_and_is_used_again_when_it_is_back() {
    let sandbox = Sandbox::new().await;
    let (product, recommendation) =
        (Neighbour::serve(saying(200, PRODUCT)).await, Neighbour::serve(saying(200, RECOMMENDATIONS)).await);
    let other = REVIEWS.replace(r#":"v""#, r#":"other""#).leak();
    let (well, mut victim) = (Killable::serve(saying(200, REVIEWS)).await, Killable::serve(saying(200, other)).await);
    let reviews = format!("http://{},http://{}", well.address, victim.address);
    let cores = cores([&product.url, &recommendation.url, &reviews]);
    let service = composite(&sandbox, sandbox.platform.binder.clone(), cores).await;
    let read = async || reviewer(&service.get("/product-composite/1").await);
    let mut seen = BTreeSet::new();
    for _ in 0..20 {
        seen.insert(read().await);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["other", "v"]);
    victim.kill();
    eventually(SOON, "the dead one is gone", async || match read().await {
        seen if seen == "v" => Ok(()),
        seen => Err(seen),
    })
    .await;
    for _ in 0..50 {
        read().await;
    }
    victim.start(saying(200, other)).await;
    eventually(SOON, "it is used again", async || match read().await {
        seen if seen == "other" => Ok(()),
        seen => Err(seen),
    })
    .await;
    service.stop().await;
}

#[tokio::test]
async fn a_service_whose_name_is_unknown_is_told_as_spring_tells_it() {
    let (sandbox, nobody) = (Sandbox::new().await, Nobody::new());
    // The top-level domain that never resolves.
    let cores = cores(["dns+http://product.invalid:80", &nobody.url, &nobody.url]);
    let service = composite(&sandbox, sandbox.platform.binder.clone(), cores).await;
    let answer = service.get("/product-composite/1").await;
    let message = "LoadBalancer does not contain an instance for the service product";
    let expected = format!(
        r#"{{"path":"/product-composite/1","status":500,"error":"Internal Server Error","message":"{message}"}}"#
    );
    assert_eq!((answer.status, answer.failure()), (500, expected));
    service.stop().await;
}
