//! Records as they stand on the broker, without our binder: those of a trial and those that Java wrote.

use super::space::{Space, spaced};
use crate::lab::World;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

const ANSWER: Duration = Duration::from_secs(10);

/// A header as it stands there.
pub(crate) type RawHeader = (String, Option<Vec<u8>>);

/// A record as it stands there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RawRecord {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) headers: Vec<RawHeader>,
    pub(crate) value: Option<Vec<u8>>,
}

impl RawRecord {
    /// A record that says only what it is given.
    pub(crate) fn new(topic: &str, partition: i32, value: Option<&[u8]>) -> Self {
        let (topic, value) = (topic.to_owned(), value.map(<[u8]>::to_vec));
        Self { topic, partition, offset: 0, timestamp: 0, key: None, headers: Vec::new(), value }
    }

    pub(crate) fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), Some(value.as_ref().to_vec())));
        self
    }

    /// The last header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().rfind(|(header, _)| header == name).and_then(|(_, value)| value.as_deref())
    }
}

/// The broker, for who sends and reads as he likes.
pub(crate) struct Raw {
    config: ClientConfig,
    space: String,
}

impl Raw {
    pub(crate) fn of(world: &World) -> Self {
        let space: Space = world.address().parse().unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", space.direct()).set("message.max.bytes", "100000000");
        Self { config, space: space.name().to_owned() }
    }

    /// The broker's name of a destination or a group.
    pub(crate) fn name(&self, of: &str) -> String {
        spaced(&self.space, of)
    }

    /// The broker's name of the topic of dead letters.
    pub(crate) fn dead_letters(&self, destination: &str, group: &str) -> String {
        format!("error.{}.{}", self.name(destination), self.name(group))
    }

    pub(crate) fn config(&self) -> ClientConfig {
        self.config.clone()
    }

    pub(crate) fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config.create().unwrap()
    }

    /// Makes a topic, as somebody else would.
    pub(crate) async fn make(&self, topic: &str, partitions: i32, set: &[(&str, &str)]) {
        let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let topic = set.iter().fold(topic, |topic, (name, value)| topic.set(name, value));
        let made = self.admin().create_topics([&topic], &AdminOptions::new()).await.unwrap();
        assert!(made.iter().all(Result::is_ok), "{made:?}");
    }

    /// Removes a topic.
    pub(crate) async fn delete(&self, topic: &str) {
        let deleted = self.admin().delete_topics(&[topic], &AdminOptions::new()).await.unwrap();
        assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    }

    /// Sends records; the broker has them when this returns.
    pub(crate) async fn send(&self, records: &[RawRecord]) {
        let producer: FutureProducer = self.config.create().unwrap();
        for record in records {
            let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header { key, value: value.as_deref() })
            });
            let mut next = FutureRecord::<[u8], [u8]>::to(&record.topic).partition(record.partition).headers(headers);
            (next.key, next.payload) = (record.key.as_deref(), record.value.as_deref());
            next.timestamp = (record.timestamp > 0).then_some(record.timestamp);
            producer.send(next, ANSWER).await.map_err(|(error, _)| error).unwrap();
        }
    }

    /// All committed records of a topic, by partition and offset.
    pub(crate) async fn records(&self, topic: &str) -> Vec<RawRecord> {
        let (mut config, topic) = (self.config.clone(), topic.to_owned());
        let read = move || {
            config.set("group.id", format!("{topic} raw")).set("enable.auto.commit", "false");
            config.set("enable.partition.eof", "true").set("isolation.level", "read_committed");
            let consumer: BaseConsumer = config.create().unwrap();
            let metadata = consumer.fetch_metadata(Some(&topic), ANSWER).unwrap();
            let uncommitted: BaseConsumer = config.clone().set("isolation.level", "read_uncommitted").create().unwrap();
            let mut all = TopicPartitionList::new();
            for partition in metadata.topics()[0].partitions() {
                // A commit is answered before all of it can be read.
                let end = |asking: &BaseConsumer| asking.fetch_watermarks(&topic, partition.id(), ANSWER).unwrap().1;
                let (written, since) = (end(&uncommitted), Instant::now());
                while end(&consumer) < written {
                    assert!(since.elapsed() < ANSWER, "partition {} of {topic} stays open", partition.id());
                    std::thread::sleep(Duration::from_millis(10));
                }
                all.add_partition_offset(&topic, partition.id(), Offset::Beginning).unwrap();
            }
            consumer.assign(&all).unwrap();
            let (mut records, mut open) = (Vec::new(), all.count());
            while open > 0 {
                match consumer.poll(ANSWER).expect("an answer") {
                    Ok(record) => records.push(raw(&record)),
                    Err(KafkaError::PartitionEOF(_)) => open -= 1,
                    Err(error) => panic!("{error}"),
                }
            }
            records.sort_by_key(|record| (record.partition, record.offset));
            records
        };
        tokio::task::spawn_blocking(read).await.unwrap()
    }
}

fn raw(record: &impl Message) -> RawRecord {
    let headers = record.headers().into_iter().flat_map(|headers| headers.iter());
    RawRecord {
        topic: record.topic().to_owned(),
        partition: record.partition(),
        offset: record.offset(),
        timestamp: record.timestamp().to_millis().unwrap(),
        key: record.key().map(<[u8]>::to_vec),
        headers: headers.map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect(),
        value: record.payload().map(<[u8]>::to_vec),
    }
}

/// The records that were captured from the landscape in Java.
pub(crate) fn captured() -> Vec<RawRecord> {
    include_str!("golden/records.txt").split("\n\n").filter(|text| !text.trim().is_empty()).map(capture).collect()
}

fn capture(text: &str) -> RawRecord {
    let mut lines = text.trim().lines();
    let head: Vec<&str> = lines.next().unwrap().split(' ').collect();
    let ["topic", topic, "partition", partition, "offset", offset, "key", "null", "timestamp", timestamp] = head[..]
    else {
        panic!("{head:?}")
    };
    let timestamp = timestamp.strip_prefix("CreateTime(").unwrap().strip_suffix(')').unwrap();
    let mut record = RawRecord::new(topic, partition.parse().unwrap(), None);
    (record.offset, record.timestamp) = (offset.parse().unwrap(), timestamp.parse().unwrap());
    for line in lines {
        let bytes = |text: &str| match text.split_once(' ').unwrap() {
            ("utf8", text) => serde_json::from_str::<String>(text).unwrap().into_bytes(),
            ("hex", digits) => {
                let digits = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
                digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
            }
            other => panic!("{other:?}"),
        };
        match line.trim().split_once(' ').unwrap() {
            ("header", header) => {
                let (name, value) = header.split_once(" = ").unwrap();
                record.headers.push((name.to_owned(), Some(bytes(value))));
            }
            ("value", value) => record.value = Some(bytes(value)),
            other => panic!("{other:?}"),
        }
    }
    record
}
