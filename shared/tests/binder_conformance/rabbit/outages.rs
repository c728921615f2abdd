//! Brokers that are away, in each way. What a send has promised is kept.

use super::broker::Broker;
use crate::lab::{GROUP, SOON, THINGS, World, producing, saying};
use crate::load::{ANSWERED, Load, NOTICED, cuts_under_load, effects_beyond, until_health};
use crate::service::Setup;
use shared::messaging::rabbitmq::RabbitBinder;
use shared::messaging::{Binder, BinderError, Producer};
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::servers::{Own, RabbitMq};
use testkit::{Nobody, eventually};
use tokio::time::timeout;

pub(crate) async fn connections_that_are_cut_under_load_cost_no_promised_event(world: &World) {
    let broker = Broker::of(world);
    let failed = cuts_under_load(world, async || broker.cut().await).await;
    assert!(failed > 0, "no send met a cut, which proves little");
}

pub(crate) async fn a_broker_that_is_frozen_and_killed_under_load_costs_no_promised_event(world: &World) {
    let own = Own::<RabbitMq>::rabbitmq().await.unwrap();
    own.start().await;
    let world = &world.beside(&Broker::from(own.server.vhost().await).to_string()).await;
    let binder = world.binder().await;
    let producer: Arc<dyn Producer> = binder.producer(&[producing(THINGS, 2, &[GROUP])]).await.unwrap().into();
    let service = async || world.start(Setup { partitions: 2, ..Setup::default() }).await;
    let (first, second) = (service().await, service().await);
    let load = Load::start(&producer);
    effects_beyond(world, 100).await;

    own.freeze().await;
    until_health(&*binder, NOTICED, false).await;
    own.thaw().await;
    until_health(&*binder, NOTICED, true).await;
    let before = world.effects().await.len();
    effects_beyond(world, before + 100).await;

    own.kill().await;
    let said = until_health(&*binder, NOTICED, false).await;
    assert!(said.contains("RabbitMQ") || said.contains("RABBITMQ_URL"), "{said}");
    own.start().await;
    until_health(&*binder, NOTICED, true).await;
    let before = world.effects().await.len();
    effects_beyond(world, before + 100).await;
    let failed = load.check(world).await;
    first.stop().await;
    second.stop().await;
    assert!(failed > 0, "no send met an outage, which proves little");
}

pub(crate) async fn a_broker_that_blocks_is_not_waited_for_and_gets_nothing_afterwards(world: &World) {
    let own = Own::<RabbitMq>::rabbitmq().await.unwrap();
    own.start().await;
    let world = &world.beside(&Broker::from(own.server.vhost().await).to_string()).await;
    let binder = world.binder().await;
    let producer = binder.producer(&[producing(THINGS, 1, &[GROUP])]).await.unwrap();
    let send = async |id: &str| {
        let start = Instant::now();
        let sent = timeout(ANSWERED, producer.send(vec![saying(id, 1, "{}")])).await.expect("a send is answered");
        (sent, start.elapsed())
    };
    own.control(&["set_vm_memory_high_watermark", "absolute", "1MB"]).await;
    let mut promised = Vec::new();
    loop {
        let id = format!("before {}", promised.len());
        match send(&id).await {
            (Ok(()), _) => promised.push(id),
            (Err(error), after) => {
                assert!(matches!(error, BinderError::Unavailable { .. }), "{error:?}");
                assert!(after < Duration::from_secs(2), "the first answer took {after:?}");
                break;
            }
        }
    }
    let said = until_health(&*binder, NOTICED, false).await;
    assert!(said.contains("takes no messages"), "{said}");
    for at in 0..20 {
        let (refused, after) = send(&format!("meanwhile {at}")).await;
        assert!(matches!(refused, Err(BinderError::Unavailable { .. })), "{refused:?}");
        assert!(after < Duration::from_millis(200), "an answer took {after:?}");
    }
    own.control(&["set_vm_memory_high_watermark", "0.6"]).await;
    until_health(&*binder, NOTICED, true).await;
    let (sent, _) = send("afterwards").await;
    sent.unwrap();
    promised.push("afterwards".to_owned());
    let mut there = world.drain(THINGS, GROUP, 1).await.remove(&0).unwrap();
    // What was on its way when the broker blocked may be there: nobody was told that it is not.
    there.retain(|message| message.id != format!("before {}", promised.len() - 1));
    assert_eq!(crate::reader::ids(&there), promised);
}

pub(crate) async fn health_says_what_is_wrong_with_the_url_and_no_password(world: &World) {
    let broker = Broker::of(world);
    let (url, nobody) = (broker.url(), Nobody::new());
    let host = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let user = broker.admin();
    let wrong = [
        (format!("amqp://{user}:hush-hush@{host}/{}", broker.vhost()), "refused"),
        (format!("amqp://{user}:{}@{host}/no-such-host", url.password().unwrap()), "no-such-host"),
        (format!("amqp://{user}:hush-hush@no-such-name.invalid:5672/%2f"), "no-such-name.invalid"),
        (format!("amqp://{user}:hush-hush@{}/%2f", nobody.url.trim_start_matches("http://")), "refused"),
    ];
    for (url, says) in wrong {
        let password = url.split(['@']).next().unwrap().rsplit(':').next().unwrap();
        let binder = RabbitBinder::open(url.parse().unwrap(), None, "conformance").unwrap();
        let said = eventually(SOON, "a reason", async || {
            let health = binder.health().await;
            assert!(!health.up);
            let said = format!("{:?}", health.details);
            if said.contains("RABBITMQ_URL") { Ok(said) } else { Err(said) }
        })
        .await;
        assert!(said.to_lowercase().contains(says), "{says}: {said}");
        let refused = binder.producer(&[producing(THINGS, 1, &[GROUP])]).await.map(drop).unwrap_err();
        let refused = format!("{:#}", anyhow::Error::from(refused));
        assert!(refused.contains("RABBITMQ_URL"), "{refused}");
        for text in [said, refused] {
            assert!(!text.contains(password), "the password is told: {text}");
        }
    }
}
