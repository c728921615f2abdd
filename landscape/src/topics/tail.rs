//! Messages as they come.

use super::{TailArgs, find};
use crate::output::{Out, plain};
use anyhow::bail;
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use shared::messaging::{Binder, Headers, Received};
use std::time::Duration;

/// The pause before the next look when nothing new is there.
const PAUSE: Duration = Duration::from_millis(50);

/// Writes one line a message, for ever.
pub(super) async fn follow(binder: &dyn Binder, args: &TailArgs, out: Out<'_>) -> anyhow::Result<()> {
    let topic = find(binder, &args.topic).await?;
    if let Some(wanted) = args.partition
        && topic.partitions.iter().all(|partition| partition.partition != wanted)
    {
        bail!("the topic {} has no partition {wanted}; it has {}, from 0", topic.name, topic.partitions.len());
    }
    let mut tail = binder.tail(&topic.name, args.partition, args.from_beginning).await?;
    loop {
        match tail.next().await? {
            Some((partition, message)) if args.json => writeln!(out, "{}", json(partition, &message)?)?,
            Some((partition, message)) => writeln!(out, "{}", line(partition, &message))?,
            None => {
                // What is buffered must be seen before the wait for more.
                out.flush()?;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Partition and offset, time and id, then the body.
fn line(partition: u32, message: &Received) -> String {
    let Received { id, position, body, .. } = message;
    let body = plain(&String::from_utf8_lossy(body));
    format!("{partition}/{}  {}  {}  {body}", position.0, time(message), plain(id))
}

fn json(partition: u32, message: &Received) -> serde_json::Result<String> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Line<'a> {
        partition: u32,
        offset: i64,
        timestamp: String,
        id: &'a str,
        headers: &'a Headers,
        #[serde(skip_serializing_if = "Option::is_none")]
        body: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        body_base64: Option<String>,
    }
    let (body, body_base64) = match std::str::from_utf8(&message.body) {
        Ok(text) => (Some(serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))), None),
        Err(_) => (None, Some(BASE64_STANDARD.encode(&message.body))),
    };
    let (offset, timestamp) = (message.position.0, time(message));
    let line = Line { partition, offset, timestamp, id: &message.id, headers: &message.headers, body, body_base64 };
    serde_json::to_string(&line)
}

fn time(message: &Received) -> String {
    // A producer may have sent any number.
    Timestamp::from_millisecond(message.timestamp)
        .map_or_else(|_| message.timestamp.to_string(), |time| time.to_string())
}
