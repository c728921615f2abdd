//! Other processes on the same broker, to be killed: this binary again, told its task by its environment.

use crate::lab::{GROUP, Lab, SOON, THINGS, World, consuming, open, producing, thing};
use crate::scenarios::durability;
use crate::service::Setup;
use shared::database::Database;
use shared::messaging::{Binder, Instance};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

const LAB: &str = "BINDER_CONFORMANCE_LAB";
const ADDRESS: &str = "BINDER_CONFORMANCE_ADDRESS";
const DATABASE: &str = "BINDER_CONFORMANCE_DATABASE";
const WORK: &str = "BINDER_CONFORMANCE_WORK";

/// What a child process is to do.
pub(crate) struct Task {
    lab: String,
    address: String,
    database: String,
    work: String,
}

impl Task {
    /// The task of this process, if it is a child.
    pub(crate) fn of_this_process() -> Option<Self> {
        let told = |name| std::env::var(name).ok();
        Some(Self { lab: told(LAB)?, address: told(ADDRESS)?, database: told(DATABASE)?, work: told(WORK)? })
    }

    /// Does the task until somebody kills this process.
    pub(crate) async fn run(&self, labs: &[Arc<dyn Lab>]) {
        let lab = labs.iter().find(|lab| lab.name() == self.lab).unwrap();
        let binder = lab.binder(&self.address).await;
        match self.work.as_str() {
            "send" => send(&*binder).await,
            "hold" => hold(&*binder, &open(&self.database, SOON).await).await,
            "serve" => serve(World::at(lab.clone(), &self.address, &self.database).await).await,
            work => durability::send_requests(&*binder, work).await,
        }
    }

    /// Starts a child.
    pub(crate) fn start(lab: &str, address: &str, database: &str, work: &str) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let child = command.env(LAB, lab).env(ADDRESS, address).env(DATABASE, database).env(WORK, work);
        let mut process = child.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let said = lines.clone();
        let reader =
            std::thread::spawn(move || output.lines().for_each(|line| said.lock().unwrap().push(line.unwrap())));
        Child { process, lines, reader: Some(reader) }
    }
}

/// Sends event after event, and says so after each.
async fn send(binder: &dyn Binder) {
    let producer = binder.producer(&[producing(THINGS, 1, &[GROUP])]).await.unwrap();
    for seq in 1.. {
        let message = thing(1, seq);
        let said = format!("sent {}", message.id);
        producer.send(vec![message]).await.unwrap();
        println!("{said}");
    }
}

/// Takes a partition and the first batch, says so, and settles nothing.
async fn hold(binder: &dyn Binder, database: &Database) {
    let mut consumer = binder.consumer(&consuming(GROUP, 1), database).await.unwrap();
    let mut partition = consumer.assigned().await.unwrap();
    let _batch = partition.receive().await.unwrap().unwrap();
    println!("holds");
    // Polled all the time, as the contract wants it.
    while consumer.assigned().await.is_ok() {}
}

/// Is the first of two instances of the service.
async fn serve(world: World) {
    let instance = Some(Instance { index: 0, count: 2 });
    let _service = world.start(Setup { partitions: 2, instance, ..Setup::default() }).await;
    println!("serves");
    std::future::pending().await
}

/// A process that somebody else has started and that ends by a kill.
pub(crate) struct Child {
    process: std::process::Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Child {
    /// What it has said so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Lets it do nothing from now on, while its connections stand; or lets it go on.
    pub(crate) fn freeze(&self, frozen: bool) {
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let sent = Command::new("kill").args([signal, &self.process.id().to_string()]).status();
        assert!(sent.unwrap().success(), "the child is there");
        // On a busy machine its threads go on until one of them has taken the signal.
        let (start, stat) = (Instant::now(), format!("/proc/{}/stat", self.process.id()));
        // Where there is no such file, the signal is trusted.
        while std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T ") != frozen) {
            assert!(start.elapsed() < SOON, "the child does not take {signal}");
        }
    }

    /// Kills it where it stands; returns all that it said.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.end();
        self.lines()
    }

    fn end(&mut self) {
        // SIGKILL, which no process sees coming. One that has ended already is an error elsewhere.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}
