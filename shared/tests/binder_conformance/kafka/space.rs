//! The names that a trial has for itself, as an administrator sees them: all begin alike, since Kafka has nothing that
//! would keep trials apart.

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaResult;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use testkit::servers::Kafka;
use testkit::{SOON, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

/// How long the broker may take for an answer.
const ANSWER: Duration = Duration::from_secs(10);

type Admin = AdminClient<DefaultClientContext>;

/// The names that a trial has for itself.
#[derive(Debug, Clone)]
pub(crate) struct Space {
    name: String,
    /// Where binders come in: behind the network that can fail for some of them, if that is ours.
    brokers: String,
    /// Where the administrator comes in.
    direct: String,
}

/// A member of a group.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: String,
    /// The name of its binder.
    pub(crate) binder: String,
}

/// Its address in a text, for other processes.
impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name, self.brokers, self.direct)
    }
}

impl FromStr for Space {
    type Err = std::convert::Infallible;

    fn from_str(address: &str) -> Result<Self, Self::Err> {
        let mut words = address.split(' ').map(str::to_owned);
        let mut next = || words.next().unwrap();
        Ok(Self { name: next(), brokers: next(), direct: next() })
    }
}

impl Space {
    pub(crate) fn new(broker: &Kafka) -> Self {
        let direct = broker.bootstrap().to_owned();
        let brokers = broker.bootstrap_through_proxy().unwrap_or_else(|| direct.clone());
        Self { name: format!("test-{}", Uuid::new_v4().simple()), brokers, direct }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn brokers(&self) -> &str {
        &self.brokers
    }

    pub(crate) fn direct(&self) -> &str {
        &self.direct
    }

    /// The broker's name of a destination or a group.
    fn of(&self, name: &str) -> String {
        spaced(&self.name, name)
    }

    /// Waits until a group has members that share its partitions, and returns them.
    pub(crate) async fn until_consumed(&self, group: &str) -> Vec<Member> {
        let group = self.of(group);
        eventually(SOON, "a group with members", async || {
            let name = group.clone();
            let (state, members) = self.ask(move |admin| members(admin, &name)).await;
            if state == "Stable" && !members.is_empty() { Ok(members) } else { Err(state) }
        })
        .await
    }

    /// Lets a member leave its group, without asking it.
    pub(crate) async fn leave(&self, group: &str, member: &str) {
        let text = |text: &str| [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
        // LeaveGroup in its first version, 1 as the number of the answer, and a client without a name.
        let head = [0, 13, 0, 0, 0, 0, 0, 1, 0, 0];
        let request = [&head[..], &text(&self.of(group)), &text(member)].concat();
        let mut broker = TcpStream::connect(&self.direct).await.unwrap();
        broker.write_u32(request.len().try_into().unwrap()).await.unwrap();
        broker.write_all(&request).await.unwrap();
        let mut answer = [0; 10];
        broker.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, [0, 0, 0, 6, 0, 0, 0, 1, 0, 0], "the broker lets {member} leave {group}");
    }

    /// Removes all topics and groups. A group that still has members stays, and is in nobody's way.
    pub(crate) async fn remove(&self) {
        let topics = self.ask(|admin| {
            let topics = admin.inner().fetch_metadata(None, ANSWER)?;
            Ok(topics.topics().iter().map(|topic| topic.name().to_owned()).collect())
        });
        let groups = self.ask(|admin| {
            let groups = admin.inner().fetch_group_list(None, ANSWER)?;
            Ok(groups.groups().iter().map(|group| group.name().to_owned()).collect())
        });
        let (topics, groups): (Vec<String>, Vec<String>) = (topics.await, groups.await);
        // Those of dead letters have it in the middle of their names.
        let ours = |name: &&str| name.contains(&self.name);
        let topics: Vec<&str> = topics.iter().map(String::as_str).filter(ours).collect();
        let groups: Vec<&str> = groups.iter().map(String::as_str).filter(ours).collect();
        let (admin, options) = (self.admin(), AdminOptions::new());
        if !topics.is_empty() {
            admin.delete_topics(&topics, &options).await.unwrap();
        }
        if !groups.is_empty() {
            admin.delete_groups(&groups, &options).await.unwrap();
        }
    }

    /// What the broker says, asked in a thread that may wait.
    async fn ask<T: Send + 'static>(&self, question: impl FnOnce(&Admin) -> KafkaResult<T> + Send + 'static) -> T {
        let admin = self.admin();
        tokio::task::spawn_blocking(move || question(&admin)).await.unwrap().unwrap()
    }

    fn admin(&self) -> Admin {
        ClientConfig::new().set("bootstrap.servers", &self.direct).create().unwrap()
    }
}

/// How a group stands, and its members.
fn members(admin: &Admin, group: &str) -> KafkaResult<(String, Vec<Member>)> {
    let listed = admin.inner().fetch_group_list(Some(group), ANSWER)?;
    let Some(group) = listed.groups().iter().find(|listed| listed.name() == group) else {
        return Ok(("no group".to_owned(), Vec::new()));
    };
    let binder = |client: &str| client.split(' ').next().unwrap().to_owned();
    let members = group.members().iter().map(|at| Member { id: at.id().to_owned(), binder: binder(at.client_id()) });
    Ok((group.state().to_owned(), members.collect()))
}

/// A name in a space.
pub(super) fn spaced(space: &str, name: &str) -> String {
    format!("{space}.{name}")
}
