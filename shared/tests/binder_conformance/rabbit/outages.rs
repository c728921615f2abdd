//! Brokers that are away, in each way. What a send has promised is kept.

use super::broker::Broker;
use crate::lab::{GROUP, SOON, THINGS, World, producing, saying, thing};
use crate::service::Setup;
use shared::messaging::rabbitmq::RabbitBinder;
use shared::messaging::{Binder, BinderError, Producer};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::servers::{Own, RabbitMq};
use testkit::{Nobody, eventually};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How soon health says that the broker has gone, or is back.
const NOTICED: Duration = Duration::from_secs(10);
/// How long a send may take, whatever happens to the broker.
const ANSWERED: Duration = Duration::from_secs(15);

async fn until_health(binder: &dyn Binder, limit: Duration, up: bool) -> String {
    eventually(limit, if up { "health that is up" } else { "health that is down" }, async || {
        let health = binder.health().await;
        let said = format!("{:?}", health.details);
        if health.up == up { Ok(said) } else { Err(said) }
    })
    .await
}

/// Clients that send one event after the other, each with a key of its own.
struct Load {
    stop: CancellationToken,
    clients: JoinSet<Sent>,
}

/// What became of the events of a client.
struct Sent {
    key: i32,
    promised: Vec<i64>,
    failed: usize,
}

impl Load {
    fn start(producer: &Arc<dyn Producer>) -> Self {
        let stop = CancellationToken::new();
        let mut clients = JoinSet::new();
        for key in 0..4 {
            let (producer, stop) = (producer.clone(), stop.clone());
            clients.spawn(async move {
                let mut sent = Sent { key, promised: Vec::new(), failed: 0 };
                let mut seq = 0;
                // At a pace that the services keep up with.
                let mut pace = tokio::time::interval(Duration::from_millis(10));
                while !stop.is_cancelled() {
                    pace.tick().await;
                    seq += 1;
                    // Some insist on each event, others go on with the next.
                    let mut tries = if key % 2 == 0 { usize::MAX } else { 1 };
                    while tries > 0 {
                        tries -= 1;
                        let answer = timeout(ANSWERED, producer.send(vec![thing(key, seq)])).await;
                        match answer.expect("a send is answered") {
                            Ok(()) => {
                                sent.promised.push(seq);
                                break;
                            }
                            Err(error) => {
                                assert!(matches!(error, BinderError::Unavailable { .. }), "{error:?}");
                                sent.failed += 1;
                                tokio::time::sleep(Duration::from_millis(20)).await;
                            }
                        }
                    }
                }
                sent
            });
        }
        Self { stop, clients }
    }

    /// Stops, and waits until all that was promised has taken effect, once and in order.
    async fn check(self, world: &World) -> usize {
        self.stop.cancel();
        let sent = self.clients.join_all().await;
        world.until_settled().await;
        let effects: BTreeMap<i32, Vec<i64>> = world.effects_by_key().await;
        for Sent { key, promised, .. } in &sent {
            let seqs = &effects[key];
            assert!(seqs.is_sorted_by(|a, b| a < b), "key {key}: once, and in order: {seqs:?}");
            let lost: Vec<_> = promised.iter().filter(|seq| seqs.binary_search(seq).is_err()).collect();
            assert!(lost.is_empty(), "key {key}: promised and lost: {lost:?}");
        }
        assert!(world.letters().await.is_empty());
        sent.iter().map(|sent| sent.failed).sum()
    }
}

async fn effects_beyond(world: &World, count: usize) {
    eventually(SOON, &format!("more than {count} effects"), async || match world.effects().await.len() {
        now if now > count => Ok(()),
        now => Err(now),
    })
    .await;
}

pub(crate) async fn connections_that_are_cut_under_load_cost_no_promised_event(world: &World) {
    let broker = Broker::of(world);
    let producer: Arc<dyn Producer> = world.producer(2).await.into();
    let service = async || world.start(Setup { partitions: 2, ..Setup::default() }).await;
    let (first, second) = (service().await, service().await);
    let load = Load::start(&producer);
    for _ in 0..5 {
        // Work goes on between the cuts.
        let before = world.effects().await.len();
        effects_beyond(world, before + 50).await;
        broker.cut().await;
    }
    let before = world.effects().await.len();
    effects_beyond(world, before + 50).await;
    let failed = load.check(world).await;
    first.stop().await;
    second.stop().await;
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
