//! The containers of a compose file, for one test. They are taken down when it ends, however it ends.

use crate::broker::Broker;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use testkit::eventually;
use uuid::Uuid;

/// The service of the databases.
pub(crate) const POSTGRES: &str = "postgres";
/// The registry, by which the composite finds the others.
pub(crate) const REGISTRY: &str = "eureka";
/// Those of ours that are killed.
pub(crate) const INSTANCES: [&str; 6] =
    ["product", "product-p1", "recommendation", "recommendation-p1", "review", "review-p1"];
/// What every file publishes on this machine.
const PORTS: [u16; 3] = [8080, 8761, 5432];
pub(crate) const COMPOSITE: &str = "http://127.0.0.1:8080";
/// The databases, of which each has the name of its service.
pub(crate) const DATABASES: &str = "postgres://postgres:postgres@127.0.0.1:5432/";
/// User names and passwords that this machine has for a landscape of somebody's own are not those of a test.
const VARIABLES: [(&str, &str); 4] = [
    ("RABBITMQ_USER", "guest"),
    ("RABBITMQ_PASSWORD", "guest"),
    ("POSTGRES_USER", "postgres"),
    ("POSTGRES_PASSWORD", "postgres"),
];

/// Takes the project down.
const DOWN: [&str; 3] = ["down", "--volumes", "--remove-orphans"];
/// Does that when the test has ended without saying that it did; the second time for what was still being made then.
const REAPER: &str = "trap '' HUP INT TERM; read -r said && exit; \"$@\"; sleep 10; \"$@\"";

/// How long a container may take to be up again after a start.
const STARTED: Duration = Duration::from_secs(60);

/// The containers, under a project name of their own.
pub(crate) struct Compose {
    /// `docker compose`, or the older `docker-compose`, with the words that name file and project.
    command: Vec<String>,
    /// Services with their containers.
    containers: Vec<(String, String)>,
    reaper: Child,
}

impl Compose {
    /// Makes and starts all containers of the file with this broker, and waits until the landscape is well.
    pub(crate) async fn up(broker: Broker) -> Self {
        for port in PORTS.iter().chain(broker.ports()).copied() {
            let taken = TcpStream::connect(("127.0.0.1", port)).is_ok();
            assert!(!taken, "port {port} is in use: end what listens there, such as a landscape of yours");
        }
        let found = Command::new("docker").args(["compose", "version"]).output();
        let plugin = found.expect("this test needs docker").status.success();
        let project = format!("faults-{}", &Uuid::new_v4().simple().to_string()[..8]);
        let compose = if plugin { &["docker", "compose"][..] } else { &["docker-compose"] };
        let command: Vec<_> =
            [compose, &["-f", broker.compose_file(), "-p", &project]].concat().into_iter().map(str::to_owned).collect();
        // Before the containers, so that there is no moment in which they could be left behind.
        let mut reaper = Command::new("sh");
        reaper.args(["-c", REAPER, "sh"]).args(&command).args(DOWN).envs(VARIABLES);
        // What is typed to end the tests ends their process group; this process must come after them.
        reaper.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut compose = Self { command, containers: Vec::new(), reaper: reaper.spawn().unwrap() };

        compose.compose(&["up", "-d", "--no-build"]).await;
        for service in compose.compose(&["ps", "--services"]).await.lines() {
            let container = compose.compose(&["ps", "-q", service]).await;
            // The operator's service has none.
            if !container.is_empty() {
                compose.containers.push((service.to_owned(), container));
            }
        }
        for (service, _) in &compose.containers {
            if ![broker.service(), POSTGRES].contains(&service.as_str()) {
                compose.until_well(service).await;
            }
        }
        compose
    }

    /// Kills the containers of these services where they stand, all at once.
    pub(crate) async fn kill(&self, services: &[&str]) {
        self.docker(&["kill", "-s", "KILL"], services).await;
    }

    pub(crate) async fn start(&self, services: &[&str]) {
        self.docker(&["start"], services).await;
    }

    /// Executes a command in the container of a service.
    pub(crate) async fn execute(&self, service: &str, command: &[&str]) -> Result<String, String> {
        run([&["docker", "exec", self.container(service)], command].concat()).await
    }

    /// Waits until a service of ours says that it is well.
    pub(crate) async fn until_well(&self, service: &str) {
        let what = format!("{service} is well");
        eventually(STARTED, &what, async || self.execute(service, &["/usr/local/bin/service", "healthcheck"]).await)
            .await;
    }

    /// Fails if a container ended that nobody has killed.
    pub(crate) async fn all_run(&self) {
        let form = "{{.State.Running}} {{.State.OOMKilled}} {{.RestartCount}}";
        for (service, container) in &self.containers {
            let state = run(vec!["docker", "inspect", "-f", form, container]).await.unwrap();
            assert_eq!(state, "true false 0", "whether {service} runs, was killed for its memory, was restarted");
        }
    }

    fn container(&self, service: &str) -> &str {
        let found = self.containers.iter().find(|(name, _)| name == service);
        &found.unwrap_or_else(|| panic!("there is no {service} among {:?}", self.containers)).1
    }

    async fn docker(&self, command: &[&str], services: &[&str]) {
        let containers = services.iter().map(|service| self.container(service));
        let command = ["docker"].iter().chain(command).copied().chain(containers).collect();
        run(command).await.unwrap();
    }

    async fn compose(&self, arguments: &[&str]) -> String {
        run(self.command.iter().map(String::as_str).chain(arguments.iter().copied()).collect()).await.unwrap()
    }
}

impl Drop for Compose {
    fn drop(&mut self) {
        let command = |arguments: &[&str]| {
            let mut command = Command::new(&self.command[0]);
            command.args(&self.command[1..]).args(arguments).envs(VARIABLES);
            command
        };
        if std::thread::panicking() {
            // The reason is often only there.
            let _ = command(&["logs", "--no-color", "--tail", "60"]).status();
        }
        let down = command(&DOWN).stdout(Stdio::null()).stderr(Stdio::null()).status();
        let reaper = self.reaper.stdin.take();
        if let (Some(mut reaper), true) = (reaper, down.is_ok_and(|down| down.success())) {
            let _ = reaper.write_all(b"taken down\n");
        }
        let _ = self.reaper.wait();
    }
}

/// What a command prints, without the space around it; or what it complained of.
async fn run(words: Vec<&str>) -> Result<String, String> {
    let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    let said = words.join(" ");
    let ran = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).envs(VARIABLES).env_remove("COMPOSE_FILE").env_remove("COMPOSE_PROFILES");
        command.stdin(Stdio::null()).output()
    });
    let output = ran.await.unwrap().map_err(|error| format!("{said} cannot be run: {error}"))?;
    let printed = if output.status.success() { &output.stdout } else { &output.stderr };
    let printed = String::from_utf8_lossy(printed).trim().to_owned();
    if output.status.success() { Ok(printed) } else { Err(format!("{said} failed: {printed}")) }
}
