//! A load that goes on while a broker is away, and knows what was promised to it; and one that shows who works.

use crate::lab::{SOON, World, thing};
use crate::service::{Service, Setup};
use shared::messaging::{Binder, BinderError, Producer};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use testkit::eventually;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How soon health says that the broker has gone, or is back.
pub(crate) const NOTICED: Duration = Duration::from_secs(10);
/// How long a send may take, whatever happens to the broker: behind one that takes as long as it may, and as long itself.
pub(crate) const ANSWERED: Duration = Duration::from_secs(40);

/// Waits until health says this; returns what it says besides.
pub(crate) async fn until_health(binder: &dyn Binder, limit: Duration, up: bool) -> String {
    eventually(limit, if up { "health that is up" } else { "health that is down" }, async || {
        let health = binder.health().await;
        let said = format!("{:?}", health.details);
        if health.up == up { Ok(said) } else { Err(said) }
    })
    .await
}

/// Clients that send one event after the other, each with a key of its own.
pub(crate) struct Load {
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
    pub(crate) fn start(producer: &Arc<dyn Producer>) -> Self {
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

    /// Stops, and waits until all that was promised has taken effect, once and in order; returns how many sends failed.
    pub(crate) async fn check(self, world: &World) -> usize {
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

/// Waits for more effects than these.
pub(crate) async fn effects_beyond(world: &World, count: usize) {
    eventually(SOON, &format!("more than {count} effects"), async || match world.effects().await.len() {
        now if now > count => Ok(()),
        now => Err(now),
    })
    .await;
}

/// Sends the next event of the keys 0 and 1, each in the partition of its number, and waits until both have taken
/// effect.
pub(crate) async fn both_work(world: &World, producer: &dyn Producer, seq: i64) {
    producer.send(vec![thing(0, seq), thing(1, seq)]).await.unwrap();
    let expected: Vec<i64> = (1..=seq).collect();
    eventually(SOON, &format!("event {seq} of both partitions"), async || {
        let by_key = world.effects_by_key().await;
        if [0, 1].iter().all(|key| by_key.get(key) == Some(&expected)) { Ok(()) } else { Err(format!("{by_key:?}")) }
    })
    .await;
}

/// Whether a service has met an event of this key and number.
pub(crate) fn met(service: &Service, key: i32, seq: i64) -> bool {
    !service.tries(&format!("{key}-{seq}")).is_empty()
}

/// Cuts connections again and again while two instances work, and checks; returns how many sends failed.
pub(crate) async fn cuts_under_load(world: &World, cut: impl AsyncFn()) -> usize {
    let producer: Arc<dyn Producer> = world.producer(2).await.into();
    let service = async || world.start(Setup { partitions: 2, ..Setup::default() }).await;
    let (first, second) = (service().await, service().await);
    let load = Load::start(&producer);
    for _ in 0..5 {
        // Work goes on between the cuts.
        let before = world.effects().await.len();
        effects_beyond(world, before + 50).await;
        cut().await;
    }
    let before = world.effects().await.len();
    effects_beyond(world, before + 50).await;
    let failed = load.check(world).await;
    first.stop().await;
    second.stop().await;
    failed
}
