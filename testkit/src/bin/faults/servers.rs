//! The servers of a landscape, each behind a network and on a disk of its own that can fail.

use crate::journal::Journal;
use crate::plan::{BROKER, DATA, DATABASE};
use anyhow::{Context, Result, anyhow};
use clap::ValueEnum;
use jiff::Timestamp;
use reqwest::{Method, Url};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::servers::container::Container;
use testkit::servers::{Kafka, Own, Postgres, RabbitMq};
use testkit::verdict::{PLACES, Place};
use testkit::{Disk, Proxy, within};
use tokio::time::timeout;

/// How long a server may take until it answers again.
const START: Duration = Duration::from_secs(300);
/// How long one that starts is waited for before it is looked whether it has ended meanwhile.
const ATTEMPT: Duration = Duration::from_secs(15);
/// How long one that runs may keep silent, a start on a busy machine included: some never recover from a disk that was full.
const STUCK: Duration = Duration::from_secs(90);
/// The disks: more than a long run writes.
const BYTES: u64 = 8 << 30;

/// Where events travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Binder {
    Embedded,
    #[value(name = "rabbitmq")]
    RabbitMq,
    Kafka,
}

/// Where data is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

/// All servers of a run, and what its services share on the disk.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) broker: Option<Server>,
    pub(crate) database: Option<Server>,
    pub(crate) data: Option<Disk>,
    kind: Binder,
}

/// A server that is hit.
#[derive(Debug)]
pub(crate) struct Server {
    own: Any,
    /// Where the harness itself reaches it; unlike the services, past the proxy.
    direct: String,
    proxied: String,
    proxy: Option<Proxy>,
    disk: Option<Disk>,
    /// RabbitMQ's.
    management: Option<String>,
}

#[derive(Debug)]
enum Any {
    Postgres(Own<Postgres>),
    RabbitMq(Own<RabbitMq>),
    Kafka(Own<Kafka>),
}

impl Servers {
    /// Starts what `binder` and `database` need, in `folder`; on disks that can be full, if `small_disks`.
    pub(crate) async fn start(folder: &Path, binder: Binder, database: Database, small_disks: bool) -> Result<Self> {
        let disk = |name: &str| small_disks.then(|| mount(&folder.join(name))).transpose();
        let broker = match binder {
            Binder::Embedded => None,
            Binder::RabbitMq => Some(Server::rabbitmq(disk(BROKER)?).await?),
            Binder::Kafka => Some(Server::kafka(disk(BROKER)?).await?),
        };
        let database = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(Server::postgres(disk(DATABASE)?).await?),
        };
        let data = if broker.is_none() || database.is_none() { disk(DATA)? } else { None };
        Ok(Self { broker, database, data, kind: binder })
    }

    /// The names of those that there are.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let there = [(BROKER, self.broker.is_some()), (DATABASE, self.database.is_some())];
        there.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Server> {
        self.broker.iter().chain(&self.database)
    }

    pub(crate) fn server(&self, name: &str) -> Option<&Server> {
        if name == BROKER { self.broker.as_ref() } else { self.database.as_ref() }
    }

    /// The disk of a server, or of the services.
    pub(crate) fn disk(&self, name: &str) -> Option<&Disk> {
        if name == DATA { self.data.as_ref() } else { self.server(name)?.disk.as_ref() }
    }

    /// What a service named `core`, or one without a database, has to know, its way leading through the proxies; or,
    /// without them, what a look from outside has.
    pub(crate) fn variables(&self, core: &str, data: &Path, through_proxies: bool) -> Vec<(String, String)> {
        let at = |server: &Server| if through_proxies { server.proxied.clone() } else { server.direct.clone() };
        let mut variables = vec![("DATA_DIR", data.to_string_lossy().into_owned()), ("PARTITIONS", "2".to_owned())];
        match (self.kind, &self.broker) {
            (Binder::RabbitMq, Some(broker)) => {
                variables.extend([("BINDER", "rabbitmq".to_owned()), ("RABBITMQ_URL", at(broker))]);
                variables.extend(broker.management.clone().map(|url| ("RABBITMQ_MANAGEMENT_URL", url)));
            }
            (Binder::Kafka, Some(broker)) => {
                variables.extend([("BINDER", "kafka".to_owned()), ("KAFKA_BROKERS", at(broker))]);
            }
            _ => variables.push(("BINDER", "embedded".to_owned())),
        }
        if let Some(database) = &self.database {
            variables.push(("DATABASE_URL", format!("{}/{core}", at(database))));
        }
        variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Where the tables of `place` are, for one who is no service.
    pub(crate) fn tables(&self, place: &Place, data: &Path) -> String {
        match &self.database {
            Some(server) => format!("{}/{}", server.direct, place.service),
            None => format!("sqlite:{}", data.join(place.service).with_extension("db").display()),
        }
    }
}

impl Server {
    async fn postgres(disk: Option<Disk>) -> Result<Self> {
        let own = needed(Own::postgres_in(folder(&disk)).await, "PostgreSQL")?;
        own.start().await;
        for place in &PLACES {
            own.server.execute(&format!("CREATE DATABASE {}", place.service)).await;
        }
        let direct: Url = own.server.named("").parse()?;
        let proxy = Proxy::start(([127, 0, 0, 1], direct.port().unwrap_or(5432)).into());
        let text = |url: &Url| url.as_str().trim_end_matches('/').to_owned();
        let proxied = text(&at(&direct, proxy.address()));
        Ok(Self { own: Any::Postgres(own), direct: text(&direct), proxied, proxy: Some(proxy), disk, management: None })
    }

    async fn rabbitmq(disk: Option<Disk>) -> Result<Self> {
        let own = needed(Own::rabbitmq_in(folder(&disk)).await, "RabbitMQ")?;
        own.start().await;
        let vhost = own.server.vhost().await;
        // As the compose files bound them: nobody empties these queues.
        let policy =
            json!({"pattern": "[.]auditGroup", "apply-to": "queues", "definition": {"max-length-bytes": 64 << 20}});
        let audit = format!("operator-policies/{}/audit", vhost.name);
        own.server.manage(Method::PUT, &audit, policy).await.map_err(|error| anyhow!("RabbitMQ: {error}"))?;
        let direct: Url = vhost.url.parse()?;
        let proxy = Proxy::start(([127, 0, 0, 1], direct.port().unwrap_or(5672)).into());
        let proxied = at(&direct, proxy.address()).into();
        let management = Some(vhost.management);
        Ok(Self { own: Any::RabbitMq(own), direct: direct.into(), proxied, proxy: Some(proxy), disk, management })
    }

    async fn kafka(disk: Option<Disk>) -> Result<Self> {
        let own = needed(Own::kafka_in(folder(&disk)).await, "Kafka")?;
        own.start().await;
        let direct = own.server.bootstrap().to_owned();
        let proxied = own.server.bootstrap_through_proxy().context("Kafka has no proxy")?;
        // The broker itself has the proxy, for it tells its clients where that is.
        Ok(Self { own: Any::Kafka(own), direct, proxied, proxy: None, disk, management: None })
    }

    pub(crate) fn proxy(&self) -> Option<&Proxy> {
        match &self.own {
            Any::Kafka(own) => own.server.proxy(),
            _ => self.proxy.as_ref(),
        }
    }

    /// Does this to its container: `kill`, `pause`, `unpause`.
    pub(crate) async fn command(&self, what: &str) -> Result<()> {
        self.container().command(what).await.map_err(|error| anyhow!(error))
    }

    /// Stops or starts the application of RabbitMQ.
    pub(crate) async fn control(&self, what: &str) -> Result<()> {
        self.container().execute(&["rabbitmqctl", what]).await.map_err(|error| anyhow!(error))
    }

    /// Waits until it answers, and starts it as often as it ends meanwhile; some end when their disk is full. One that runs
    /// and does not answer any more is killed first, as whoever looks after it would do.
    pub(crate) async fn until_up(&self, journal: &Journal) -> Result<()> {
        let (name, mut since) = (self.name(), Instant::now());
        within(START, &format!("{name} answers"), async || {
            if since.elapsed() > STUCK {
                since = Instant::now();
                println!("{:.0} {name} does not come back by itself: it is killed and started again", Timestamp::now());
                journal.restarted(name).map_err(|error| format!("{error:#}"))?;
                self.container().command("kill").await?;
            }
            // One that runs stays as it is.
            self.container().command("start").await?;
            let answers = async {
                match &self.own {
                    Any::Postgres(own) => own.server.until_answered().await,
                    Any::RabbitMq(own) => own.server.until_answered().await,
                    Any::Kafka(own) => own.server.until_answered().await,
                }
            };
            timeout(ATTEMPT, answers).await.unwrap_or_else(|_| Err("no answer".to_owned()))
        })
        .await
    }

    fn name(&self) -> &'static str {
        match &self.own {
            Any::Postgres(_) => "PostgreSQL",
            Any::RabbitMq(_) => "RabbitMQ",
            Any::Kafka(_) => "Kafka",
        }
    }

    fn container(&self) -> &Container {
        match &self.own {
            Any::Postgres(own) => &own.container,
            Any::RabbitMq(own) => &own.container,
            Any::Kafka(own) => &own.container,
        }
    }
}

fn folder(disk: &Option<Disk>) -> Option<&Path> {
    disk.as_ref().map(Disk::folder)
}

fn needed<T>(server: Result<T, String>, name: &str) -> Result<T> {
    server.map_err(|reason| anyhow!("{name} is needed for this run, in a container: {reason}"))
}

/// The same URL at another place.
fn at(url: &Url, place: SocketAddr) -> Url {
    let mut url = url.clone();
    url.set_port(Some(place.port())).expect("a URL with a host");
    url
}

fn mount(folder: &Path) -> Result<Disk> {
    let mounted = Disk::mount(folder, BYTES);
    mounted.with_context(|| {
        format!(
            "no small file system can be mounted at {}; run it as root, or leave full-disk out of --kinds",
            folder.display()
        )
    })
}
