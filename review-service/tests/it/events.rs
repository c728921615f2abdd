//! What events do to the reviews.

use crate::{review, shown, start};
use serde_json::Value;
use shared::api::{REVIEWS, Review};
use testkit::Sandbox;

const OF_1: &str = "/review?productId=1";

#[tokio::test]
async fn creations_and_deletions_take_effect() {
    for sandbox in Sandbox::on_each_database().await {
        let service = start(&sandbox).await;
        for (product_id, id) in [(1, 3), (1, 1), (2, 1), (1, 2)] {
            sandbox.create(REVIEWS, product_id, review(product_id, id, "c")).await;
        }
        service.shows(OF_1, &shown(1, &[(1, "c"), (2, "c"), (3, "c")], &service)).await;
        sandbox.delete(REVIEWS, 1).await;
        service.shows(OF_1, "[]").await;
        assert_eq!(service.get("/review?productId=2").await.text(), shown(2, &[(1, "c")], &service));
        sandbox.create(REVIEWS, 1, review(1, 1, "again")).await;
        service.shows(OF_1, &shown(1, &[(1, "again")], &service)).await;
        service.stop().await;
    }
}

#[tokio::test]
async fn a_creation_that_stands_with_the_same_content_is_done_already() {
    for sandbox in Sandbox::on_each_database().await {
        let service = start(&sandbox).await;
        for _ in 0..2 {
            sandbox.create(REVIEWS, 1, review(1, 1, "c")).await;
            sandbox.settled().await;
        }
        assert_eq!(service.get(OF_1).await.text(), shown(1, &[(1, "c")], &service));
        service.stop().await;
    }
}

#[tokio::test]
async fn a_creation_with_other_content_is_a_letter_and_what_follows_flows_on() {
    for sandbox in Sandbox::on_each_database().await {
        let mut service = start(&sandbox).await;
        sandbox.create(REVIEWS, 1, review(1, 1, "first")).await;
        sandbox.create(REVIEWS, 1, review(1, 1, "second")).await;
        sandbox.create(REVIEWS, 1, Review { author: None, ..review(1, 1, "first") }).await;
        sandbox.create(REVIEWS, 1, review(1, 2, "third")).await;
        service.shows(OF_1, &shown(1, &[(1, "first"), (2, "third")], &service)).await;
        for letter in service.letters(2).await {
            assert_eq!(
                (&letter["kind"], &letter["key"], &letter["attempts"]),
                (&"invalid".into(), &1.into(), &1.into())
            );
            assert_eq!(letter["cause"], "Duplicate key, Product Id: 1, Review Id:1");
        }
        sandbox.delete(REVIEWS, 1).await;
        sandbox.create(REVIEWS, 1, review(1, 1, "fourth")).await;
        service.shows(OF_1, &shown(1, &[(1, "fourth")], &service)).await;
        service.stop().await;
    }
}

#[tokio::test]
async fn deleting_what_is_not_there_is_fine() {
    for sandbox in Sandbox::on_each_database().await {
        let service = start(&sandbox).await;
        sandbox.delete(REVIEWS, 1).await;
        sandbox.settled().await;
        service.stop().await;
    }
}

#[tokio::test]
async fn what_no_review_may_be_is_refused_here_too() {
    for sandbox in Sandbox::on_each_database().await {
        let mut service = start(&sandbox).await;
        sandbox.create(REVIEWS, 0, review(0, 1, "c")).await;
        sandbox.create(REVIEWS, 1, review(1, 0, "c")).await;
        sandbox.create(REVIEWS, 1, review(1, -1, "c")).await;
        // Only its ids make a review.
        sandbox.create(REVIEWS, 1, Review { author: None, subject: None, content: None, ..review(1, 1, "") }).await;
        let address = &service.address;
        let bare = format!(
            r#"[{{"productId":1,"reviewId":1,"author":null,"subject":null,"content":null,"serviceAddress":"{address}"}}]"#
        );
        service.shows(OF_1, &bare).await;
        let causes: Vec<Value> = service.letters(3).await.iter().map(|letter| letter["cause"].clone()).collect();
        assert_eq!(causes, ["Invalid productId: 0", "Invalid reviewId: 0", "Invalid reviewId: -1"]);
        service.stop().await;
    }
}

#[tokio::test]
async fn what_is_no_event_is_a_letter_at_once_and_its_partition_flows_on() {
    for sandbox in Sandbox::on_each_database().await {
        let mut service = start(&sandbox).await;
        let bodies = [
            ("", "the message is empty"),
            ("{bad", "the message is no event: "),
            (r#"{"eventType":"UPDATE","key":1,"data":null}"#, "unknown eventType \"UPDATE\""),
            (r#"{"eventType":"CREATE","key":1,"data":null}"#, "the event has no data"),
            (r#"{"eventType":"CREATE","key":1,"data":[1,1,"a","s","c",null]}"#, "the message is no event: "),
        ];
        for (body, _) in bodies {
            sandbox.publish(REVIEWS, 1, body).await;
        }
        sandbox.create(REVIEWS, 1, review(1, 1, "after")).await;
        service.shows(OF_1, &shown(1, &[(1, "after")], &service)).await;
        for ((body, cause), letter) in bodies.iter().zip(service.letters(bodies.len()).await) {
            assert!(letter["cause"].as_str().is_some_and(|found| found.contains(cause)), "{body} gave {letter}");
            assert_eq!((&letter["kind"], &letter["attempts"]), (&"invalid".into(), &1.into()));
        }
        service.stop().await;
    }
}

#[tokio::test]
async fn events_that_java_wrote_take_effect() {
    for sandbox in Sandbox::on_each_database().await {
        let service = start(&sandbox).await;
        let third_edition = r#"{"eventType":"CREATE","key":424242,"data":{"productId":424242,"reviewId":1,"author":"a","subject":"s","content":"c","serviceAddress":null},"eventCreatedAt":"2026-11-23T07:19:34.393193268Z"}"#;
        let first_edition = r#"{"eventType":"CREATE","key":1,"data":{"productId":1,"reviewId":2,"author":"a","subject":"s","content":"c","serviceAddress":null},"eventCreatedAt":"2020-08-11T14:23:45.123456"}"#;
        sandbox.publish(REVIEWS, 424_242, third_edition).await;
        sandbox.publish(REVIEWS, 1, first_edition).await;
        let shown = |product_id: i32, number: i32| {
            let address = &service.address;
            format!(
                r#"[{{"productId":{product_id},"reviewId":{number},"author":"a","subject":"s","content":"c","serviceAddress":"{address}"}}]"#
            )
        };
        service.shows("/review?productId=424242", &shown(424_242, 1)).await;
        service.shows(OF_1, &shown(1, 2)).await;
        let deleted =
            r#"{"eventType":"DELETE","key":424242,"data":null,"eventCreatedAt":"2026-11-23T07:20:10.892366762Z"}"#;
        sandbox.publish(REVIEWS, 424_242, deleted).await;
        service.shows("/review?productId=424242", "[]").await;
        service.stop().await;
    }
}
