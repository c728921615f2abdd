//! More partitions and more instances: while a database is what everybody waits for, and while the cores are.

use crate::layer::{MANY, open, platform, producer, send};
use crate::{Table, brokers};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use shared::api::PRODUCTS;
use shared::database::Database;
use std::time::{Duration, Instant};
use testkit::{Running, servers};

/// How long the slow database waits in each statement that writes products: 256 of them at the most.
const SLOW: &str = "CREATE FUNCTION wait() RETURNS trigger AS $$ BEGIN PERFORM pg_sleep(0.05); RETURN NULL; END $$
    LANGUAGE plpgsql; CREATE TRIGGER wait BEFORE INSERT ON products FOR EACH STATEMENT EXECUTE FUNCTION wait()";
/// Events that are applied where they wait for the database; elsewhere there are as many as for the event layer.
const FEW: i32 = 20_000;
/// Until the members of a group have shared its partitions.
const SHARING: Duration = Duration::from_secs(8);

/// Partitions and instances, in turn.
const SLOWLY: [(u32, usize); 4] = [(1, 1), (2, 1), (2, 2), (4, 2)];
const FAST: [(u32, usize); 2] = [(1, 1), (2, 2)];

pub(crate) async fn scale(table: &mut Table) {
    for on in ["embedded, PostgreSQL", "RabbitMQ, PostgreSQL", "Kafka, PostgreSQL"] {
        let mut first = None;
        for (partitions, instances) in SLOWLY {
            let measured = measured(on, partitions, instances, true).await;
            row(table, on, (partitions, instances), "each statement waits 50 ms", &mut first, measured);
        }
        let mut first = None;
        for (partitions, instances) in FAST {
            let measured = measured(on, partitions, instances, false).await;
            row(table, on, (partitions, instances), "nothing waits", &mut first, measured);
        }
    }
}

fn row(
    table: &mut Table,
    on: &str,
    (partitions, instances): (u32, usize),
    what: &str,
    first: &mut Option<f64>,
    (rate, busy): (f64, f64),
) {
    let first = *first.get_or_insert(rate);
    table.row(
        on,
        &format!("events sent and applied, {what}, {partitions} partitions, {instances} instances"),
        &format!("{rate:.0}/s"),
        &format!("{:.2} of one and one; cores busy {:.0} %", rate / first, busy * 100.0),
    );
}

/// Events a second from the first that is sent to the last that is applied, and the share of the cores that was spent.
async fn measured(on: &str, partitions: u32, instances: usize, slow: bool) -> (f64, f64) {
    let folder = tempfile::tempdir().unwrap();
    let url = servers::postgres().await.unwrap().database().await;
    let looking = open(&url).await;
    if slow {
        let mut connection = looking.begin().await.unwrap();
        sqlx::raw_sql(SLOW).execute(&mut *connection).await.unwrap();
        connection.commit().await.unwrap();
    }
    let mut variables = fresh(on).await;
    variables.push(("DATA_DIR", folder.path().to_str().unwrap().to_owned()));
    variables.push(("DATABASE_URL", url));
    variables.push(("PARTITIONS", partitions.to_string()));
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let sending = platform(variables.iter().copied()).await;
    let producer = producer(&sending, partitions).await;
    let mut services = Vec::new();
    for _ in 0..instances {
        let service = Running::start(platform(variables.iter().copied()).await, product_service::service).await;
        service.answers("/actuator/health/readiness", 200).await;
        services.push(service);
    }
    tokio::time::sleep(SHARING).await;

    let many = if slow { FEW } else { MANY };
    let (started, spent) = (Instant::now(), Spent::now());
    send(&*producer, many).await;
    until_applied(&looking, many).await;
    let (rate, busy) = (f64::from(many) / started.elapsed().as_secs_f64(), Spent::now().since(&spent));
    for service in services {
        service.stop().await;
    }
    (rate, busy)
}

async fn until_applied(database: &Database, many: i32) {
    let count = || sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM products").fetch_one(database.readers());
    while count().await.unwrap() < i64::from(many) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The variables of a broker on which there is nothing yet.
async fn fresh(on: &str) -> Vec<(&'static str, String)> {
    let (_, variables) = brokers().await.into_iter().find(|(name, _)| on.starts_with(&name[..4])).unwrap();
    if on.starts_with("Kafka") {
        forget_topics(servers::kafka().await.unwrap().bootstrap()).await;
    }
    variables
}

/// Topics do not shrink.
async fn forget_topics(brokers: &str) {
    let mut config = ClientConfig::new();
    let admin: AdminClient<DefaultClientContext> = config.set("bootstrap.servers", brokers).create().unwrap();
    loop {
        let deleted = admin.delete_topics(&[PRODUCTS.name], &AdminOptions::new()).await.unwrap();
        if deleted.iter().all(|topic| matches!(topic, Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)))) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What all cores have done since the system was started, in ticks: anything, and nothing.
struct Spent {
    busy: u64,
    idle: u64,
}

impl Spent {
    fn now() -> Self {
        let stat = std::fs::read_to_string("/proc/stat").unwrap();
        let ticks: Vec<u64> =
            stat.lines().next().unwrap().split_whitespace().skip(1).map(|ticks| ticks.parse().unwrap()).collect();
        // The fourth and fifth are those of idling and of waiting for a disk.
        let idle = ticks[3] + ticks[4];
        Self { busy: ticks.iter().take(8).sum::<u64>() - idle, idle }
    }

    fn since(&self, before: &Self) -> f64 {
        let (busy, idle) = ((self.busy - before.busy) as f64, (self.idle - before.idle) as f64);
        busy / (busy + idle)
    }
}
