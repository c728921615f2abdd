//! One kind of broker, and the world that a trial has for itself.

use crate::child::{Child, Task};
use crate::scenarios::Scenario;
use crate::service::{self, Effect};
use async_trait::async_trait;
use shared::database::letters::{self, Content, Letter};
use shared::database::{Database, PoolConfig};
use shared::messaging::event::Event;
use shared::messaging::{
    Binder, Consumer, ConsumerBinding, DeadLetter, Headers, Outgoing, Producer, ProducerBinding, Topic,
};
use sqlx::{AnyConnection, Connection, Row};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use testkit::eventually;

/// The destination of all trials that need only one.
pub(crate) const THINGS: &str = "things";
/// The group of all trials that need only one.
pub(crate) const GROUP: &str = "thingsGroup";
/// How long what is to happen may take, on a busy machine too.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A kind of broker, as trials need it.
#[async_trait(?Send)]
pub(crate) trait Lab: Send + Sync + 'static {
    /// What the names of its trials begin with.
    fn name(&self) -> &'static str;

    /// Why its trials cannot run on this machine.
    fn absent(&self) -> Option<String> {
        None
    }

    /// Why this scenario is not promised on this kind of broker.
    fn exempt(&self, _scenario: &str) -> Option<&'static str> {
        None
    }

    /// What only this kind of broker promises.
    fn own_scenarios(&self) -> Vec<Scenario> {
        Vec::new()
    }

    /// How long a trial may take.
    fn limit(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// How long what is settled may take to be seen in the topics.
    fn settling(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether offsets count messages and nothing else.
    fn offsets_count_messages(&self) -> bool {
        true
    }

    /// Makes a space on the broker that is empty and used by nobody else; returns its address. What it needs on the
    /// disk may stand in `folder`, which is removed at the end.
    async fn space(&self, folder: &Path) -> String;

    /// Removes what stands on the broker, after the trial.
    async fn remove(&self, _address: &str) {}

    /// The URL of an empty database for the service, as it goes with this kind of broker.
    async fn database(&self, folder: &Path) -> String {
        format!("sqlite:{}", folder.join("service.db").display())
    }

    /// Opens the binder on a space, as one more process would.
    async fn binder(&self, address: &str) -> Arc<dyn Binder>;

    /// How many dead letters of [`GROUP`] stand on the broker, where closed ones do not stay.
    async fn copies(&self, _address: &str) -> Option<u64> {
        None
    }

    /// Makes everybody's partitions of a group free for others, while those who own them go on as if nothing were.
    async fn steal(&self, address: &str, binding: &ConsumerBinding);
}

/// An empty broker and an empty database, for one trial.
pub(crate) struct World {
    lab: Arc<dyn Lab>,
    address: String,
    _folder: Option<TempDir>,
    url: String,
    /// Where a trial looks, and where those who are no service meet; services open the database for themselves.
    pub(crate) database: Database,
}

impl World {
    pub(crate) async fn new(lab: Arc<dyn Lab>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = lab.space(folder.path()).await;
        let url = lab.database(folder.path()).await;
        Self { _folder: Some(folder), ..Self::at(lab, &address, &url).await }
    }

    /// A broker and a database that are there already.
    pub(crate) async fn at(lab: Arc<dyn Lab>, address: &str, database: &str) -> Self {
        let opened = open(database, PoolConfig::default().wait).await;
        Self { lab, address: address.to_owned(), _folder: None, url: database.to_owned(), database: opened }
    }

    /// This database beside another broker.
    pub(crate) async fn beside(&self, address: &str) -> Self {
        Self::at(self.lab.clone(), address, &self.url).await
    }

    /// Opens the binder anew.
    pub(crate) async fn binder(&self) -> Arc<dyn Binder> {
        self.lab.binder(&self.address).await
    }

    /// Where the space is, in the lab's terms.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Opens the service's database anew, to be given up on after `wait`.
    pub(crate) async fn database(&self, wait: Duration) -> Database {
        open(&self.url, wait).await
    }

    /// Takes the database from everybody else until the returned connection is closed.
    pub(crate) async fn lock_database(&self) -> AnyConnection {
        self.lock("BEGIN EXCLUSIVE", "BEGIN; LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE").await
    }

    /// Lets nobody write a letter until it is closed, and everybody read.
    pub(crate) async fn lock_letters(&self) -> AnyConnection {
        self.lock("BEGIN IMMEDIATE", "BEGIN; LOCK TABLE dead_letters IN EXCLUSIVE MODE").await
    }

    async fn lock(&self, sqlite: &'static str, postgres: &'static str) -> AnyConnection {
        let mut connection = AnyConnection::connect(&self.url).await.unwrap();
        let lock = if self.database.product() == "SQLite" { sqlite } else { postgres };
        sqlx::raw_sql(lock).execute(&mut connection).await.unwrap();
        connection
    }

    /// Joins a group of consumers, as soon as the broker can be reached.
    pub(crate) async fn join(&self, binder: &dyn Binder, binding: &ConsumerBinding) -> Box<dyn Consumer> {
        eventually(SOON, "a place in the group", async || binder.consumer(binding, &self.database).await).await
    }

    /// A producer for [`THINGS`] that lets [`GROUP`] miss nothing.
    pub(crate) async fn producer(&self, partitions: u32) -> Box<dyn Producer> {
        self.binder().await.producer(&[producing(THINGS, partitions, &[GROUP])]).await.unwrap()
    }

    /// Makes the partitions of [`GROUP`] free for others, while those who own them go on.
    pub(crate) async fn steal(&self, partitions: u32) {
        self.lab.steal(&self.address, &consuming(GROUP, partitions)).await;
    }

    /// The effects by key, each in its order.
    pub(crate) async fn effects_by_key(&self) -> BTreeMap<i32, Vec<i64>> {
        let mut by_key: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
        for effect in self.effects().await {
            by_key.entry(effect.key).or_default().push(effect.seq);
        }
        by_key
    }

    /// Starts another process on the same broker.
    pub(crate) fn child(&self, work: &str) -> Child {
        Task::start(self.lab.name(), &self.address, &self.url, work)
    }

    /// All effects, in their order.
    pub(crate) async fn effects(&self) -> Vec<Effect> {
        let rows = sqlx::query("SELECT key, seq, id FROM effects ORDER BY number");
        let rows = rows.fetch_all(self.database.readers()).await.unwrap();
        rows.iter().map(|row| Effect { key: row.get(0), seq: row.get(1), id: row.get(2) }).collect()
    }

    /// The ids of all effects, in their order.
    pub(crate) async fn applied(&self) -> Vec<String> {
        self.effects().await.into_iter().map(|effect| effect.id).collect()
    }

    /// Waits until these and no other events have taken effect, in this order.
    pub(crate) async fn until_applied(&self, ids: &[&str]) {
        eventually(SOON, &format!("the effects {ids:?}"), async || {
            let applied = self.applied().await;
            if applied == ids { Ok(()) } else { Err(format!("{applied:?}")) }
        })
        .await;
    }

    /// All open letters, in their order.
    pub(crate) async fn letters(&self) -> Vec<Letter> {
        letters::page(&self.database, 0, 10_000, None, None).await.unwrap()
    }

    /// The message that a letter was.
    pub(crate) async fn content(&self, letter: &Letter) -> Content {
        letters::content(&self.database, letter).await.unwrap()
    }

    /// Waits for this number of letters, each with the broker's copy.
    pub(crate) async fn until_letters(&self, count: usize) -> Vec<Letter> {
        eventually(SOON, &format!("{count} letters that wait"), async || {
            let letters = self.letters().await;
            let done = letters.len() == count && letters.iter().all(|letter| letter.state == "waiting");
            // Without the bodies, which may be large.
            let seen = || letters.iter().map(|letter| format!("{} {}", letter.id, letter.state)).collect::<Vec<_>>();
            if done { Ok(letters) } else { Err(format!("{:?}", seen())) }
        })
        .await
    }

    /// Waits until no letter is open, and none of them is on the broker where closed ones do not stay.
    pub(crate) async fn until_no_letters(&self) {
        self.until_letters(0).await;
        eventually(SOON, "no copies", async || match self.lab.copies(&self.address).await {
            None | Some(0) => Ok(()),
            Some(count) => Err(format!("{count} copies")),
        })
        .await;
    }

    /// What the inbox says of each event.
    pub(crate) async fn inbox(&self) -> BTreeMap<String, String> {
        let rows = sqlx::query("SELECT id, outcome FROM inbox").fetch_all(self.database.readers()).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// How many offsets there may be for so many messages, all told, in so many partitions.
    pub(crate) fn offsets(&self, messages: i64, partitions: usize) -> RangeInclusive<i64> {
        if self.lab.offsets_count_messages() || messages == 0 {
            return messages..=messages;
        }
        // Behind each message there may be the end of its transaction; in front, that of one whose messages are read.
        messages..=2 * messages + i64::try_from(partitions).unwrap()
    }

    /// Waits, where that takes time, until a group has so many messages of [`THINGS`] still to read.
    pub(crate) async fn until_lag(&self, group: &str, lag: i64) {
        let binder = self.binder().await;
        eventually(self.lab.settling(), &format!("a lag of {lag}"), async || {
            let lags = lags(&things(&*binder).await?, group);
            let now = lags.values().sum();
            if self.offsets(lag, lags.len()).contains(&now) { Ok(()) } else { Err(format!("a lag of {now}")) }
        })
        .await;
    }

    /// Waits until [`GROUP`] has settled everything.
    pub(crate) async fn until_settled(&self) {
        let binder = self.binder().await;
        eventually(SOON, "everything settled", async || {
            let lags = lags(&things(&*binder).await?, GROUP);
            if lags.values().all(|lag| *lag == 0) { Ok(()) } else { Err(format!("a lag of {lags:?}")) }
        })
        .await;
    }
}

/// The topic [`THINGS`].
async fn things(binder: &dyn Binder) -> Result<Topic, String> {
    let topics = binder.topics().await.map_err(|error| format!("{error:?}"))?;
    topics.into_iter().find(|topic| topic.name == THINGS).ok_or_else(|| "no such topic".to_owned())
}

/// How many offsets of each partition a group has still to read. Where it is not listed, it has read nothing yet.
pub(crate) fn lags(topic: &Topic, group: &str) -> BTreeMap<u32, i64> {
    let all = topic.partitions.iter().map(|at| (at.partition, at.end - at.first));
    let listed = topic.groups.iter().filter(|at| at.group == group).map(|at| (at.partition, at.lag));
    all.chain(listed).collect()
}

/// A binding that consumes [`THINGS`].
pub(crate) fn consuming(group: &str, partitions: u32) -> ConsumerBinding {
    ConsumerBinding {
        destination: THINGS.to_owned(),
        group: group.to_owned(),
        partitions,
        instance: None,
        takeover: true,
        batch: 100,
    }
}

/// A binding that produces.
pub(crate) fn producing(destination: &str, partitions: u32, groups: &[&str]) -> ProducerBinding {
    let required_groups = groups.iter().map(|&group| group.to_owned()).collect();
    ProducerBinding { destination: destination.to_owned(), partitions, required_groups }
}

/// The creation number `seq` of the thing `key`, known as `KEY-SEQ`.
pub(crate) fn thing(key: i32, seq: i64) -> Outgoing {
    valued(key, seq, "fine")
}

/// As [`thing`], with this value.
pub(crate) fn valued(key: i32, seq: i64, value: &str) -> Outgoing {
    let id = format!("{key}-{seq}");
    let data = service::Thing { id: id.clone(), seq, value: value.to_owned() };
    Event::Create { key, data }.to_message(THINGS, id, Headers::new()).unwrap()
}

/// A message that says whatever `body` is.
pub(crate) fn saying(id: &str, key: i32, body: impl Into<bytes::Bytes>) -> Outgoing {
    let destination = THINGS.to_owned();
    Outgoing { destination, id: id.to_owned(), key, headers: Headers::new(), body: body.into() }
}

/// A letter of the only partition, with a body of so many bytes.
pub(crate) fn dead_letter(id: &str, bytes: usize) -> DeadLetter {
    DeadLetter {
        id: id.to_owned(),
        destination: THINGS.to_owned(),
        group: GROUP.to_owned(),
        partition: 0,
        headers: Headers::new(),
        body: vec![b' '; bytes].into(),
        origin: Headers::new(),
        cause: "no luck".to_owned(),
        attempts: 1,
    }
}

pub(crate) async fn open(url: &str, wait: Duration) -> Database {
    Database::open(url, &PoolConfig { wait, ..PoolConfig::default() }, &service::TABLES).await.unwrap()
}
