//! Messages that are few and heavy: the broker counts what it sends ahead, and does not weigh it.

use super::broker::Broker;
use crate::lab::{GROUP, World, saying};
use crate::reader::{ids, only_partition, take};
use shared::messaging::Outgoing;
use shared::messaging::rabbitmq::RabbitBinder;
use std::net::SocketAddr;
use std::time::Duration;
use testkit::{Proxy, SOON, eventually};
use tokio::time::timeout;

const MIB: usize = 1 << 20;
/// How many of them there are; as many as are sent ahead, if they are only counted.
const HEAVY: usize = 120;
/// How much a consumer and the sockets on the way to it may hold: some systems give a socket 32 MiB.
const MOST: u64 = 80 << 20;
/// Longer than a broker may be silent until a client takes it for gone.
const LONG: Duration = Duration::from_secs(6);

/// Light messages, then heavy ones.
async fn send(world: &World) -> Vec<String> {
    let producer = world.producer(1).await;
    let light = (0..100).map(|n| saying(&format!("light {n}"), 1, "{}"));
    let heavy = (0..HEAVY).map(|n| saying(&format!("heavy {n}"), 1, vec![b' '; MIB]));
    let messages: Vec<Outgoing> = light.chain(heavy).collect();
    let ids = messages.iter().map(|message| message.id.clone()).collect();
    for some in messages.chunks(20) {
        producer.send(some.to_vec()).await.unwrap();
    }
    ids
}

/// The binder behind a network that counts what the broker says.
async fn behind_proxy(world: &World) -> (Proxy, RabbitBinder) {
    let broker = Broker::of(world);
    let mut url: reqwest::Url = broker.user().await.parse().unwrap();
    let address = (url.host_str().unwrap(), url.port().unwrap_or(5672));
    let server: SocketAddr = tokio::net::lookup_host(address).await.unwrap().next().unwrap();
    let proxy = Proxy::start(server);
    url.set_host(Some("127.0.0.1")).unwrap();
    url.set_port(Some(proxy.address().port())).unwrap();
    let binder = RabbitBinder::open(url.as_str().parse().unwrap(), Some(broker.management()), "heavy").unwrap();
    (proxy, binder)
}

pub(crate) async fn what_weighs_too_much_to_be_in_hand_stays_with_the_broker(world: &World) {
    let (proxy, binder) = behind_proxy(world).await;
    let sent = send(world).await;
    let (_consumer, mut partition) = only_partition(world, &binder, GROUP, 500).await;
    // With nothing settled nothing more is read, and nobody takes the other for gone.
    let lost = timeout(LONG, partition.lost()).await;
    assert!(lost.is_err(), "the partition was lost");
    assert!(proxy.said() < MOST, "{} bytes", proxy.said());
    // All of it comes, and the limit is no end: there is as much in hand once more, on the same connection.
    assert_eq!(ids(&take(&mut *partition, sent.len()).await), sent);
    let again = send(world).await;
    assert!(timeout(LONG, partition.lost()).await.is_err(), "the partition was lost");
    assert!(proxy.said() < (HEAVY * MIB) as u64 + MOST, "{} bytes", proxy.said());
    assert_eq!(ids(&take(&mut *partition, again.len()).await), again);
}

pub(crate) async fn what_weighs_too_much_holds_up_neither_a_release_nor_the_next_owner(world: &World) {
    let (proxy, binder) = behind_proxy(world).await;
    let sent = send(world).await;
    let (mut consumer, mut partition) = only_partition(world, &binder, GROUP, 500).await;
    assert_eq!(ids(&take(&mut *partition, 1).await), sent[..1]);
    eventually(SOON, "as much in hand as there is room for", async || {
        let said = proxy.said();
        if said > 16 << 20 { Ok(()) } else { Err(format!("{said} bytes")) }
    })
    .await;
    timeout(SOON, partition.release()).await.expect("an answer of the broker");
    let mut partition = timeout(SOON, consumer.assigned()).await.expect("the partition again").unwrap();
    assert_eq!(ids(&take(&mut *partition, sent.len() - 1).await), sent[1..]);
}

pub(crate) async fn what_is_in_hand_of_a_connection_that_is_gone_holds_up_no_other(world: &World) {
    let (proxy, binder) = behind_proxy(world).await;
    send(world).await;
    let (_consumer, partition) = only_partition(world, &binder, GROUP, 500).await;
    eventually(SOON, "as much in hand as there is room for", async || {
        let said = proxy.said();
        if said > 16 << 20 { Ok(()) } else { Err(format!("{said} bytes")) }
    })
    .await;
    proxy.cut("");
    timeout(SOON, partition.lost()).await.expect("the loss is noticed");
    // Nothing of it is settled or given back, as by a worker whose database does not answer.
    let other = timeout(SOON, only_partition(world, &binder, "otherGroup", 500)).await;
    other.expect("a partition on the next connection");
    drop(partition);
}
