//! Partitions that have just been made: a broker names their leader before it takes records for them.

use super::raw::Raw;
use super::space::Space;
use crate::lab::{GROUP, World, producing, saying};
use shared::messaging::Binder;
use shared::messaging::kafka::KafkaBinder;
use testkit::servers;
use uuid::Uuid;

/// So large that it goes by itself, with the next ones on their way behind it.
const LARGE: usize = 1 << 20;

pub(crate) async fn what_is_refused_is_not_taken_for_sent_since_what_follows_was_taken(world: &World) {
    let (broker, raw) = (servers::kafka().await.unwrap(), Raw::of(world));
    let (space, name) = (world.address().parse::<Space>().unwrap(), Uuid::new_v4().simple().to_string());
    let binder = KafkaBinder::open(space.brokers().parse().unwrap(), &name).unwrap();
    let topic = raw.name("fresh");
    let producer = binder.producer(&[producing(&topic, 1, &[GROUP])]).await.unwrap();
    broker.proxy().unwrap().refuse(&format!("{name} publisher"));
    let bodies = [LARGE, 1, 2, 3];
    let message = |(at, size): (usize, usize)| {
        let message = saying(&format!("{at}"), 1, vec![b' '; size]);
        shared::messaging::Outgoing { destination: topic.clone(), ..message }
    };
    producer.send(bodies.into_iter().enumerate().map(message).collect()).await.unwrap();
    let records = raw.records(&topic).await;
    let stands: Vec<usize> = records.iter().map(|record| record.value.as_ref().unwrap().len()).collect();
    assert_eq!(stands, bodies);
}
