//! A landscape under load, what is done to it, and what is expected of it meanwhile: its users lose nothing and wait for
//! nothing without end, and it recovers in time.

use crate::broker::{Broker, Consumers};
use crate::compose::{COMPOSITE, Compose, INSTANCES, POSTGRES};
use crate::databases;
use reqwest::Client;
use serde_json::Value;
use std::time::{Duration, Instant};
use testkit::eventually;
use testkit::workload::{Clients, Key, Random, recommendations, reviews};

/// Who sends the load: enough that events wait wherever somebody is killed.
const CLIENTS: u64 = 64;
/// How many events wait at the least for one who is killed.
const WAITING: u64 = 10;
/// How long a request may take until its answer: `SEND_TIMEOUT_MS`, and what a busy machine adds.
const ANSWERED: Duration = Duration::from_secs(8);
/// How long health may take to see that the broker is gone, and that it answers again.
const NOTICED: Duration = Duration::from_secs(10);
/// How long the application of the broker stays stopped.
const STOPPED: Duration = Duration::from_secs(10);
/// How long anything may take that happens soon on an idle machine.
const SOON: Duration = Duration::from_secs(60);
/// Where the keys of the marks begin: no client gets there.
const MARKS: i32 = 1_000_000_000;

/// What is done to a landscape.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// These services are killed at once, and started again after a while.
    Kill(Vec<&'static str>),
    /// The application of RabbitMQ is stopped and started in its process.
    StopApplication,
}

impl Fault {
    fn hits(&self, service: &str) -> bool {
        match self {
            Self::Kill(services) => services.contains(&service),
            Self::StopApplication => service == Broker::RabbitMq.service(),
        }
    }

    /// Whether the events of a partition, such as `products.productsGroup-0`, wait for one who is hit.
    fn concerns(&self, broker: Broker, partition: &str) -> bool {
        let Self::Kill(services) = self else { return true };
        services.iter().any(|service| {
            let (name, number) = service.strip_suffix("-p1").map_or((*service, "-0"), |name| (name, "-1"));
            let its = !broker.obeys_numbers() || partition.ends_with(number);
            !INSTANCES.contains(service) || partition.starts_with(name) && its
        })
    }
}

/// A landscape under load.
pub(crate) struct UnderLoad {
    broker: Broker,
    clients: Clients,
    consumers: Consumers,
    marks: Vec<Key>,
    http: Client,
    // The last: what uses the containers ends before them.
    compose: Compose,
}

impl UnderLoad {
    pub(crate) async fn start(broker: Broker, seed: u64) -> Self {
        let compose = Compose::up(broker).await;
        databases::keep_history().await;
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
        let clients = Clients::start(http.clone(), CLIENTS, seed, COMPOSITE);
        let landscape = Self { broker, clients, consumers: Consumers::count(broker), marks: Vec::new(), http, compose };
        landscape.consumers.until_complete().await;
        landscape
    }

    /// How many events were accepted so far.
    pub(crate) fn events(&self) -> u64 {
        self.clients.events()
    }

    /// Does it, while events wait, and waits until everybody has recovered.
    pub(crate) async fn strike(&mut self, fault: &Fault, random: &mut Random) {
        // Any moment of the load, and of what still goes on after the fault before.
        tokio::time::sleep(Duration::from_millis(random.below(500) as u64)).await;
        let (broker, refused) = (fault.hits(self.broker.service()), self.clients.refused());
        let before = self.until_events_wait(fault).await;
        let under_way = self.clients.under_way();
        let struck = Instant::now();
        self.begin(fault).await;
        let begun = Instant::now();
        let mut said = format!("{fault:?}: {before} events waiting");
        if broker {
            assert!(under_way > 0, "no request was under way when the broker was hit");
            self.until_binders("DOWN").await;
            said += &format!(" and {under_way} requests under way, health DOWN after {:.1?}", struck.elapsed());
            self.consumers.until_away().await;
        } else {
            said += &format!(", {} after", self.until_events_wait(fault).await);
        }
        let outage = match fault {
            Fault::Kill(_) => Duration::from_millis(random.below(4000) as u64),
            Fault::StopApplication => STOPPED,
        };
        tokio::time::sleep(outage.saturating_sub(begun.elapsed())).await;
        let started = Instant::now();
        self.end(fault).await;

        if fault.hits(POSTGRES) {
            databases::until_answered().await;
            said += &format!(", database back after {:.1?}", started.elapsed());
        }
        if broker {
            let answers = self.consumers.until_answered().await;
            said += &format!(", broker back after {:.1?}", answers - started);
            self.until_binders("UP").await;
            let noticed = answers.elapsed();
            said += &format!(", health UP after {noticed:.1?}");
            assert!(noticed < NOTICED, "{said}");
        }
        self.until_recovered(fault).await;

        let refused = self.clients.refused() - refused;
        assert_eq!(refused > 0, broker, "{refused} requests were refused: {said}");
        assert!(self.clients.slowest() < ANSWERED, "an answer took {:?}: {said}", self.clients.slowest());
        assert_eq!(self.clients.unanswered(), 0, "requests that got no answer at all: {said}");
        println!(
            "{said}, all well {:.1?} after the start, {refused} requests refused, {} events so far",
            started.elapsed(),
            self.events()
        );
    }

    async fn begin(&self, fault: &Fault) {
        match fault {
            Fault::Kill(services) => self.compose.kill(services).await,
            Fault::StopApplication => self.control("stop_app").await,
        }
    }

    async fn end(&self, fault: &Fault) {
        match fault {
            Fault::Kill(services) => self.compose.start(services).await,
            Fault::StopApplication => self.control("start_app").await,
        }
    }

    async fn control(&self, command: &str) {
        self.compose.execute(self.broker.service(), &["rabbitmqctl", command]).await.unwrap();
    }

    /// Waits until events wait for those whom `fault` hits, and returns how many.
    async fn until_events_wait(&self, fault: &Fault) -> u64 {
        eventually(SOON, "events wait", async || {
            let held = self.broker.held(&self.http).await?;
            let concerned = held.waiting.iter().filter(|(partition, _)| fault.concerns(self.broker, partition));
            let counts: Vec<_> = concerned.map(|(_, count)| *count).collect();
            let sum = counts.iter().sum();
            // Where nobody knows which partition is theirs, they wait in each.
            let least = if self.broker.obeys_numbers() { sum } else { *counts.iter().min().unwrap() };
            if least >= WAITING { Ok(sum) } else { Err(format!("{held:?}")) }
        })
        .await
    }

    async fn until_binders(&self, status: &str) {
        let what = format!("the health of the composite says that its binders are {status}");
        eventually(NOTICED, &what, async || {
            let health = self.get("/actuator/health/binders").await?;
            if health["status"] == status { Ok(()) } else { Err(health.to_string()) }
        })
        .await;
    }

    /// Waits until all are well, partitions have their consumers, and what had been accepted by then has taken effect.
    async fn until_recovered(&mut self, fault: &Fault) {
        if let Fault::Kill(services) = fault {
            for service in services.iter().filter(|service| INSTANCES.contains(service)) {
                self.compose.until_well(service).await;
            }
        }
        self.consumers.until_complete().await;
        eventually(SOON, "the landscape is well", async || {
            let health = self.get("/actuator/health").await?;
            if health["status"] == "UP" { Ok(()) } else { Err(health.to_string()) }
        })
        .await;
        // One for each partition: keys are even or odd.
        for _ in 0..2 {
            let mark = self.clients.mark(MARKS + i32::try_from(self.marks.len()).unwrap()).await;
            let path = format!("/product-composite/{}", mark.id);
            self.marks.push(mark);
            eventually(SOON, "what was accepted now is there", async || {
                let product = self.get(&path).await?;
                let count = |part: &str| product[part].as_array().map_or(0, Vec::len);
                let parts = (recommendations(1) as usize, reviews(1) as usize);
                let whole = (count("recommendations"), count("reviews")) == parts;
                if whole { Ok(()) } else { Err(product.to_string()) }
            })
            .await;
        }
        self.compose.all_run().await;
    }

    async fn get(&self, path: &str) -> Result<Value, String> {
        let answer = self.http.get(format!("{COMPOSITE}{path}")).send().await;
        answer.map_err(|error| format!("{error:?}"))?.json().await.map_err(|error| format!("{error:?}"))
    }

    /// Ends the load and compares everything with what was accepted; returns how many events that was.
    pub(crate) async fn verdict(self) -> u64 {
        let Self { broker, clients, consumers, mut marks, http, compose } = self;
        println!(
            "{} requests accepted and {} refused, the slowest answer took {:.1?}; no partition was without a consumer for \
             more than {:.1?}",
            clients.answered(),
            clients.refused(),
            clients.slowest(),
            consumers.longest()
        );
        let mut keys = clients.finish().await;
        keys.append(&mut marks);
        let events = keys.iter().flat_map(|key| &key.requests).map(|request| request.write.events()).sum();
        let held = eventually(SOON, "the groups have settled everything", async || {
            let held = broker.held(&http).await?;
            if held.waiting.values().all(|count| *count == 0) { Ok(held) } else { Err(format!("{held:?}")) }
        })
        .await;
        compose.all_run().await;
        databases::check(&keys).await;
        assert_eq!(held.dead, 0, "the broker has copies of dead letters");
        events
    }
}
