//! The one writer of a process. Whoever waits is written together and committed together, so that concurrent sends
//! share a commit; a writer without anybody waiting writes one request at once, since nothing lingers here.

use super::log::{self, Log, Placed, TopicRow};
use crate::messaging::Outgoing;
use anyhow::anyhow;
use sqlx::{Connection, Row, SqliteConnection};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::{info, warn};

/// The most requests in one commit, and about the most bytes.
const WINDOW: usize = 512;
const WINDOW_BYTES: usize = 8 << 20;
/// How often other processes on the same file are looked for.
const POLL: Duration = Duration::from_millis(25);
/// How often old messages are forgotten, and how soon again while there are more; how many of a partition at a time,
/// which is how long senders wait for it.
const FORGET_EVERY: Duration = Duration::from_secs(5);
const FORGET_MORE: Duration = Duration::from_millis(50);
const FORGET_MOST: u32 = 2_000;

/// A handle to the writer. When the last is dropped, the writer ends.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    requests: mpsc::Sender<(Request, Reply)>,
    appended: watch::Receiver<()>,
    failing: Arc<AtomicBool>,
}

/// A topic as its users want it.
#[derive(Debug)]
pub(super) struct Declaration {
    pub(super) destination: String,
    pub(super) partitions: u32,
    /// Each group, and whether it holds the log.
    pub(super) groups: Vec<(bool, String)>,
    /// Whether a topic that stands already shall get this count of partitions.
    pub(super) decides: bool,
}

#[derive(Debug)]
enum Request {
    Append(Vec<Outgoing>),
    Settle { topic: i64, group: Arc<str>, partition: u32, offset: i64 },
    Declare(Declaration),
    Check,
}

type Reply = oneshot::Sender<Result<i64, Arc<sqlx::Error>>>;

impl Writer {
    /// Starts the writer and its watch over other processes.
    pub(super) fn start(log: Arc<Log>, retention: Duration) -> Self {
        let (requests, queue) = mpsc::channel(WINDOW);
        let (appended, watched) = watch::channel(());
        let failing = Arc::new(AtomicBool::new(false));
        let task = Task { log: log.clone(), connection: None, appended: appended.clone(), failing: failing.clone() };
        tokio::spawn(task.run(queue, retention));
        tokio::spawn(poll(log, appended));
        Self { requests, appended: watched, failing }
    }

    /// Returns when the messages are on the disk.
    pub(super) async fn append(&self, messages: Vec<Outgoing>) -> anyhow::Result<()> {
        self.ask(Request::Append(messages)).await.map(drop)
    }

    /// Settles everything before `offset`.
    pub(super) async fn settle(&self, topic: i64, group: &Arc<str>, partition: u32, offset: i64) -> anyhow::Result<()> {
        self.ask(Request::Settle { topic, group: group.clone(), partition, offset }).await.map(drop)
    }

    /// Makes what is declared; returns the id of the topic.
    pub(super) async fn declare(&self, declaration: Declaration) -> anyhow::Result<i64> {
        self.ask(Request::Declare(declaration)).await
    }

    /// Whether the log can be written. While the last write has failed, this tries one.
    pub(super) async fn check(&self) -> anyhow::Result<()> {
        if self.failing.load(Ordering::Relaxed) {
            self.ask(Request::Check).await?;
        }
        Ok(())
    }

    /// Changes whenever messages may have been appended, by whichever process.
    pub(super) fn appended(&self) -> watch::Receiver<()> {
        self.appended.clone()
    }

    async fn ask(&self, request: Request) -> anyhow::Result<i64> {
        let (reply, answer) = oneshot::channel();
        self.requests.send((request, reply)).await.map_err(|_| anyhow!("the writer has ended"))?;
        Ok(answer.await.map_err(|_| anyhow!("the writer has ended"))??)
    }
}

/// Tells the consumers of this process when another process has changed the log. Ends with them.
async fn poll(log: Arc<Log>, appended: watch::Sender<()>) {
    let mut connection: Option<SqliteConnection> = None;
    let mut version = 0_i64;
    while appended.receiver_count() > 0 {
        tokio::time::sleep(POLL).await;
        let mut open = match connection.take() {
            Some(open) => open,
            // A log that cannot be read says so where it is needed.
            None => match log.connect().await {
                Ok(open) => open,
                Err(_) => continue,
            },
        };
        let row = sqlx::query("PRAGMA data_version").fetch_one(&mut open).await;
        if let Ok(now) = row.and_then(|row| row.try_get(0)) {
            if std::mem::replace(&mut version, now) != now {
                appended.send_replace(());
            }
            connection = Some(open);
        }
    }
}

struct Task {
    log: Arc<Log>,
    connection: Option<SqliteConnection>,
    appended: watch::Sender<()>,
    failing: Arc<AtomicBool>,
}

impl Task {
    async fn run(mut self, mut queue: mpsc::Receiver<(Request, Reply)>, retention: Duration) {
        let mut forget = pin!(tokio::time::sleep(Duration::ZERO));
        let mut window = Vec::with_capacity(WINDOW);
        loop {
            tokio::select! {
                first = queue.recv() => match first {
                    Some(first) => window.push(first),
                    None => break,
                },
                () = &mut forget => {
                    let more = self.forget(retention).await;
                    forget.as_mut().reset(Instant::now() + if more { FORGET_MORE } else { FORGET_EVERY });
                    continue;
                }
            }
            let mut bytes = size(&window[0].0);
            while window.len() < WINDOW && bytes < WINDOW_BYTES {
                let Ok(next) = queue.try_recv() else { break };
                bytes += size(&next.0);
                window.push(next);
            }
            self.write(&mut window).await;
        }
        if let Some(connection) = self.connection.take() {
            // Closing folds the write-ahead log back into the file; without that, the next start does it.
            let _ = connection.close().await;
        }
    }

    /// Writes all requests of the window in one transaction and answers each.
    async fn write(&mut self, window: &mut Vec<(Request, Reply)>) {
        match self.transact(window).await {
            Ok(answers) => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    info!("the log can be written again");
                }
                if window.iter().any(|(request, _)| matches!(request, Request::Append(_))) {
                    self.appended.send_replace(());
                }
                for ((_, reply), answer) in window.drain(..).zip(answers) {
                    // Who asked may have left; what was written stays.
                    let _ = reply.send(Ok(answer));
                }
            }
            Err(error) => {
                // A connection that failed once is not trusted with the next window.
                self.connection = None;
                if !self.failing.swap(true, Ordering::Relaxed) {
                    warn!(%error, "the log cannot be written");
                }
                let error = Arc::new(error);
                for (_, reply) in window.drain(..) {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }

    async fn transact(&mut self, window: &[(Request, Reply)]) -> Result<Vec<i64>, sqlx::Error> {
        let connection = connection(&self.log, &mut self.connection).await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let mut answers = Vec::with_capacity(window.len());
        let mut topics = HashMap::new();
        let mut messages = Vec::new();
        for (request, _) in window {
            answers.push(match request {
                Request::Append(outgoing) => {
                    for message in outgoing {
                        let topic = count_now(&mut transaction, &mut topics, &message.destination).await?;
                        let partition = message.partition(topic.partitions);
                        messages.push(Placed { topic: topic.id, partition, message });
                    }
                    0
                }
                Request::Settle { topic, group, partition, offset } => {
                    log::settle(&mut transaction, *topic, group, *partition, *offset).await?;
                    0
                }
                Request::Declare(declaration) => declare(&mut transaction, declaration).await?,
                Request::Check => {
                    let written = sqlx::query("UPDATE partitions SET end_offset = end_offset");
                    written.execute(&mut *transaction).await?;
                    0
                }
            });
        }
        log::append(&mut transaction, &messages).await?;
        transaction.commit().await?;
        Ok(answers)
    }

    /// Forgets old messages, and tells whether there may be more of them.
    async fn forget(&mut self, retention: Duration) -> bool {
        let age = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        let before = jiff::Timestamp::now().as_millisecond().saturating_sub(age);
        let forgotten = async {
            let connection = connection(&self.log, &mut self.connection).await?;
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
            let rows = log::forget(&mut transaction, before, FORGET_MOST).await?;
            transaction.commit().await?;
            Ok::<_, sqlx::Error>(rows)
        };
        match forgotten.await {
            Ok(rows) => rows >= FORGET_MOST.into(),
            Err(error) => {
                self.connection = None;
                warn!(%error, "could not forget old messages; this is tried again later");
                false
            }
        }
    }
}

async fn connection<'a>(
    log: &Log,
    connection: &'a mut Option<SqliteConnection>,
) -> Result<&'a mut SqliteConnection, sqlx::Error> {
    let open = match connection.take() {
        Some(open) => open,
        None => log.connect().await?,
    };
    Ok(connection.insert(open))
}

/// The topic with the count of partitions that holds for this transaction.
async fn count_now(
    connection: &mut SqliteConnection,
    topics: &mut HashMap<String, TopicRow>,
    destination: &str,
) -> Result<TopicRow, sqlx::Error> {
    if let Some(topic) = topics.get(destination) {
        return Ok(*topic);
    }
    let mut topic = log::topic(connection, destination)
        .await?
        .ok_or_else(|| sqlx::Error::Configuration(format!("{destination} was never declared").into()))?;
    if topic.wanted != topic.partitions {
        let before = topic.partitions;
        topic.partitions = log::repartition(connection, topic).await?;
        if topic.partitions != before {
            info!(destination, partitions = topic.partitions, before, "the topic has a new count of partitions");
        }
    }
    topics.insert(destination.to_owned(), topic);
    Ok(topic)
}

async fn declare(connection: &mut SqliteConnection, declaration: &Declaration) -> Result<i64, sqlx::Error> {
    let Declaration { destination, partitions, groups, decides } = declaration;
    let topic = log::declare_topic(connection, destination, *partitions, *decides).await?;
    for (holds, name) in groups {
        log::declare_group(connection, topic.id, name, *holds).await?;
    }
    if *decides && topic.partitions != *partitions && log::repartition(connection, topic).await? != *partitions {
        let (wanted, now) = (partitions, topic.partitions);
        warn!(destination, wanted, now, "the new count of partitions holds once all groups have settled everything");
    }
    Ok(topic.id)
}

/// About how many bytes a request writes.
fn size(request: &Request) -> usize {
    match request {
        Request::Append(messages) => messages.iter().map(|message| message.body.len() + 200).sum(),
        _ => 100,
    }
}
