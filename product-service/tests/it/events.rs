//! What events do to the products.

use crate::{product, shown, start};
use serde_json::Value;
use shared::api::{PRODUCTS, Product};
use testkit::Sandbox;

#[tokio::test]
async fn creations_and_deletions_take_effect() {
    for sandbox in Sandbox::on_each_database().await {
        let service = start(&sandbox).await;
        sandbox.create(PRODUCTS, 1, product(1, "a")).await;
        sandbox.create(PRODUCTS, 2, product(2, "b")).await;
        service.shows("/product/1", &shown(1, "a", &service)).await;
        service.shows("/product/2", &shown(2, "b", &service)).await;
        sandbox.delete(PRODUCTS, 1).await;
        service.answers("/product/1", 404).await;
        assert_eq!(service.get("/product/2").await.status, 200);
        sandbox.create(PRODUCTS, 1, product(1, "again")).await;
        service.shows("/product/1", &shown(1, "again", &service)).await;
        service.stop().await;
    }
}

#[tokio::test]
async fn what_was_sent_while_the_service_was_away_takes_effect_when_it_is_back() {
    for sandbox in Sandbox::on_each_database().await {
        sandbox.create(PRODUCTS, 1, product(1, "before")).await;
        let service = start(&sandbox).await;
        service.shows("/product/1", &shown(1, "before", &service)).await;
        service.stop().await;
        sandbox.create(PRODUCTS, 2, product(2, "meanwhile")).await;
        let service = start(&sandbox).await;
        service.shows("/product/2", &shown(2, "meanwhile", &service)).await;
        assert_eq!(service.get("/product/1").await.text(), shown(1, "before", &service));
        service.stop().await;
    }
}

#[tokio::test]
async fn a_creation_that_stands_with_the_same_content_is_done_already() {
    for sandbox in Sandbox::on_each_database().await {
        let service = start(&sandbox).await;
        for _ in 0..2 {
            sandbox.create(PRODUCTS, 1, product(1, "a")).await;
            sandbox.settled().await;
        }
        // Who answered once is no content.
        sandbox.create(PRODUCTS, 1, Product { service_address: Some("me".to_owned()), ..product(1, "a") }).await;
        sandbox.settled().await;
        assert_eq!(service.get("/product/1").await.text(), shown(1, "a", &service));
        service.stop().await;
    }
}

#[tokio::test]
async fn a_creation_with_other_content_is_a_letter_and_what_follows_flows_on() {
    for sandbox in Sandbox::on_each_database().await {
        let mut service = start(&sandbox).await;
        sandbox.create(PRODUCTS, 1, product(1, "first")).await;
        let second = sandbox.create(PRODUCTS, 1, product(1, "second")).await;
        let third = sandbox.create(PRODUCTS, 1, Product { weight: 4, ..product(1, "first") }).await;
        let letters = service.letters(2).await;
        for (letter, id) in letters.iter().zip([&second, &third]) {
            assert_eq!(
                (&letter["id"], &letter["kind"], &letter["key"]),
                (&id.as_str().into(), &"invalid".into(), &1.into())
            );
            assert_eq!((&letter["cause"], &letter["attempts"]), (&"Duplicate key, Product Id: 1".into(), &1.into()));
        }
        assert_eq!(service.get("/product/1").await.text(), shown(1, "first", &service));
        sandbox.delete(PRODUCTS, 1).await;
        sandbox.create(PRODUCTS, 1, product(1, "fourth")).await;
        service.shows("/product/1", &shown(1, "fourth", &service)).await;
        service.stop().await;
    }
}

#[tokio::test]
async fn deleting_what_is_not_there_is_fine() {
    for sandbox in Sandbox::on_each_database().await {
        let service = start(&sandbox).await;
        sandbox.delete(PRODUCTS, 1).await;
        sandbox.delete(PRODUCTS, -1).await;
        sandbox.settled().await;
        service.stop().await;
    }
}

#[tokio::test]
async fn what_no_product_may_be_is_refused_here_too() {
    for sandbox in Sandbox::on_each_database().await {
        let mut service = start(&sandbox).await;
        sandbox.create(PRODUCTS, 0, product(0, "n")).await;
        sandbox.create(PRODUCTS, -1, product(-1, "n")).await;
        sandbox.create(PRODUCTS, 1, Product { name: None, ..product(1, "") }).await;
        sandbox.create(PRODUCTS, 1, product(1, "")).await;
        service.shows("/product/1", &shown(1, "", &service)).await;
        let letters = service.letters(3).await;
        let of = |field: &str| letters.iter().map(|letter| letter[field].clone()).collect::<Vec<Value>>();
        assert_eq!(of("cause"), ["Invalid productId: 0", "Invalid productId: -1", "Invalid name: null"]);
        assert_eq!(of("kind"), ["invalid"; 3]);
        service.stop().await;
    }
}

#[tokio::test]
async fn what_is_no_event_is_a_letter_at_once_and_its_partition_flows_on() {
    for sandbox in Sandbox::on_each_database().await {
        let mut service = start(&sandbox).await;
        let bodies: [(&[u8], &str, Value); 9] = [
            (b"", "the message is empty", Value::Null),
            (b"{bad", "the message is no event: ", Value::Null),
            (b"\xff\xfe", "the message is no event: ", Value::Null),
            (br#""CREATE""#, "the message is no event: ", Value::Null),
            (br#"["CREATE",1,{"productId":1,"name":"n"},null]"#, "the message is no event: ", Value::Null),
            (br#"{"eventType":"UPDATE","key":1,"data":null}"#, "unknown eventType \"UPDATE\"", 1.into()),
            (br#"{"eventType":"CREATE","key":1,"data":null}"#, "the event has no data", 1.into()),
            (br#"{"eventType":"CREATE","key":1,"data":[1,"n",1,null]}"#, "the message is no event: ", 1.into()),
            (br#"{"eventType":"CREATE","key":1,"data":{"productId":"x"}}"#, "the message is no event: ", 1.into()),
        ];
        for (body, _, _) in &bodies {
            sandbox.publish(PRODUCTS, 1, *body).await;
        }
        sandbox.create(PRODUCTS, 1, product(1, "after")).await;
        service.shows("/product/1", &shown(1, "after", &service)).await;
        let letters = service.letters(bodies.len()).await;
        for ((body, cause, key), letter) in bodies.iter().zip(letters) {
            let found = letter["cause"].as_str().unwrap();
            assert!(found.contains(cause), "{} gave {found}", String::from_utf8_lossy(body));
            assert_eq!((&letter["kind"], &letter["attempts"], &letter["key"]), (&"invalid".into(), &1.into(), key));
        }
        service.stop().await;
    }
}

#[tokio::test]
async fn events_that_java_wrote_take_effect() {
    for sandbox in Sandbox::on_each_database().await {
        let service = start(&sandbox).await;
        let third_edition = r#"{"eventType":"CREATE","key":424242,"data":{"productId":424242,"name":"n","weight":1,"serviceAddress":null},"eventCreatedAt":"2026-11-23T07:19:34.394747869Z"}"#;
        let first_edition = r#"{"eventType":"CREATE","key":1,"data":{"productId":1,"name":"n","weight":2,"serviceAddress":null},"eventCreatedAt":"2020-08-11T14:23:45.123456"}"#;
        sandbox.publish(PRODUCTS, 424_242, third_edition).await;
        sandbox.publish(PRODUCTS, 1, first_edition).await;
        let shown = |id: i32, weight: i32| {
            let address = &service.address;
            format!(r#"{{"productId":{id},"name":"n","weight":{weight},"serviceAddress":"{address}"}}"#)
        };
        service.shows("/product/424242", &shown(424_242, 1)).await;
        service.shows("/product/1", &shown(1, 2)).await;
        let deleted =
            r#"{"eventType":"DELETE","key":424242,"data":null,"eventCreatedAt":"2026-11-23T07:20:10.89104123Z"}"#;
        sandbox.publish(PRODUCTS, 424_242, deleted).await;
        service.answers("/product/424242", 404).await;
        service.stop().await;
    }
}
