//! What the registry takes in, and what it forgets.

use crate::lab::{ask, hash, instance, register, registry};
use eureka_server::settings::Settings;
use reqwest::Method;

#[tokio::test]
async fn a_full_registry_says_so_and_goes_on() {
    let registry = registry(Settings { max_instances: 100, ..Settings::default() }).await;
    for n in 0..100 {
        register(&registry, &format!("APP{n}"), "1").await;
    }
    for n in 100..110 {
        let answer =
            registry.post(&format!("/eureka/apps/APP{n}"), instance(&format!("APP{n}"), "1").to_string()).await;
        assert_eq!(answer.status, 429);
        assert!(answer.text().contains("MAX_INSTANCES"), "{answer:?}");
    }
    assert_eq!(hash(&registry).await, "UP_100_");
    assert_eq!(ask(&registry, Method::PUT, "/eureka/apps/APP0/1").await.status, 200);
    assert_eq!(ask(&registry, Method::DELETE, "/eureka/apps/APP0/1").await.status, 200);
    register(&registry, "APP100", "1").await;
    let greedy = format!("/eureka/apps/APP1/1/metadata?k={}", "v".repeat(60_000));
    let mut codes = Vec::new();
    for n in 0..4 {
        codes.push(ask(&registry, Method::PUT, &greedy.replace("?k", &format!("?k{n}"))).await.status);
    }
    assert_eq!(codes, [200, 200, 429, 429]);
    registry.stop().await;
}
