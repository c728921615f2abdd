//! `landscape topics`: what stands on the broker. Looks only: nothing is consumed.

mod tail;

use crate::output::{Out, Table, until_closed};
use anyhow::bail;
use clap::{Args, Subcommand};
use shared::messaging::{Binder, Topic};
use std::io;

/// What to look at.
#[derive(Debug, Subcommand)]
pub enum TopicsCommand {
    /// List the topics
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Show the partitions of a topic, and how far each group has come
    Describe {
        /// Such as `products`
        topic: String,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Follow the messages of a topic until Ctrl-C
    Tail(TailArgs),
}

/// Which messages to follow.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Such as `products`
    topic: String,
    /// Only this partition
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    /// Start with the oldest message that is kept, instead of with the next
    #[arg(long)]
    from_beginning: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Writes to the standard output what `command` asks for.
pub async fn run(command: TopicsCommand, binder: &dyn Binder) -> anyhow::Result<()> {
    let mut out = io::stdout();
    until_closed(match command {
        TopicsCommand::List { json } => list(binder, json, &mut out).await,
        TopicsCommand::Describe { topic, json } => describe(binder, &topic, json, &mut out).await,
        TopicsCommand::Tail(args) => {
            tokio::select! {
                biased;
                interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Into::into),
                done = tail::follow(binder, &args, &mut out) => done,
            }
        }
    })
}

async fn list(binder: &dyn Binder, json: bool, out: Out<'_>) -> anyhow::Result<()> {
    let topics = binder.topics().await?;
    if json {
        for topic in &topics {
            writeln!(out, "{}", serde_json::to_string(topic)?)?;
        }
        return Ok(());
    }
    let rows = topics.iter().map(|topic| {
        let messages: i64 = topic.partitions.iter().map(|partition| partition.end - partition.first).sum();
        [topic.name.clone(), topic.partitions.len().to_string(), messages.to_string(), groups(topic).join(", ")]
    });
    Table::new(["TOPIC", "PARTITIONS", "MESSAGES", "GROUPS"]).write(out, &rows.collect::<Vec<_>>())?;
    Ok(())
}

async fn describe(binder: &dyn Binder, name: &str, json: bool, out: Out<'_>) -> anyhow::Result<()> {
    let topic = find(binder, name).await?;
    if json {
        writeln!(out, "{}", serde_json::to_string(&topic)?)?;
        return Ok(());
    }
    writeln!(out, "Topic: {}  PartitionCount: {}\n", topic.name, topic.partitions.len())?;
    let partitions =
        topic.partitions.iter().map(|at| [at.partition.to_string(), at.first.to_string(), at.end.to_string()]);
    Table::new(["PARTITION", "FIRST", "END"]).write(out, &partitions.collect::<Vec<_>>())?;
    if !topic.groups.is_empty() {
        writeln!(out)?;
        let groups = topic
            .groups
            .iter()
            .map(|at| [at.group.clone(), at.partition.to_string(), at.settled.to_string(), at.lag.to_string()]);
        Table::new(["GROUP", "PARTITION", "SETTLED", "LAG"]).write(out, &groups.collect::<Vec<_>>())?;
    }
    Ok(())
}

/// The topic of this name, or a sentence that says which there are.
async fn find(binder: &dyn Binder, name: &str) -> anyhow::Result<Topic> {
    let mut topics = binder.topics().await?;
    match topics.iter().position(|topic| topic.name == name) {
        Some(at) => Ok(topics.swap_remove(at)),
        None if topics.is_empty() => bail!("there is no topic {name:?}, nor any other yet"),
        None => {
            let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
            bail!("there is no topic {name:?}; there are {}", names.join(", "))
        }
    }
}

fn groups(topic: &Topic) -> Vec<&str> {
    let mut groups: Vec<&str> = topic.groups.iter().map(|group| group.group.as_str()).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

#[cfg(test)]
mod tests;
