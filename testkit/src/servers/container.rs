//! Containers that are removed when the process ends, however it ends. They are driven by the `docker` command, which
//! must be there anyway for that.

use crate::reaper;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;
use uuid::Uuid;

/// How often it is tried to pause a container again, and how long that takes.
const FREEZES: u32 = 20;
const FREEZE: Duration = Duration::from_millis(100);
/// The second try is for a container that was still being made at the first.
const REMOVE: &str = "docker rm -fv \"$0\"; sleep 5; docker rm -fv \"$0\"";

/// A container. It is removed when this is dropped, or when the process ends: killed too, and though a static is never
/// dropped.
#[derive(Debug)]
pub struct Container {
    name: String,
    /// The other end is read by a process that removes the container as soon as nobody holds this one.
    _held: ChildStdin,
}

impl Container {
    /// Makes a container of `image` that is still to be started. Each of `ports` is a port in it and the one on this
    /// machine, or any; each of `folders`, a folder in it and the one on this machine.
    pub(super) async fn create(
        image: &str,
        ports: &[(u16, Option<u16>)],
        folders: &[(&str, &Path)],
        environment: &[(&str, &str)],
        command: &[&str],
    ) -> Result<Self, String> {
        let name = format!("testkit-{}", Uuid::new_v4().simple());
        // Before the container, so that there is no moment in which it could be left behind.
        let held = reaper(REMOVE, &name).map_err(|error| format!("no process can be started: {error}"))?;
        let container = Self { name, _held: held };
        let mut arguments: Vec<String> = ["create", "--name", &container.name].into_iter().map(str::to_owned).collect();
        for (inner, outer) in ports {
            let outer = outer.map_or_else(String::new, |port| port.to_string());
            arguments.extend(["--publish".to_owned(), format!("127.0.0.1:{outer}:{inner}")]);
        }
        for (inner, outer) in folders {
            arguments.extend(["--volume".to_owned(), format!("{}:{inner}", outer.display())]);
        }
        for (variable, value) in environment {
            arguments.extend(["--env".to_owned(), format!("{variable}={value}")]);
        }
        arguments.push(image.to_owned());
        arguments.extend(command.iter().map(|&word| word.to_owned()));
        docker(arguments).await?;
        Ok(container)
    }

    /// The port on this machine that leads to port `inner` in the container.
    pub(super) async fn port(&self, inner: u16) -> Result<u16, String> {
        let said = docker(vec!["port".to_owned(), self.name.clone(), inner.to_string()]).await?;
        let port = said.lines().next().and_then(|line| line.rsplit(':').next()?.parse().ok());
        port.ok_or_else(|| format!("docker says {said:?} of port {inner}"))
    }

    /// Runs a command in the container, which has to be running.
    pub async fn execute(&self, words: &[&str]) -> Result<(), String> {
        let arguments = [&["exec", &self.name], words].concat();
        docker(arguments.into_iter().map(str::to_owned).collect()).await.map(drop)
    }

    /// Does this to the container: `start`, `kill`, `pause`, `unpause`.
    pub async fn command(&self, what: &str) -> Result<(), String> {
        let mut more = 0..FREEZES;
        loop {
            match docker(vec![what.to_owned(), self.name.clone()]).await {
                // Some kernels do not get hold of all threads of a container that is busy.
                Err(error) if error.contains("unable to freeze") && more.next().is_some() => {
                    tokio::time::sleep(FREEZE).await;
                }
                done => return done.map(drop),
            }
        }
    }
}

/// What `docker ARGUMENTS` prints.
async fn docker(arguments: Vec<String>) -> Result<String, String> {
    // What is typed to end this process is not for it: it finishes what it was asked for.
    let mut docker = Command::new("docker");
    docker.args(arguments).process_group(0).stdin(Stdio::null());
    let ran = tokio::task::spawn_blocking(move || docker.output());
    let output = ran.await.expect("the thread ends").map_err(|error| format!("docker cannot be run: {error}"))?;
    let said = String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr });
    let said = said.trim().to_owned();
    if output.status.success() { Ok(said) } else { Err(format!("docker failed: {said}")) }
}
