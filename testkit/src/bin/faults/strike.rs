//! A landscape under load, what is done to it, and how long it takes to recover.

use crate::journal::{Journal, Struck};
use crate::letters;
use crate::plan::{BROKER, CLIENTS, COMPOSITE, DATA, DATABASE, Fault, Kind, REGISTRY};
use crate::servers::{Binder, Database, Server, Servers};
use crate::services::Services;
use anyhow::{Context, Error, Result, anyhow, ensure};
use futures_util::future::{try_join_all, try_join3};
use jiff::Timestamp;
use reqwest::Client;
use serde_json::Value;
use shared::service::config::{Config, Variables};
use shared::service::platform::Platform;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ChildStdin;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::verdict::waiting::waiting;
use testkit::verdict::{Found, PLACES, Place, Tally, history, refusal};
use testkit::workload::{Clients, Key, recommendations, reviews};
use testkit::{Proxy, reaper, within};
use tokio::time::timeout;

/// Where the keys of the marks begin: no client gets there.
const MARKS: i32 = 1_000_000_000;
/// How long a look at what waits may take; a database that is away has no answer.
const LOOK: Duration = Duration::from_secs(2);
/// How long it is waited for what takes long on a busy machine.
const LATE: Duration = Duration::from_secs(180);
/// Batches small enough that kills fall between them.
const BATCH: &str = "100";

/// How many events wait: for each of [`PLACES`], in its two partitions.
type Undecided = [[u64; 2]; 3];

/// Who sends the load.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) clients: u64,
    /// How long each waits after a request.
    pub(crate) pause: Duration,
    pub(crate) seed: u64,
}

/// A landscape under load.
pub(crate) struct UnderLoad {
    pub(crate) clients: Clients,
    /// Between the clients and the composite service.
    network: Proxy,
    services: Services,
    pub(crate) servers: Servers,
    /// Looks at the broker from outside.
    outside: Platform,
    marks: Vec<Key>,
    /// The ids of events that may have been dropped.
    dropped: Mutex<HashSet<String>>,
    http: Client,
    data: PathBuf,
    // The last: what uses it ends before it.
    _folder: (TempDir, ChildStdin),
}

impl UnderLoad {
    /// Starts it, on disks that can be full if they are to.
    pub(crate) async fn start((binder, database): (Binder, Database), small_disks: bool, load: Load) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("faults-").tempdir()?;
        let held = reaper("umount -l \"$0\"/*; rm -rf \"$0\"", &folder.path().to_string_lossy())?;
        let servers = Servers::start(folder.path(), binder, database, small_disks).await?;
        let data = folder.path().join(DATA);
        let services = Services::start(folder.path(), |name| {
            let core = name.split('-').next().unwrap_or(name);
            let mut variables = servers.variables(core, &data, true);
            let more = [("BATCH_SIZE", BATCH), ("DEAD_LETTERS_TOKEN", letters::TOKEN)];
            // What fails for a while is given up soon, and replayed.
            let quick = [("RETRY_MAX_ATTEMPTS", "2"), ("RETRY_INITIAL_INTERVAL_MS", "10")];
            variables.extend(more.into_iter().chain(quick).map(|(name, value)| (name.to_owned(), value.to_owned())));
            variables
        });
        let services = services.await?;
        for place in &PLACES {
            let tables = servers.tables(place, &data);
            history::keep(place, &tables).await;
            refusal::prepare(place, &tables).await?;
        }
        let outside = outside(&servers, &data).await?;
        let network = Proxy::start(([127, 0, 0, 1], services.port(COMPOSITE)).into());
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(20)).build()?;
        let url = format!("http://{}", network.address());
        let clients = Clients::unhurried(http.clone(), load.clients, load.pause, load.seed, &url);
        let mut landscape = Self {
            clients,
            network,
            services,
            servers,
            outside,
            marks: Vec::new(),
            dropped: Mutex::default(),
            http,
            data,
            _folder: (folder, held),
        };
        landscape.until_recovered().await?;
        Ok(landscape)
    }

    /// Lets these happen side by side, each while events wait for whom it hits, and waits until everybody has recovered;
    /// returns how many seconds that took.
    pub(crate) async fn strike(&mut self, faults: &[Fault], journal: &Journal) -> Result<(Vec<Struck>, f64)> {
        let suffered = faults.iter().map(|fault| self.suffer(fault, journal));
        let suffered = try_join_all(suffered).await?;
        let ended = suffered.iter().map(|(_, ended)| *ended).max().context("a strike without faults")?;
        self.until_recovered().await?;
        let recovered = ended.elapsed().as_secs_f64();
        Ok((suffered.into_iter().map(|(struck, _)| struck).collect(), recovered))
    }

    /// Begins a fault when events wait, and ends it.
    async fn suffer(&self, fault: &Fault, journal: &Journal) -> Result<(Struck, Instant)> {
        tokio::time::sleep(Duration::from_millis(fault.after)).await;
        let waiting = self.until_waiting(fault).await?;
        let struck = Struck {
            at: Timestamp::now(),
            kind: fault.kind,
            targets: fault.targets.iter().map(|&target| target.to_owned()).collect(),
            waiting,
            under_way: self.clients.under_way(),
        };
        journal.begins(&struck)?;
        tell(&struck);
        self.begin(fault).await.with_context(|| format!("{fault:?} cannot begin"))?;
        tokio::time::sleep(Duration::from_millis(fault.lasts)).await;
        for target in fault.targets.iter().filter(|_| fault.kind == Kind::Refuse) {
            letters::arise(&self.tables(target)?).await;
        }
        let ended = Instant::now();
        self.end(fault, journal).await.with_context(|| format!("{fault:?} cannot end"))?;
        Ok((struck, ended))
    }

    /// Waits until events wait, and returns how many; nothing where another fault keeps the database
    /// from saying so.
    async fn until_waiting(&self, fault: &Fault) -> Result<Option<u64>> {
        within(LATE, "events wait", async || match self.waiting(fault, self.undecided().await) {
            Some(0) => Err(format!("nothing for {fault:?}")),
            waiting => Ok(waiting),
        })
        .await
    }

    async fn begin(&self, fault: &Fault) -> Result<()> {
        if fault.kind == Kind::Everything {
            self.services.names().try_for_each(|name| self.services.kill(name))?;
            try_join_all(self.servers.all().map(|server| server.command("kill"))).await?;
        }
        for &target in fault.targets.iter().filter(|_| fault.kind != Kind::Everything) {
            match fault.kind {
                Kind::Kill | Kind::Everything => self.services.kill(target)?,
                Kind::Pause | Kind::Zombie => self.services.stop(target)?,
                Kind::KillServer => self.server(target)?.command("kill").await?,
                Kind::PauseServer => self.server(target)?.command("pause").await?,
                Kind::Cut => self.network(target)?.cut(""),
                Kind::Part => self.network(target)?.hold(),
                Kind::Swallow => self.network(target)?.swallow(),
                Kind::FullDisk => self.servers.disk(target).context("there is no such disk")?.fill()?,
                Kind::Refuse => letters::refuse(&self.tables(target)?, &self.clients.hot(), fault.lasts).await?,
                Kind::StopApplication => self.server(target)?.control("stop_app").await?,
            }
        }
        Ok(())
    }

    async fn end(&self, fault: &Fault, journal: &Journal) -> Result<()> {
        for &target in &fault.targets {
            match fault.kind {
                Kind::Kill => self.services.start_again(target)?,
                Kind::Pause | Kind::Zombie => self.services.go_on(target)?,
                Kind::KillServer => self.server(target)?.until_up(journal).await?,
                Kind::PauseServer => self.server(target)?.command("unpause").await?,
                Kind::Cut => {}
                Kind::Part | Kind::Swallow => self.network(target)?.recover(),
                Kind::FullDisk => {
                    self.servers.disk(target).context("there is no such disk")?.free()?;
                    match self.servers.server(target) {
                        Some(server) => server.until_up(journal).await?,
                        None => self.services.start_ended().await?,
                    }
                }
                Kind::Refuse => {
                    let instances = [0, 1].map(|index| self.services.url(&format!("{target}-{index}")));
                    if fault.lasts.is_multiple_of(2) {
                        let dropped = letters::drop_some(&self.http, &instances).await?;
                        self.dropped.lock().expect("nobody panics with it").extend(dropped);
                    }
                    letters::replay(&self.http, &self.tables(target)?, &instances).await?;
                }
                Kind::StopApplication => self.server(target)?.control("start_app").await?,
                Kind::Everything if self.servers.names().contains(&target) => {}
                Kind::Everything => self.services.start_again(target)?,
            }
        }
        if fault.kind == Kind::Everything {
            try_join_all(self.servers.all().map(|server| server.until_up(journal))).await?;
        }
        Ok(())
    }

    fn server(&self, name: &str) -> Result<&Server> {
        self.servers.server(name).with_context(|| format!("there is no {name}"))
    }

    /// The database of a service.
    fn tables(&self, service: &str) -> Result<String> {
        let place = PLACES.iter().find(|place| place.service == service);
        Ok(self.servers.tables(place.with_context(|| format!("there is no {service}"))?, &self.data))
    }

    fn network(&self, target: &str) -> Result<&Proxy> {
        match target {
            CLIENTS => Ok(&self.network),
            server => self.server(server)?.proxy().with_context(|| format!("{server} has no proxy")),
        }
    }

    /// How many events wait for those whom `fault` hits, or requests that are to become events.
    fn waiting(&self, fault: &Fault, undecided: Option<Undecided>) -> Option<u64> {
        let all = |undecided: Undecided| undecided.iter().flatten().sum();
        // That something waits for each of so many at once is rare where they are fast.
        if fault.kind == Kind::Everything {
            return undecided.map(all);
        }
        let counts = fault.targets.iter().map(|target| match *target {
            COMPOSITE | CLIENTS => Some(self.clients.under_way()),
            BROKER | DATABASE | DATA | REGISTRY => undecided.map(all),
            core => undecided.and_then(|undecided| self.waiting_for(core, &undecided)),
        });
        // Of several, each has something to lose.
        counts.collect::<Option<Vec<_>>>()?.into_iter().min()
    }

    /// Likewise for a service or an instance of it, which has the partition of its number.
    fn waiting_for(&self, core: &str, undecided: &Undecided) -> Option<u64> {
        let (service, index) = core.split_once('-').map_or((core, None), |(service, index)| (service, Some(index)));
        let [even, odd] = undecided[PLACES.iter().position(|place| place.service == service)?];
        match index {
            None => Some(even + odd),
            // Kafka shares partitions as it likes.
            Some(_) if self.outside.binder.name() == "kafka" => Some(even.min(odd)),
            Some("0") => Some(even),
            Some(_) => Some(odd),
        }
    }

    /// What was accepted lately and has not been decided on, where the databases say so.
    async fn undecided(&self) -> Option<Undecided> {
        let of = async |place: &Place| {
            waiting(&self.servers.tables(place, &self.data), || self.clients.latest(place.topic)).await
        };
        let [products, recommendations, reviews] = PLACES.each_ref().map(of);
        timeout(LOOK, try_join3(products, recommendations, reviews)).await.ok()?.ok().map(Into::into)
    }

    /// Waits until all are well, and what is accepted now has taken effect in every partition: so has then what was
    /// accepted before.
    async fn until_recovered(&mut self) -> Result<()> {
        try_join_all(self.services.names().map(|name| self.services.until_ready(name))).await?;
        within(LATE, "the landscape is well", async || {
            let health = self.get("/actuator/health").await?;
            if health["status"] == "UP" { Ok(()) } else { Err(health.to_string()) }
        })
        .await?;
        // Keys are even or odd, and so are the partitions.
        let next = MARKS + i32::try_from(self.marks.len())?;
        let marks = try_join_all([next, next + 1].map(|id| self.clients.mark(id))).await.map_err(Error::msg)?;
        for mark in &marks {
            let path = format!("/product-composite/{}", mark.id);
            within(LATE, "what was accepted now is there", async || {
                let product = self.get(&path).await?;
                let count = |part: &str| product[part].as_array().map_or(0, Vec::len);
                let parts = (recommendations(1) as usize, reviews(1) as usize);
                let whole = (count("recommendations"), count("reviews")) == parts;
                if whole { Ok(()) } else { Err(product.to_string()) }
            })
            .await?;
        }
        self.marks.extend(marks);
        self.services.all_run()
    }

    async fn get(&self, path: &str) -> Result<Value, String> {
        let answer = self.http.get(format!("{}{path}", self.services.url(COMPOSITE))).send().await;
        answer.map_err(|error| format!("{error:?}"))?.json().await.map_err(|error| format!("{error:?}"))
    }

    /// Ends the load and the services, and compares everything with what was accepted.
    pub(crate) async fn verdict(self) -> Result<Tally> {
        let mut keys = self.clients.finish().await.map_err(Error::msg)?;
        keys.extend(self.marks);
        let binder = &self.outside.binder;
        within(LATE, "the groups have settled everything", async || {
            let topics = binder.topics().await.map_err(|error| format!("{error:?}"))?;
            let groups = topics.iter().flat_map(|topic| &topic.groups);
            let behind: Vec<_> =
                groups.filter(|at| at.lag > 0 && PLACES.iter().any(|place| place.group == at.group)).collect();
            if behind.is_empty() { Ok(()) } else { Err(format!("{behind:?}")) }
        })
        .await?;
        self.services.end().await?;
        let dropped = self.dropped.into_inner()?;
        let mut tally = Tally::default();
        for place in &PLACES {
            let found = Found::read(place, &self.servers.tables(place, &self.data)).await;
            tally.add(Tally::of(&found, place, &keys, &dropped));
        }
        ensure!(tally.events > 0, "nothing was accepted: that proves nothing");
        Ok(tally)
    }
}

fn tell(Struck { at, kind, targets, waiting, under_way }: &Struck) {
    let targets = targets.join(" ");
    let waiting = waiting.map_or_else(|| "nobody knows how many".to_owned(), |waiting| waiting.to_string());
    println!("{at:.0} {kind} {targets}: {waiting} events waiting and {under_way} requests under way");
}

async fn outside(servers: &Servers, data: &Path) -> Result<Platform> {
    let values = servers.variables("outside", data, false);
    let value = |name: &str| values.iter().find(|(of, _)| of == name).map_or("", |(_, value)| value.as_str());
    let names = ["DATA_DIR", "BINDER", "RABBITMQ_URL", "RABBITMQ_MANAGEMENT_URL", "KAFKA_BROKERS"];
    let variables = Variables::from(names.map(|name| (name, value(name))));
    let config = Config::read(&variables).map_err(|error| anyhow!("{error}"))?;
    Platform::open(config, "faults").await
}
