//! Reading without a service, where the binder's own promises are meant.

use crate::lab::{World, consuming, producing, saying};
use shared::messaging::{Binder, Consumer, Outgoing, Partition, Received};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tokio::task::{JoinHandle, JoinSet};

/// What marks the end of a partition for [`World::drain`].
const END: &str = "the end";

impl World {
    /// Reads and settles as a new member of `group` everything that stands in `destination` now, by partition.
    pub(crate) async fn drain(&self, destination: &str, group: &str, partitions: u32) -> BTreeMap<u32, Vec<Received>> {
        let binder = self.binder().await;
        let producer = binder.producer(&[producing(destination, partitions, &[group])]).await.unwrap();
        let mark = format!("{END} {}", uuid::Uuid::now_v7());
        let end = |partition: u32| Outgoing {
            destination: destination.to_owned(),
            ..saying(&mark, partition.cast_signed(), "")
        };
        producer.send((0..partitions).map(end).collect()).await.unwrap();
        let mut binding = consuming(group, partitions);
        binding.destination = destination.to_owned();
        let mut consumer = self.join(&*binder, &binding).await;
        let mut read = BTreeMap::new();
        while read.len() < partitions as usize {
            let mut partition = consumer.assigned().await.unwrap();
            let messages = to_the_end(&mut *partition, &mark).await;
            read.insert(partition.number(), (partition, messages));
        }
        let mut messages = BTreeMap::new();
        for (number, (partition, read)) in read {
            partition.release().await;
            messages.insert(number, read);
        }
        consumer.leave().await;
        messages
    }
}

async fn to_the_end(partition: &mut dyn Partition, mark: &str) -> Vec<Received> {
    let mut read = Vec::new();
    loop {
        let batch = partition.receive().await.unwrap().expect("the partition stays ours");
        let upto = batch.messages.last().unwrap().position;
        read.extend(batch.messages);
        partition.settle(upto).await.unwrap();
        if read.last().is_some_and(|last| last.id == mark) {
            read.retain(|message| !message.id.starts_with(END));
            return read;
        }
    }
}

/// Joins [`THINGS`](crate::lab::THINGS) and takes its first partition.
pub(crate) async fn only_partition(
    world: &World,
    binder: &dyn Binder,
    group: &str,
    batch: u32,
) -> (Box<dyn Consumer>, Box<dyn Partition>) {
    let mut binding = consuming(group, 1);
    binding.batch = batch;
    let mut consumer = world.join(binder, &binding).await;
    let partition = consumer.assigned().await.unwrap();
    (consumer, partition)
}

/// Reads and settles the next `count` messages, and none behind them.
pub(crate) async fn take(partition: &mut dyn Partition, count: usize) -> Vec<Received> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let mut batch = partition.receive().await.unwrap().expect("the partition stays ours");
        batch.messages.truncate(count - taken.len());
        partition.settle(batch.messages.last().unwrap().position).await.unwrap();
        taken.append(&mut batch.messages);
    }
    taken
}

/// The ids of `messages`, in their order.
pub(crate) fn ids(messages: &[Received]) -> Vec<&str> {
    messages.iter().map(|message| message.id.as_str()).collect()
}

/// A member of a group that reads and settles whatever it gets.
pub(crate) struct Member {
    held: Arc<Mutex<BTreeSet<u32>>>,
    read: Arc<Mutex<Vec<(u32, String)>>>,
    task: JoinHandle<()>,
}

impl Member {
    pub(crate) async fn join(world: &World, binder: &dyn Binder, group: &str, partitions: u32) -> Self {
        let mut consumer = world.join(binder, &consuming(group, partitions)).await;
        let (held, read) = (Arc::<Mutex<BTreeSet<u32>>>::default(), Arc::<Mutex<Vec<(u32, String)>>>::default());
        let (ours, seen) = (held.clone(), read.clone());
        let task = tokio::spawn(async move {
            let mut partitions = JoinSet::new();
            loop {
                let partition = consumer.assigned().await.unwrap();
                assert!(ours.lock().unwrap().insert(partition.number()), "a partition is assigned once at a time");
                partitions.spawn(read_all(partition, ours.clone(), seen.clone()));
            }
        });
        Self { held, read, task }
    }

    /// The partitions that are its own now.
    pub(crate) fn held(&self) -> BTreeSet<u32> {
        self.held.lock().unwrap().clone()
    }

    /// What it has read: partitions and ids, in order.
    pub(crate) fn read(&self) -> Vec<(u32, String)> {
        self.read.lock().unwrap().clone()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read_all(
    mut partition: Box<dyn Partition>,
    held: Arc<Mutex<BTreeSet<u32>>>,
    read: Arc<Mutex<Vec<(u32, String)>>>,
) {
    let number = partition.number();
    while let Some(batch) = partition.receive().await.unwrap() {
        let upto = batch.messages.last().unwrap().position;
        read.lock().unwrap().extend(batch.messages.into_iter().map(|message| (number, message.id)));
        partition.settle(upto).await.unwrap();
    }
    held.lock().unwrap().remove(&number);
    partition.release().await;
}
