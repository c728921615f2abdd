//! RabbitMQ as its management API and a connection of our own show it.

use super::{ANSWER, Held, Look, Looks};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use reqwest::Client;
use serde_json::Value;
use std::collections::BTreeMap;
use testkit::verdict::PLACES;
use tokio::time::timeout;

const BROKER: &str = "amqp://guest:guest@127.0.0.1:5672/%2f";
const QUEUES: &str = "http://127.0.0.1:15672/api/queues/%2F";

/// What stands in the queues of the groups, and of their dead letters.
pub(super) async fn held(http: &Client) -> Result<Held, String> {
    // Asked of the queues themselves: the statistics are some seconds old.
    let url = format!("{QUEUES}?disable_stats=true&enable_queue_totals=true");
    let answer = async {
        let answer = http.get(url).basic_auth("guest", Some("guest")).send().await?;
        answer.error_for_status()?.json::<Vec<Value>>().await
    };
    let mut waiting = BTreeMap::new();
    for queue in answer.await.map_err(|error| format!("{error:?}"))? {
        let name = queue["name"].as_str().unwrap_or_default();
        if PLACES.iter().any(|place| name.contains(place.group)) {
            let messages = queue["messages"].as_u64().ok_or_else(|| format!("nothing is counted in {queue}"))?;
            waiting.insert(name.to_owned(), messages);
        }
    }
    let queues = 3 * PLACES.len();
    if waiting.len() != queues {
        return Err(format!("not {queues} queues: {waiting:?}"));
    }
    let dead = waiting.extract_if(.., |queue, _| queue.ends_with(".dlq")).map(|(_, count)| count).sum();
    Ok(Held { waiting, dead })
}

/// Looks on one connection, until it ends.
pub(super) async fn follow(mut looks: Looks<'_>) -> Option<()> {
    let connected = timeout(ANSWER, Connection::connect(BROKER, ConnectionProperties::default()));
    let connection = connected.await.ok()?.ok()?;
    let channel = timeout(ANSWER, connection.create_channel()).await.ok()?.ok()?;
    loop {
        let mut consumers = BTreeMap::new();
        for place in &PLACES {
            for partition in 0..2 {
                let queue = format!("{}.{}-{partition}", place.topic, place.group);
                let count = timeout(ANSWER, count_at(&channel, &queue)).await.ok()?.ok()?;
                consumers.insert(queue, count);
            }
        }
        let complete = consumers.values().all(|count| *count == 1);
        let idle = consumers.iter().filter(|(_, count)| **count == 0).map(|(queue, _)| queue.clone()).collect();
        looks.add(Look { consumers, complete, idle }).await;
    }
}

async fn count_at(channel: &Channel, queue: &str) -> lapin::Result<usize> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let found = channel.queue_declare(queue.into(), passive, FieldTable::default()).await?;
    Ok(found.consumer_count() as usize)
}
