//! Programs as child processes. One that a test leaves behind is killed.

use reqwest::Client;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use testkit::eventually;

/// The program under test.
pub(crate) const LANDSCAPE: &str = env!("CARGO_BIN_EXE_landscape");

/// How long anything may take that happens soon on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A process, with what it writes kept in files.
pub(crate) struct Process {
    child: Child,
    output: TempDir,
}

/// What became of a process.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Nothing where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Process {
    /// Starts `program`, which sees no other variables than these.
    pub(crate) fn start(program: impl AsRef<OsStr>, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::spawn(Command::new(program).args(arguments).env_clear().envs(variables.iter().copied()))
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let output = tempfile::tempdir().unwrap();
        let file = |name| File::create(output.path().join(name)).unwrap();
        let child = command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr")).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self { child, output }
    }

    pub(crate) fn stdout(&self) -> String {
        self.written("stdout")
    }

    pub(crate) fn stderr(&self) -> String {
        self.written("stderr")
    }

    fn written(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.output.path().join(name)).unwrap()).into_owned()
    }

    /// Sends the signal of this name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success(), "{kill}");
    }

    /// Kills it where it stands: SIGKILL, which no process sees coming.
    pub(crate) fn kill(&mut self) {
        // One that has ended already is an error here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> Ended {
        let status = eventually(SOON, "the process ends", async || match self.child.try_wait().unwrap() {
            Some(status) => Ok(status),
            None => Err(format!("no end of it; it said {} {}", self.stdout(), self.stderr())),
        })
        .await;
        Ended { code: status.code(), stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("a process said:\n{}{}", self.stdout(), self.stderr());
        }
    }
}

/// The landscape as a process, on free ports.
pub(crate) struct Landscape {
    pub(crate) process: Process,
    /// Where composite, product, recommendation and review answer.
    pub(crate) urls: [String; 4],
}

impl Landscape {
    /// Starts it and waits until it says where it answers.
    pub(crate) async fn start(data_dir: &Path, variables: &[(&str, &str)]) -> Self {
        let process = Self::starting(data_dir, variables);
        let urls = eventually(SOON, "the landscape says where it is", async || {
            let said = process.stdout();
            // The last line of all: what stands before it is complete.
            if !said.contains("Ctrl-C stops it.\n") {
                return Err(format!("only {said:?} and {:?}", process.stderr()));
            }
            Ok(["composite", "product", "recommendation", "review"].map(|name| {
                let line = said.lines().find_map(|line| line.trim().strip_prefix(name));
                line.unwrap().trim().to_owned()
            }))
        });
        let urls = urls.await;
        Self { process, urls }
    }

    /// Starts it and waits for nothing.
    pub(crate) fn starting(data_dir: &Path, variables: &[(&str, &str)]) -> Process {
        let ports = ["COMPOSITE_PORT", "PRODUCT_PORT", "RECOMMENDATION_PORT", "REVIEW_PORT", "EUREKA_PORT"]
            .map(|port| (port, "0"));
        let folder = [("DATA_DIR", data_dir.to_str().unwrap())];
        Process::start(LANDSCAPE, &[], &[&ports[..], &folder, variables].concat())
    }

    pub(crate) fn composite(&self) -> &str {
        &self.urls[0]
    }

    /// Runs a command of the landscape beside this one.
    pub(crate) async fn command(&self, data_dir: &Path, arguments: &[&str]) -> Ended {
        self.start_command(data_dir, arguments).ended().await
    }

    pub(crate) fn start_command(&self, data_dir: &Path, arguments: &[&str]) -> Process {
        let port = |number: usize| self.urls[number].rsplit(':').next().unwrap();
        Process::start(
            LANDSCAPE,
            arguments,
            &[
                ("DATA_DIR", data_dir.to_str().unwrap()),
                ("COMPOSITE_PORT", port(0)),
                ("PRODUCT_PORT", port(1)),
                ("RECOMMENDATION_PORT", port(2)),
                ("REVIEW_PORT", port(3)),
            ],
        )
    }

    /// Asks it to end and waits until it has.
    pub(crate) async fn stop(self, signal: &str) -> Ended {
        self.process.signal(signal);
        self.process.ended().await
    }
}

/// A client that no proxy comes between.
pub(crate) fn client() -> Client {
    Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap()
}
