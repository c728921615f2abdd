//! Clients that were made for the original: Netflix's, Spring's, one in Python and one in JavaScript, all at once.

use crate::lab::{Kind, Lab};
use crate::recorder::Recorder;
use crate::words::product_with;
use eureka_server::settings::Settings;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use testkit::program::{absent, once, run};
use testkit::{Program, SOON, eventually, java};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

/// Why none of them can be run here.
pub(crate) fn missing() -> Option<String> {
    ["python3", "node", "npm"].into_iter().find_map(absent).or_else(java::absent)
}

/// A client that is registered.
struct Client {
    app: &'static str,
    id: String,
    program: Program,
    way: Recorder,
}

impl Client {
    async fn start(app: &'static str, lab: &Lab) -> Self {
        let way = Recorder::to(&lab.base).await;
        let base = way.base();
        let mut program = match app {
            "NETFLIX" => java::start(("netflix-client", "NetflixClient"), &netflix(&base), &[]).await,
            "SPRING" => java::start(("spring-client", "SpringClient"), &spring(&base), &[]).await,
            "PYTHON" => {
                let folder = made().await;
                Program::start(Command::new(folder.join("venv/bin/python")).arg(script("client.py")).arg(&base))
            }
            _ => {
                let modules = made().await.join("node_modules");
                Program::start(Command::new("node").env("NODE_PATH", modules).arg(script("client.js")).arg(&base))
            }
        }
        .unwrap();
        program.says().await.unwrap();
        let id = eventually(SOON, &format!("{app} at the registry"), async || {
            let answer = lab.get(&format!("/apps/{app}")).await;
            if answer.status != 200 {
                return Err(format!("{answer:?}"));
            }
            Ok(answer.json()["application"]["instance"][0]["instanceId"].as_str().unwrap().to_owned())
        })
        .await;
        Self { app, id, program, way }
    }

    /// Waits until it knows exactly these instances of an application.
    async fn sees(&mut self, app: &str, instances: &str) {
        eventually(SOON, &format!("{} sees {instances:?} of {app}", self.app), async || {
            let seen = self.program.ask(&format!("seen {app}")).await;
            if seen["seen"] == instances { Ok(()) } else { Err(seen) }
        })
        .await;
    }
}

/// Each renews, sees the others come, change and leave, by deltas, and is gone when it is stopped.
pub(crate) async fn clients_of_all_kinds_work_with_each_other(kind: Kind) {
    let lab = Lab::with(kind, Settings::default()).await;
    // It never renews.
    lab.register(product_with(json!({"leaseInfo": {"durationInSecs": 600}}))).await;
    let mut clients = Vec::new();
    for app in ["NETFLIX", "SPRING", "PYTHON", "JAVASCRIPT"] {
        clients.push(Client::start(app, &lab).await);
    }
    let everybody: Vec<_> = clients.iter().map(|client| (client.app, client.id.clone())).collect();
    for client in &mut clients {
        client.sees("PRODUCT", "h1:product:7001=UP").await;
        for (app, id) in &everybody {
            client.sees(app, &format!("{id}=UP")).await;
        }
    }

    // The one in JavaScript cannot change its status.
    for changed in 0..3 {
        let (app, id) = everybody[changed].clone();
        clients[changed].program.ask("status DOWN").await;
        for client in clients.iter_mut().filter(|client| client.app != app) {
            client.sees(app, &format!("{id}=DOWN")).await;
        }
    }

    while let Some(mut client) = clients.pop() {
        renews(&client).await;
        client.program.ask("stop").await;
        lab.answers(&format!("/apps/{}", client.app), 404).await;
        for other in &mut clients {
            other.sees(client.app, "").await;
        }
        let said = client.way.said();
        std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(client.app), said.join("\n\n")).unwrap();
        let whole = said.iter().filter(|request| is(request, "GET", "/apps/")).count();
        let deltas = said.iter().filter(|request| is(request, "GET", "/apps/delta")).count();
        // The one in JavaScript takes no change of an instance that it knows from a delta, and by itself asks for none.
        let by_deltas = client.app == "JAVASCRIPT" || deltas > 1 && whole <= 2;
        assert!(by_deltas, "{} asked for {deltas} deltas and {whole} times for all", client.app);
    }
}

/// Waits until the client has renewed twice more.
async fn renews(client: &Client) {
    let count = || client.way.said().iter().filter(|request| is(request, "PUT", &client.id)).count();
    let before = count();
    eventually(SOON, &format!("heartbeats of {}", client.app), async || match count() {
        now if now > before + 1 => Ok(()),
        now => Err(now - before),
    })
    .await;
}

fn is(request: &str, method: &str, end: &str) -> bool {
    let (said, target) = request.lines().next().unwrap().split_once(' ').unwrap();
    let path = target.split('?').next().unwrap().replace("%3A", ":");
    said == method && path.ends_with(end)
}

fn netflix(base: &str) -> [(&'static str, &str); 9] {
    [
        ("eureka.name", "netflix"),
        ("eureka.port", "7010"),
        ("eureka.vipAddress", "netflix"),
        ("eureka.serviceUrl.default", base),
        ("eureka.client.refresh.interval", "1"),
        ("eureka.lease.renewalInterval", "1"),
        ("eureka.appinfo.initial.replicate.time", "1"),
        ("eureka.appinfo.replicate.interval", "1"),
        ("eureka.shouldFilterOnlyUpInstances", "false"),
    ]
}

fn spring(base: &str) -> [(&'static str, &str); 3] {
    [
        ("spring.application.name", "spring"),
        ("eureka.client.service-url.defaultZone", base),
        ("eureka.instance.hostname", "localhost"),
    ]
}

fn script(name: &str) -> PathBuf {
    Path::new(SOURCES).join(name)
}

/// Where the packages are that the scripts need.
async fn made() -> PathBuf {
    static MADE: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| {
        once("clients", Path::new(SOURCES), |folder| {
            run(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")))?;
            let pip = ["install", "--quiet", "--disable-pip-version-check", "--requirement"];
            run(Command::new(folder.join("venv/bin/pip")).args(pip).arg(script("requirements.txt")))?;
            std::fs::copy(script("package.json"), folder.join("package.json"))?;
            run(Command::new("npm").args(["install", "--no-audit", "--no-fund"]).current_dir(folder))
        })
    });
    tokio::task::spawn_blocking(|| MADE.clone()).await.expect("the thread ends").unwrap()
}
