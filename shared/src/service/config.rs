//! Configuration: read here and nowhere else, from environment variables.
//!
//! Each variable is a [`Variable`] with its default and its meaning, so that `--help` and the code cannot differ. A
//! value that cannot be read ends the start with a sentence that names the variable, the value and what is allowed.

mod databases;
mod discovery;
mod limits;
mod token;
mod variables;

pub use databases::{DatabaseUrl, Databases};
pub use discovery::Discovery;
pub use limits::{Limits, WriteLimits};
pub use token::Token;
pub use variables::{ConfigError, Variables, refused};

use crate::database::PoolConfig;
use crate::discovery::location::Location;
use crate::messaging::Instance;
use crate::messaging::kafka::KafkaBrokers;
use crate::messaging::rabbitmq::RabbitUrl;
use crate::messaging::retry::RetryPolicy;
use limits::{
    BODY_LIMIT, CONNECTIONS, GRACE, READ_LIMIT, REQUEST_LIMIT, SEND_LIMIT, TRY_LIMIT, WRITES, WRITES_BYTES,
    WRITES_DELAY,
};
use std::fmt::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// One environment variable.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What counts where it is not set; empty for nothing.
    pub default: &'static str,
    /// What it says, for people.
    pub meaning: &'static str,
}

/// Declares a variable.
pub const fn variable(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default, meaning }
}

const HOST: Variable = variable("HOST", "127.0.0.1", "address to listen on; 0.0.0.0 for all");
const DATA_DIR: Variable = variable("DATA_DIR", "./data", "folder of the event log and the databases");
const DATABASE_URL: Variable =
    variable("DATABASE_URL", "", "sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE, else a file in DATA_DIR");
const SERVICE_DATABASE_URL: Variable = variable(
    "*_DATABASE_URL",
    "",
    "landscape: the database of PRODUCT, …, else that of its name on the server of DATABASE_URL",
);
const POOL: Variable = variable("DATABASE_POOL_SIZE", "4", "connections of each service that read at the same time");
const POOL_WAIT: Variable = variable("DATABASE_WAIT_MS", "5000", "how long a statement waits for a connection or lock");
const BINDER: Variable = variable("BINDER", "embedded", "where events travel: embedded, rabbitmq, kafka");
const RABBITMQ_URL: Variable =
    variable("RABBITMQ_URL", "amqp://guest:guest@localhost:5672/%2f", "the broker of BINDER=rabbitmq");
const MANAGEMENT_URL: Variable = variable(
    "RABBITMQ_MANAGEMENT_URL",
    "",
    "its management API, else port 15672 of its host; for its version and topics",
);
const KAFKA_BROKERS: Variable =
    variable("KAFKA_BROKERS", "localhost:9092", "the brokers of BINDER=kafka, as HOST:PORT,HOST:PORT");
const PARTITIONS: Variable = variable("PARTITIONS", "1", "partitions of each topic");
const INSTANCE_INDEX: Variable = variable("INSTANCE_INDEX", "", "which partitions this instance prefers, from 0");
const INSTANCE_COUNT: Variable = variable("INSTANCE_COUNT", "", "how many instances prefer partitions");
const TAKEOVER: Variable =
    variable("TAKEOVER", "on", "off: keep to the partitions of INSTANCE_INDEX, beside Java instances on RabbitMQ");
const BATCH_SIZE: Variable = variable("BATCH_SIZE", "500", "the most events applied in one transaction");
const RETENTION: Variable = variable(
    "RETENTION_HOURS",
    "24",
    "how long settled messages are kept; message ids are remembered twice as long, and as long as Kafka keeps records",
);
const ATTEMPTS: Variable = variable("RETRY_MAX_ATTEMPTS", "3", "attempts before a failing event is a dead letter");
const INITIAL: Variable = variable("RETRY_INITIAL_INTERVAL_MS", "500", "pause after the first attempt");
const MAXIMUM: Variable = variable("RETRY_MAX_INTERVAL_MS", "1000", "no pause is longer");
const MULTIPLIER: Variable = variable("RETRY_MULTIPLIER", "2.0", "how much longer each pause is");
const TOKEN: Variable = variable(
    "DEAD_LETTERS_TOKEN",
    "",
    "what requests to replay, drop or import dead letters must bring along; without it they are refused",
);
const PRODUCT: Variable = variable(
    "PRODUCT_SERVICE_URL",
    "http://localhost:7001",
    "composite: the product service; several with commas in between, or dns+http://name:port for all addresses of a name",
);
const RECOMMENDATION: Variable =
    variable("RECOMMENDATION_SERVICE_URL", "http://localhost:7002", "composite: the recommendation service");
const REVIEW: Variable = variable("REVIEW_SERVICE_URL", "http://localhost:7003", "composite: the review service");
const LOG: Variable = variable("RUST_LOG", "info,lapin=off", "what is logged, as the tracing crates read it");

/// What a program reads that serves something and needs neither broker nor database.
pub const PLAIN: &[Variable] = &[HOST, REQUEST_LIMIT, CONNECTIONS, GRACE, LOG];

/// Every variable that every program of the landscape reads, in the order of `--help`; the ports come first.
pub const COMMON: &[Variable] = &[
    HOST,
    DATA_DIR,
    DATABASE_URL,
    SERVICE_DATABASE_URL,
    POOL,
    POOL_WAIT,
    BINDER,
    RABBITMQ_URL,
    MANAGEMENT_URL,
    KAFKA_BROKERS,
    PARTITIONS,
    INSTANCE_INDEX,
    INSTANCE_COUNT,
    TAKEOVER,
    BATCH_SIZE,
    RETENTION,
    ATTEMPTS,
    INITIAL,
    MAXIMUM,
    MULTIPLIER,
    TOKEN,
    BODY_LIMIT,
    REQUEST_LIMIT,
    CONNECTIONS,
    SEND_LIMIT,
    WRITES,
    WRITES_BYTES,
    WRITES_DELAY,
    READ_LIMIT,
    TRY_LIMIT,
    GRACE,
    PRODUCT,
    RECOMMENDATION,
    REVIEW,
    discovery::URL,
    discovery::REFRESH,
    discovery::HOST_NAME,
    discovery::ZONE,
    discovery::RENEWAL,
    discovery::DURATION,
    LOG,
];

/// What is configured in common for all services of a process.
#[derive(Debug, Clone)]
pub struct Config {
    /// `HOST`: the address to listen on.
    pub host: IpAddr,
    /// `DATA_DIR`: the folder of the event log and the databases.
    pub data_dir: PathBuf,
    /// `DATABASE_URL`, and those of the services by name.
    pub databases: Databases,
    /// `DATABASE_POOL_SIZE`, `DATABASE_WAIT_MS`.
    pub pool: PoolConfig,
    /// How events travel.
    pub events: Events,
    /// `RETRY_MAX_ATTEMPTS`, `RETRY_INITIAL_INTERVAL_MS`, `RETRY_MAX_INTERVAL_MS`, `RETRY_MULTIPLIER`.
    pub retry: RetryPolicy,
    /// `DEAD_LETTERS_TOKEN`: what requests that decide on dead letters must bring along.
    pub dead_letters_token: Option<Token>,
    /// Limits of size and time.
    pub limits: Limits,
    /// Where the core services are.
    pub cores: Cores,
    /// How services find each other.
    pub discovery: Discovery,
    /// `RUST_LOG`: what is logged.
    pub log: String,
}

/// How events travel.
#[derive(Debug, Clone)]
pub struct Events {
    /// `BINDER`: where events travel.
    pub binder: BinderKind,
    /// `PARTITIONS`: partitions of each topic.
    pub partitions: u32,
    /// `INSTANCE_INDEX` and `INSTANCE_COUNT`: which partitions this instance prefers.
    pub instance: Option<Instance>,
    /// `TAKEOVER`: whether this instance takes over partitions of others.
    pub takeover: bool,
    /// `BATCH_SIZE`: the most events applied in one transaction.
    pub batch: u32,
    /// `RETENTION_HOURS`: how long settled messages are kept.
    pub retention: Duration,
}

/// Where events travel.
#[derive(Debug, Clone)]
pub enum BinderKind {
    /// In the log under `DATA_DIR`.
    Embedded,
    /// Over the broker at `RABBITMQ_URL`; with the `RABBITMQ_MANAGEMENT_URL`, where it is set.
    RabbitMq(RabbitUrl, Option<String>),
    /// Over the brokers at `KAFKA_BROKERS`.
    Kafka(KafkaBrokers),
}

/// Where the core services are.
#[derive(Debug, Clone)]
pub struct Cores {
    /// `PRODUCT_SERVICE_URL`.
    pub product: Location,
    /// `RECOMMENDATION_SERVICE_URL`.
    pub recommendation: Location,
    /// `REVIEW_SERVICE_URL`.
    pub review: Location,
}

/// `RUST_LOG`.
pub fn log(variables: &Variables) -> &str {
    variables.text(LOG.name).unwrap_or(LOG.default)
}

/// `HOST`.
pub fn host(variables: &Variables) -> Result<IpAddr, ConfigError> {
    variables.read(HOST, "an IP address")
}

impl Config {
    /// Reads all of it, or names the first value that cannot be read.
    pub fn read(variables: &Variables) -> Result<Self, ConfigError> {
        let multiplier: f64 = variables.read(MULTIPLIER, "a number from 1 to 100")?;
        if !(1.0..=100.0).contains(&multiplier) {
            return Err(refused(MULTIPLIER.name, &multiplier.to_string(), "a number from 1 to 100"));
        }
        Ok(Self {
            host: host(variables)?,
            data_dir: PathBuf::from(variables.text(DATA_DIR.name).unwrap_or(DATA_DIR.default)),
            databases: Databases::read(variables)?,
            pool: PoolConfig { max_readers: variables.number(POOL, 1, 1000)?, wait: variables.millis(POOL_WAIT, 1)? },
            events: Events {
                binder: binder(variables)?,
                partitions: variables.number(PARTITIONS, 1, 1000)?,
                instance: instance(variables)?,
                takeover: takeover(variables)?,
                batch: variables.number(BATCH_SIZE, 1, 10_000)?,
                retention: Duration::from_secs(3600 * u64::from(variables.number(RETENTION, 0, 87_600)?)),
            },
            retry: RetryPolicy {
                max_attempts: variables.number(ATTEMPTS, 1, 1000)?,
                initial_interval: variables.millis(INITIAL, 0)?,
                max_interval: variables.millis(MAXIMUM, 0)?,
                multiplier,
            },
            dead_letters_token: variables.text(TOKEN.name).map(Token::new),
            limits: Limits::read(variables)?,
            cores: Cores {
                product: core(variables, PRODUCT, "product")?,
                recommendation: core(variables, RECOMMENDATION, "recommendation")?,
                review: core(variables, REVIEW, "review")?,
            },
            discovery: Discovery::read(variables)?,
            log: log(variables).to_owned(),
        })
    }
}

impl Config {
    /// Has services find each other through the registry at `url`, the core services too, whatever their URLs say.
    pub fn find_by(&mut self, url: &str) -> anyhow::Result<()> {
        self.discovery.registries = Some(url.parse()?);
        let named = |name: &str| Location::Registry { name: name.to_owned() };
        self.cores =
            Cores { product: named("product"), recommendation: named("recommendation"), review: named("review") };
        Ok(())
    }
}

/// `BINDER` and what it needs.
fn binder(variables: &Variables) -> Result<BinderKind, ConfigError> {
    match variables.text(BINDER.name).unwrap_or(BINDER.default) {
        "embedded" => Ok(BinderKind::Embedded),
        "rabbitmq" => {
            let url = variables.text(RABBITMQ_URL.name).unwrap_or(RABBITMQ_URL.default);
            // The value may hold a password.
            let url =
                url.parse().map_err(|error: anyhow::Error| refused(RABBITMQ_URL.name, "…", &error.to_string()))?;
            let management = match variables.text(MANAGEMENT_URL.name) {
                None => None,
                Some(_) => Some(variables.url(MANAGEMENT_URL)?),
            };
            Ok(BinderKind::RabbitMq(url, management))
        }
        "kafka" => {
            Ok(BinderKind::Kafka(variables.read(KAFKA_BROKERS, "HOST:PORT, or several with commas in between")?))
        }
        other => Err(refused(BINDER.name, other, "embedded, rabbitmq or kafka")),
    }
}

/// The URL in `variable`; without one, `name` in the registry, where there is one.
fn core(variables: &Variables, variable: Variable, name: &str) -> Result<Location, ConfigError> {
    match variables.text(variable.name) {
        None if variables.text(discovery::URL.name).is_some() => Ok(Location::Registry { name: name.to_owned() }),
        _ => variables.location(variable),
    }
}

/// `TAKEOVER`.
fn takeover(variables: &Variables) -> Result<bool, ConfigError> {
    match variables.text(TAKEOVER.name).unwrap_or(TAKEOVER.default) {
        "on" => Ok(true),
        "off" if variables.text(INSTANCE_INDEX.name).is_none() => {
            Err(refused(TAKEOVER.name, "off", "on, since INSTANCE_INDEX is not set"))
        }
        "off" => Ok(false),
        other => Err(refused(TAKEOVER.name, other, "on or off")),
    }
}

/// `INSTANCE_INDEX` and `INSTANCE_COUNT`.
fn instance(variables: &Variables) -> Result<Option<Instance>, ConfigError> {
    let (index, count) = (variables.text(INSTANCE_INDEX.name), variables.text(INSTANCE_COUNT.name));
    let Some(text) = index else {
        return Ok(None);
    };
    let count = match count {
        None => return Err(refused(INSTANCE_COUNT.name, "", "a whole number, since INSTANCE_INDEX is set")),
        Some(_) => variables.number(INSTANCE_COUNT, 1, 1000)?,
    };
    let index = variables.number(INSTANCE_INDEX, 0, 999)?;
    if index >= count {
        return Err(refused(INSTANCE_INDEX.name, text, "a number below INSTANCE_COUNT"));
    }
    Ok(Some(Instance { index, count }))
}

/// The part of `--help` that lists variables, after the ports of the program.
pub fn help(ports: &[(&str, u16, &str)], variables: &[&[Variable]]) -> String {
    let mut help = String::from("Environment variables:\n");
    let mut line = |name: &str, default: &str, meaning: &str| {
        let default = if default.is_empty() { "unset" } else { default };
        // Writing to a string cannot fail.
        let _ = writeln!(help, "  {name:<27} {meaning} [{default}]");
    };
    for (name, default, meaning) in ports {
        line(name, &default.to_string(), meaning);
    }
    for variable in variables.iter().copied().flatten() {
        line(variable.name, variable.default, variable.meaning);
    }
    help
}

#[cfg(test)]
mod tests;
