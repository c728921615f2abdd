//! The programs of the landscape as processes, which are killed, stopped and started at the same ports again.

use crate::plan::{COMPOSITE, CORES, REGISTRY};
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};
use testkit::port::free_port;
use testkit::{SOON, reaper, within};

/// How long a service may take to see that it cannot start, on a busy machine too.
const ABOUT_TO_END: Duration = Duration::from_secs(2);

/// All of them. They are killed when this is dropped, or when this process ends: killed, too.
#[derive(Debug)]
pub(crate) struct Services {
    services: BTreeMap<&'static str, Service>,
    /// Leads the group of all their processes, which ends with it.
    leader: Child,
    _held: ChildStdin,
}

#[derive(Debug)]
struct Service {
    program: PathBuf,
    port: u16,
    variables: Vec<(String, String)>,
    log: PathBuf,
    child: Mutex<Option<Child>>,
}

impl Services {
    /// Starts them with `variables` besides those that each has of its own; what they log goes to files in `logs`.
    pub(crate) async fn start(logs: &Path, variables: impl Fn(&str) -> Vec<(String, String)>) -> Result<Self> {
        let names = CORES.into_iter().chain([COMPOSITE, REGISTRY]);
        let ports: BTreeMap<_, _> = names.map(|name| (name, free_port())).collect();
        let url = |name: &str| format!("http://127.0.0.1:{}", ports[name]);
        let mut services = BTreeMap::new();
        for (&name, &port) in &ports {
            let mut own = vec![("PORT".to_owned(), port.to_string()), ("HOST".to_owned(), "127.0.0.1".to_owned())];
            own.push(("RUST_LOG".to_owned(), "warn,lapin=off".to_owned()));
            if name != REGISTRY {
                own.push(("EUREKA_URL".to_owned(), format!("{}/eureka/", url(REGISTRY))));
                own.extend(variables(name));
            }
            if let Some((_, index)) = name.split_once('-') {
                own.push(("INSTANCE_INDEX".to_owned(), index.to_owned()));
                own.push(("INSTANCE_COUNT".to_owned(), "2".to_owned()));
            }
            let log = logs.join(name).with_extension("log");
            let service = Service { program: program(name)?, port, variables: own, log, child: Mutex::default() };
            services.insert(name, service);
        }
        // It ends with its input; those whom it leads are killed then.
        let leader = Command::new("cat").process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let held = reaper("kill -KILL \"-$0\"", &leader.id().to_string())?;
        let all = Self { services, leader, _held: held };
        for name in ports.keys() {
            all.start_again(name)?;
        }
        for name in ports.keys() {
            all.until_ready(name).await?;
        }
        Ok(all)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.services.keys().copied()
    }

    /// Where a service answers.
    pub(crate) fn port(&self, name: &str) -> u16 {
        self.services[name].port
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}", self.port(name))
    }

    /// Kills it where it stands.
    pub(crate) fn kill(&self, name: &str) -> Result<()> {
        if let Some(mut child) = self.child(name).take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Starts it where it was.
    pub(crate) fn start_again(&self, name: &str) -> Result<()> {
        let service = &self.services[name];
        let log = || File::options().create(true).append(true).open(&service.log);
        let mut command = Command::new(&service.program);
        command.env_clear().envs(service.variables.iter().map(|(name, value)| (name, value)));
        command.process_group(self.leader.id().try_into()?);
        let child = command.stdin(Stdio::null()).stdout(log()?).stderr(log()?).spawn();
        let child = child.with_context(|| format!("{} cannot be run", service.program.display()))?;
        *self.child(name) = Some(child);
        Ok(())
    }

    /// Starts those again that find no room for their files and end, as whoever supervises them does; for a while, since
    /// they may be about to.
    pub(crate) async fn start_ended(&self) -> Result<()> {
        let since = Instant::now();
        while since.elapsed() < ABOUT_TO_END {
            for name in self.names().filter(|name| self.runs(name).is_err()) {
                println!("{name} is started again: {}", self.said(name).lines().last().unwrap_or_default());
                self.start_again(name)?;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Stops it where it stands.
    pub(crate) fn stop(&self, name: &str) -> Result<()> {
        self.signal(name, Signal::STOP)
    }

    /// Lets it go on.
    pub(crate) fn go_on(&self, name: &str) -> Result<()> {
        self.signal(name, Signal::CONT)
    }

    /// Waits until it is ready.
    pub(crate) async fn until_ready(&self, name: &str) -> Result<()> {
        let url = format!("{}/actuator/health/readiness", self.url(name));
        let http = reqwest::Client::builder().no_proxy().timeout(SOON).build()?;
        within(6 * SOON, &format!("{name} is ready"), async || {
            if let Err(ended) = self.runs(name) {
                return Ok(Err(ended));
            }
            let answer = http.get(&url).send().await.map_err(|error| format!("{error:?}"))?;
            let status = answer.status();
            if status.is_success() { Ok(Ok(())) } else { Err(answer.text().await.unwrap_or_default()) }
        })
        .await?
    }

    /// Fails if one has ended by itself.
    pub(crate) fn all_run(&self) -> Result<()> {
        self.names().try_for_each(|name| self.runs(name))
    }

    /// Asks all of them to end; fails if one ends otherwise than it should.
    pub(crate) async fn end(self) -> Result<()> {
        self.all_run()?;
        for name in self.names() {
            self.signal(name, Signal::TERM)?;
        }
        for name in self.names() {
            let what = format!("{name} ends");
            let status = within(2 * SOON, &what, async || self.ended(name).ok_or("no end of it")).await?;
            ensure!(status.success(), "{name} ended with {status} after SIGTERM; its last words: {}", self.said(name));
        }
        Ok(())
    }

    fn runs(&self, name: &str) -> Result<()> {
        if let Some(status) = self.ended(name) {
            bail!("{name} ended by itself with {status}; its last words: {}", self.said(name));
        }
        Ok(())
    }

    fn ended(&self, name: &str) -> Option<ExitStatus> {
        self.child(name).as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    fn signal(&self, name: &str, signal: Signal) -> Result<()> {
        let child = self.child(name);
        let child = child.as_ref().with_context(|| format!("{name} is not there"))?;
        Ok(kill_process(Pid::from_child(child), signal)?)
    }

    fn child(&self, name: &str) -> MutexGuard<'_, Option<Child>> {
        self.services[name].child.lock().expect("nobody panics with it")
    }

    fn said(&self, name: &str) -> String {
        let log = fs::read_to_string(&self.services[name].log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        for name in self.names() {
            let _ = self.kill(name);
        }
        let _ = self.leader.kill();
        let _ = self.leader.wait();
    }
}

/// The program of a service, which Cargo puts beside this one.
fn program(name: &str) -> Result<PathBuf> {
    let file = match name.split_once('-') {
        Some((core, _)) => format!("{core}-service"),
        None if name == REGISTRY => "eureka-server".to_owned(),
        None => "product-composite-service".to_owned(),
    };
    let program = std::env::current_exe()?.with_file_name(file);
    ensure!(program.exists(), "there is no {}: build it with cargo build --workspace --bins", program.display());
    Ok(program)
}
