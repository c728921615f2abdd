use super::*;
use crate::messaging::Headers;
use crate::messaging::Outgoing;
use crate::messaging::kafka::link::Clients;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::oneshot;

const TOPIC: &str = "things";
/// So large that it goes by itself, while the next are on their way behind it.
const LARGE: usize = 1 << 20;

/// Brokers that know one topic, and how things stand with them.
async fn brokers() -> (MockCluster<'static, rdkafka::producer::DefaultProducerContext>, Link) {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    cluster.broker_round_trip_time(1, Duration::from_millis(20)).unwrap();
    let link = Link::start(Clients::new(cluster.bootstrap_servers().parse().unwrap(), "test")).unwrap();
    link.first_up().await.unwrap();
    (cluster, link)
}

fn request(name: &str, sizes: &[usize]) -> (Request, oneshot::Receiver<Result<(), Unsent>>) {
    let record = |(at, size): (usize, &usize)| {
        let (destination, id, body) = (TOPIC.to_owned(), format!("{name} {at}"), vec![b' '; *size].into());
        Record::event(Outgoing { destination, id, key: 1, headers: Headers::new(), body }, 1)
    };
    let (answer, answered) = oneshot::channel();
    (Request { records: sizes.iter().enumerate().map(record).collect(), answer }, answered)
}

/// How long the records are that stand in the topic.
fn stands(link: &Link) -> Vec<usize> {
    let mut config = link.clients().client("reader");
    config.set("group.id", "readers").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut all = TopicPartitionList::new();
    all.add_partition_offset(TOPIC, 0, Offset::Beginning).unwrap();
    consumer.assign(&all).unwrap();
    let records = std::iter::from_fn(|| consumer.poll(Duration::from_secs(20)).expect("an answer").ok());
    records.map(|record| record.payload_len()).filter(|length| *length > 0).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_without_a_fault_of_anybodys_is_sent_again() {
    let (cluster, link) = brokers().await;
    let (request, answered) = request("a", &[LARGE, 1, 2, 3]);
    // As a broker does that knows of the partition, and has not opened it. These refuse what follows, too.
    cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION]);
    let sending = link.clone();
    tokio::task::spawn_blocking(move || Transactions::new(sending).publish(vec![request])).await.unwrap();
    let answer = answered.await.unwrap();
    let stands = stands(&link);
    assert!(answer.is_ok(), "{answer:?}");
    // What was taken back stands before it, and nobody is to read it.
    assert!(stands.ends_with(&[LARGE, 1, 2, 3]), "{stands:?}");
}
