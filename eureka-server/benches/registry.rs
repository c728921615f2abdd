//! What the registry reaches beside Spring's, in the same run: with a thousand instances, how many renewals and how many
//! compressed reads of everything a second, how much memory, how soon it answers after its start.
//!
//! `cargo bench -p eureka-server`. It needs Java and Maven. Machines differ and are never quiet: quote the ratios.

// A benchmark prints, and ends where something does not work.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use testkit::servers::Eureka;
use tokio::net::TcpStream;

const INSTANCES: usize = 1000;
const CONNECTIONS: usize = 16;
const SLICE: Duration = Duration::from_secs(5);

/// What was measured of one registry.
struct Measured {
    start: Duration,
    idle: u64,
    renewals: f64,
    reads: f64,
    loaded: u64,
}

#[tokio::main]
async fn main() {
    let begun = Instant::now();
    let ours = Ours::start().await;
    let ours = measure(&ours.authority, ours.process.id(), begun.elapsed()).await;
    show("ours", &ours);
    let begun = Instant::now();
    let springs = Eureka::measured().await.unwrap();
    let authority = springs.url.strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
    let springs = measure(&authority, springs.pid(), begun.elapsed()).await;
    show("Spring's", &springs);
    println!(
        "ours / Spring's: renewals {:.1}, reads {:.1}, memory {:.3} idle and {:.3} after the load, start {:.4}",
        ours.renewals / springs.renewals,
        ours.reads / springs.reads,
        ratio(ours.idle, springs.idle),
        ratio(ours.loaded, springs.loaded),
        ours.start.as_secs_f64() / springs.start.as_secs_f64(),
    );
}

fn show(whose: &str, measured: &Measured) {
    let Measured { start, idle, renewals, reads, loaded } = measured;
    println!(
        "{whose:<9} {renewals:>7.0} renewals/s  {reads:>6.0} reads/s  {:.1} MB idle  {:.1} MB after the load  start {start:.0?}",
        megabytes(*idle),
        megabytes(*loaded),
    );
}

// Kilobytes are far from where a float loses whole numbers.
#[allow(clippy::cast_precision_loss)]
fn megabytes(kilobytes: u64) -> f64 {
    kilobytes as f64 / 1000.0
}

fn ratio(one: u64, other: u64) -> f64 {
    megabytes(one) / megabytes(other)
}

/// Our registry as a process.
struct Ours {
    process: Child,
    authority: String,
}

impl Ours {
    async fn start() -> Self {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_eureka-server"));
        command.env("PORT", port.to_string()).env("HOST", "127.0.0.1").env("RUST_LOG", "warn").stdout(Stdio::null());
        let ours = Self { process: command.spawn().unwrap(), authority: format!("127.0.0.1:{port}") };
        while TcpStream::connect(&ours.authority).await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        ours
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn measure(authority: &str, pid: u32, start: Duration) -> Measured {
    let idle = resident(pid);
    let mut connection = Connection::open(authority).await;
    for n in 0..INSTANCES {
        assert_eq!(connection.ask(Method::POST, &format!("/eureka/apps/{}", app(n)), instance(n)).await, 204);
    }
    // Once to get warm, as those who have been running for long are.
    let renew = |n: usize| format!("/eureka/apps/{}/{}?status=UP&lastDirtyTimestamp=1700000000000", app(n), id(n));
    load(authority, Method::PUT, renew).await;
    let renewals = load(authority, Method::PUT, renew).await;
    let everything = |_| "/eureka/apps/".to_owned();
    load(authority, Method::GET, everything).await;
    let reads = load(authority, Method::GET, everything).await;
    Measured { start, idle, renewals, reads, loaded: resident(pid) }
}

/// How many requests a second are answered, on all connections.
async fn load(authority: &str, method: Method, path: impl Fn(usize) -> String) -> f64 {
    let paths: Vec<_> = (0..INSTANCES).map(path).collect();
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(authority).await);
    }
    let begun = Instant::now();
    let loads: Vec<_> = (connections.into_iter().enumerate())
        .map(|(first, mut connection)| {
            let (method, paths) = (method.clone(), paths.clone());
            tokio::spawn(async move {
                let mut count = 0_u32;
                for path in paths.iter().cycle().skip(first * INSTANCES / CONNECTIONS) {
                    if begun.elapsed() > SLICE {
                        break;
                    }
                    assert_eq!(connection.ask(method.clone(), path, Bytes::new()).await, 200);
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut count = 0;
    for load in loads {
        count += load.await.unwrap();
    }
    f64::from(count) / begun.elapsed().as_secs_f64()
}

/// A connection, and where it leads.
struct Connection(SendRequest<Full<Bytes>>, String);

impl Connection {
    async fn open(authority: &str) -> Self {
        let stream = TcpStream::connect(authority).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (requests, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(requests, authority.to_owned())
    }

    async fn ask(&mut self, method: Method, path: &str, body: Bytes) -> u16 {
        let request = Request::builder().method(method).uri(path).header("host", "registry");
        let request = request.header("accept", "application/json").header("accept-encoding", "gzip");
        let request = request.header("content-type", "application/json").body(Full::new(body)).unwrap();
        // Tomcat closes each after a hundred requests.
        if self.0.ready().await.is_err() {
            *self = Self::open(&self.1.clone()).await;
        }
        let answer = self.0.send_request(request).await.unwrap();
        let status = answer.status().as_u16();
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            frame.unwrap();
        }
        status
    }
}

fn app(n: usize) -> String {
    format!("APP{}", n % 50)
}

fn id(n: usize) -> String {
    format!("host{n}:app{}:8080", n % 50)
}

fn instance(n: usize) -> Bytes {
    let url = |path: &str| format!("http://host{n}:8080/{path}");
    let instance = json!({
        "instanceId": id(n), "hostName": format!("host{n}"), "app": app(n), "ipAddr": format!("192.0.2.{}", n % 250),
        "status": "UP", "port": {"$": 8080, "@enabled": "true"}, "securePort": {"$": 443, "@enabled": "false"},
        "dataCenterInfo": {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"},
        "leaseInfo": {"renewalIntervalInSecs": 30, "durationInSecs": 90}, "metadata": {"management.port": "8080"},
        "homePageUrl": url(""), "statusPageUrl": url("actuator/info"), "healthCheckUrl": url("actuator/health"),
        "vipAddress": format!("app{}", n % 50), "lastDirtyTimestamp": "1700000000000",
    });
    Bytes::from(json!({ "instance": instance }).to_string())
}

/// The memory of a process that is in use, in kilobytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
