//! Real servers: those that `DATABASE_URL`, `RABBITMQ_URL` and `KAFKA_BROKERS` name, else containers, one of a kind for
//! all tests of a process, started by the first that asks. Each test gets a database or a virtual host of its own there;
//! on Kafka, which has none, it gives names that are its own.
//!
//! - this file: who the servers are; [`kafka`](mod@kafka): one of them
//! - [`container`]: containers that are removed when the process ends, however it ends
//! - [`eureka`](mod@eureka): a registry that one test has for itself
//! - [`own`]: a server that one test has for itself, to be killed and frozen
//!
//! Where there is neither variable nor Docker the functions say so; [`found`] makes of that what is right for who runs
//! the tests.

pub mod container;
pub mod eureka;
pub mod kafka;
pub mod own;

use container::Container;
pub use eureka::Eureka;
pub use kafka::{Kafka, kafka};
pub use own::Own;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use shared::service::config::Variables;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use uuid::Uuid;

/// How long a server may take until it answers.
const START: Duration = Duration::from_secs(90);
/// User and password in containers.
const USER: &str = "landscape";
const PASSWORD: &str = "secret";

/// The server, or nothing where there is none. Who has no server goes on without it and sees why; who checks a change,
/// with `CI` set, may not.
pub fn found<T>(server: Result<T, String>) -> Option<T> {
    let reason = match server {
        Ok(server) => return Some(server),
        Err(reason) => reason,
    };
    assert!(Variables::from_env().text("CI").is_none(), "{reason}");
    let thread = std::thread::current();
    // Not by the macro, whose output a test that passes never shows.
    let _ = writeln!(std::io::stderr(), "{} left out: {reason}", thread.name().unwrap_or("a test"));
    None
}

/// A PostgreSQL server.
#[derive(Debug)]
pub struct Postgres {
    admin: Url,
    _container: Option<Container>,
}

/// The PostgreSQL server of this process.
pub async fn postgres() -> Result<&'static Postgres, String> {
    static SERVER: OnceCell<Result<Postgres, String>> = OnceCell::const_new();
    SERVER.get_or_init(Postgres::find).await.as_ref().map_err(Clone::clone)
}

impl Postgres {
    async fn find() -> Result<Self, String> {
        if let Some(url) = Variables::from_env().text("DATABASE_URL").filter(|url| url.starts_with("postgres")) {
            let admin = url.parse().map_err(|error| format!("DATABASE_URL cannot be read: {error}"))?;
            return Ok(Self { admin, _container: None });
        }
        let container = Self::container(None, None).await.map_err(|error| format!("no DATABASE_URL, and {error}"))?;
        container.command("start").await?;
        let server = Self::in_container(container.port(5432).await?);
        server.until_answered().await?;
        Ok(Self { _container: Some(container), ..server })
    }

    /// A container, on this port or any. Its commits need not survive the machine, and there are many tests at a time.
    async fn container(port: Option<u16>, data: Option<&Path>) -> Result<Container, String> {
        let folders = data.map(|data| ("/var/lib/postgresql/data", data));
        let environment = [("POSTGRES_USER", USER), ("POSTGRES_PASSWORD", PASSWORD)];
        let command = ["postgres", "-c", "fsync=off", "-c", "max_connections=500"];
        Container::create("postgres:17", &[(5432, port)], folders.as_slice(), &environment, &command).await
    }

    fn in_container(port: u16) -> Self {
        let admin = format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres").parse().expect("a URL");
        Self { admin, _container: None }
    }

    /// Waits until it answers.
    pub async fn until_answered(&self) -> Result<(), String> {
        until_answered("PostgreSQL", async || PgConnection::connect(self.admin.as_str()).await?.close().await).await
    }

    /// The URL of a new, empty database.
    pub async fn database(&self) -> String {
        let name = format!("test_{}", Uuid::new_v4().simple());
        self.execute(&format!("CREATE DATABASE {name}")).await;
        self.named(&name)
    }

    /// The URL of the database of this name, whether or not there is one.
    pub fn named(&self, name: &str) -> String {
        let mut url = self.admin.clone();
        url.set_path(name);
        url.into()
    }

    /// As [`named`](Self::named), with this password.
    pub fn named_with_password(&self, name: &str, password: &str) -> String {
        let mut url: Url = self.named(name).parse().expect("a URL");
        url.set_password(Some(password)).expect("a URL that has a user");
        url.into()
    }

    /// Executes what the administrator may.
    pub async fn execute(&self, sql: &str) {
        let mut connection = PgConnection::connect(self.admin.as_str()).await.expect("PostgreSQL can be reached");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("PostgreSQL executes it");
        connection.close().await.expect("PostgreSQL lets go");
    }
}

/// A RabbitMQ broker.
#[derive(Debug)]
pub struct RabbitMq {
    amqp: Url,
    management: Url,
    _container: Option<Container>,
}

/// A virtual host.
#[derive(Debug, Clone)]
pub struct Vhost {
    /// Its name.
    pub name: String,
    /// Where it is, with user and password.
    pub url: String,
    /// Where the broker is managed, by the same user.
    pub management: String,
}

/// The RabbitMQ broker of this process.
pub async fn rabbitmq() -> Result<&'static RabbitMq, String> {
    static BROKER: OnceCell<Result<RabbitMq, String>> = OnceCell::const_new();
    BROKER.get_or_init(RabbitMq::find).await.as_ref().map_err(Clone::clone)
}

impl RabbitMq {
    async fn find() -> Result<Self, String> {
        let variables = Variables::from_env();
        if let Some(url) = variables.text("RABBITMQ_URL") {
            let amqp: Url = url.parse().map_err(|error| format!("RABBITMQ_URL cannot be read: {error}"))?;
            let beside = || format!("http://{}:15672", amqp.host_str().unwrap_or("localhost"));
            let management = variables.text("RABBITMQ_MANAGEMENT_URL").map_or_else(beside, str::to_owned);
            let management =
                management.parse().map_err(|error| format!("RABBITMQ_MANAGEMENT_URL cannot be read: {error}"))?;
            return Ok(Self { amqp, management, _container: None });
        }
        let container = Self::container(None, None).await.map_err(|error| format!("no RABBITMQ_URL, and {error}"))?;
        container.command("start").await?;
        let broker = Self::in_container(container.port(5672).await?, container.port(15672).await?);
        broker.until_answered().await?;
        Ok(Self { _container: Some(container), ..broker })
    }

    /// A container, with AMQP and management on these ports or any.
    async fn container(ports: Option<(u16, u16)>, data: Option<&Path>) -> Result<Container, String> {
        let folders = data.map(|data| ("/var/lib/rabbitmq", data));
        let ports = [(5672, ports.map(|(amqp, _)| amqp)), (15672, ports.map(|(_, management)| management))];
        let environment = [("RABBITMQ_DEFAULT_USER", USER), ("RABBITMQ_DEFAULT_PASS", PASSWORD)];
        Container::create("rabbitmq:4-management", &ports, folders.as_slice(), &environment, &[]).await
    }

    fn in_container(amqp: u16, management: u16) -> Self {
        Self {
            amqp: format!("amqp://{USER}:{PASSWORD}@127.0.0.1:{amqp}/%2f").parse().expect("a URL"),
            management: format!("http://127.0.0.1:{management}").parse().expect("a URL"),
            _container: None,
        }
    }

    /// A new, empty virtual host, on which the user may do everything.
    pub async fn vhost(&self) -> Vhost {
        let name = format!("test-{}", Uuid::new_v4().simple());
        let user = self.user();
        self.manage(Method::PUT, &format!("vhosts/{name}"), json!({})).await.expect("a virtual host");
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        self.manage(Method::PUT, &format!("permissions/{name}/{user}"), all).await.expect("permissions");
        let mut url = self.amqp.clone();
        url.set_path(&name);
        let management = self.management.as_str().trim_end_matches('/').to_owned();
        Vhost { name, url: url.into(), management }
    }

    /// Asks the management API, such as `PUT vhosts/NAME`; what it answers, if that is JSON.
    pub async fn manage(&self, method: Method, path: &str, body: Value) -> Result<Value, String> {
        let url = self.management.join(&format!("/api/{path}")).map_err(|error| error.to_string())?;
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
        let request =
            client.request(method, url).basic_auth(self.user(), Some(self.amqp.password().unwrap_or("guest")));
        let answer = request.json(&body).send().await.map_err(|error| error.to_string())?;
        let answer = answer.error_for_status().map_err(|error| error.to_string())?;
        Ok(answer.json().await.unwrap_or_default())
    }

    fn user(&self) -> &str {
        Some(self.amqp.username()).filter(|user| !user.is_empty()).unwrap_or("guest")
    }

    /// Waits for both of its doors: what is declared over one is used over the other.
    pub async fn until_answered(&self) -> Result<(), String> {
        until_answered("RabbitMQ's management", async || self.manage(Method::GET, "overview", Value::Null).await)
            .await?;
        until_answered("RabbitMQ", async || {
            let address = self.amqp.socket_addrs(|| Some(5672)).map_err(|error| error.to_string())?;
            let mut stream = TcpStream::connect(&*address).await.map_err(|error| error.to_string())?;
            // A proxy in between accepts at once; only the broker says something.
            stream.write_all(b"AMQP\0\0\x09\x01").await.map_err(|error| error.to_string())?;
            stream.read_u8().await.map_err(|error| error.to_string())
        })
        .await
        .map(drop)
    }
}

/// Asks until a server that starts answers: what it logs on its way says less.
async fn until_answered<T, E: Display>(who: &str, mut ask: impl AsyncFnMut() -> Result<T, E>) -> Result<T, String> {
    let start = Instant::now();
    loop {
        let seen = match timeout(Duration::from_secs(5), ask()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        if start.elapsed() > START {
            return Err(format!("{who} did not answer within {START:?}: {seen}"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
