//! Brokers that are away, in each way, and producers that die. What a send has promised is kept.

use super::raw::Raw;
use super::space::Space;
use crate::lab::{GROUP, SOON, THINGS, World, producing, thing};
use crate::load::{Load, NOTICED, cuts_under_load, effects_beyond, until_health};
use crate::service::Setup;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use shared::messaging::kafka::KafkaBinder;
use shared::messaging::{Binder, BinderError, Producer};
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::servers::{self, Kafka, Own};
use testkit::{Nobody, eventually};

pub(crate) async fn connections_that_are_cut_under_load_cost_no_promised_event(world: &World) {
    let space: Space = world.address().parse().unwrap();
    let proxy = servers::kafka().await.unwrap().proxy().expect("a network of ours");
    // Clients reconnect and send again by themselves: a cut need not be seen in any answer.
    cuts_under_load(world, async || proxy.cut(space.name())).await;
}

pub(crate) async fn a_broker_that_is_frozen_and_killed_under_load_costs_no_promised_event(world: &World) {
    let own = Own::<Kafka>::kafka().await.unwrap();
    own.start().await;
    let world = &world.beside(&Space::new(&own.server).to_string()).await;
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
    assert!(said.contains("KAFKA_BROKERS"), "{said}");
    own.start().await;
    until_health(&*binder, NOTICED, true).await;
    let before = world.effects().await.len();
    effects_beyond(world, before + 100).await;
    let failed = load.check(world).await;
    first.stop().await;
    second.stop().await;
    assert!(failed > 0, "no send met an outage, which proves little");
}

pub(crate) async fn a_producer_that_dies_in_a_transaction_does_not_hold_readers_for_long(world: &World) {
    let raw = Raw::of(world);
    let producer = world.producer(1).await;
    let service = world.start(Setup::default()).await;
    // As one of our own would that is killed between sending and committing.
    let dying: BaseProducer = raw
        .config()
        .set("transactional.id", raw.name("dying"))
        .set("transaction.timeout.ms", "5000")
        .set("socket.timeout.ms", "5000")
        .create()
        .unwrap();
    let topic = raw.name(THINGS);
    let dead = thing(9, 1).body;
    let died = tokio::task::spawn_blocking(move || {
        dying.init_transactions(SOON).unwrap();
        dying.begin_transaction().unwrap();
        dying.send(BaseRecord::<(), [u8]>::to(&topic).partition(0).payload(&dead)).map_err(|(error, _)| error).unwrap();
        while dying.in_flight_count() > 0 {
            dying.poll(Duration::from_millis(10));
        }
        Instant::now()
    });
    let died = died.await.unwrap();
    producer.send(vec![thing(1, 1)]).await.unwrap();
    world.until_applied(&["1-1"]).await;
    assert!(died.elapsed() < Duration::from_secs(15), "the reader waited for {:?}", died.elapsed());
    world.until_settled().await;
    service.stop().await;
    assert!(world.letters().await.is_empty(), "what was not committed is not read");
}

pub(crate) async fn health_says_what_is_wrong_with_the_brokers(_: &World) {
    let nobody = Nobody::new();
    for brokers in ["no-such-name.invalid:9092", nobody.url.trim_start_matches("http://")] {
        let binder = KafkaBinder::open(brokers.parse().unwrap(), "conformance").unwrap();
        let said = eventually(SOON, "a reason", async || {
            let health = binder.health().await;
            assert!(!health.up);
            let said = format!("{:?}", health.details);
            if said.contains("KAFKA_BROKERS") { Ok(said) } else { Err(said) }
        })
        .await;
        assert!(said.contains(brokers), "{said}");
        let refused = binder.producer(&[producing(THINGS, 1, &[GROUP])]).await.map(drop).unwrap_err();
        assert!(matches!(refused, BinderError::Unavailable { .. }), "{refused:?}");
        let refused = format!("{:#}", anyhow::Error::from(refused));
        assert!(refused.contains("KAFKA_BROKERS") && refused.contains(brokers), "{refused}");
    }
}
