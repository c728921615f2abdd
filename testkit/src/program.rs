//! Programs that others wrote, or that are written around what others wrote: made once into the target folder, then
//! told what to do by lines, which they answer by lines of JSON.

use serde_json::Value;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::timeout;

/// How long a program may take until it says something, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(90);

/// A program that runs. It is killed when this is dropped, and has to end with its input, so that it does not outlive
/// this process either.
#[derive(Debug)]
pub struct Program {
    child: Child,
    commands: ChildStdin,
    said: Receiver<Value>,
}

impl Program {
    /// Starts it.
    pub fn start(command: &mut Command) -> Result<Self, String> {
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.map_err(|error| format!("{command:?} cannot be run: {error}"))?;
        let commands = child.stdin.take().expect("a pipe");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let (sender, said) = channel(100);
        // Whatever else it prints is a log.
        std::thread::spawn(move || {
            let mut lines = lines.map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok());
            lines.try_for_each(|line| sender.blocking_send(line))
        });
        Ok(Self { child, commands, said })
    }

    /// Says a line to it, and waits for its answer.
    pub async fn ask(&mut self, line: &str) -> Value {
        writeln!(self.commands, "{line}").expect("it listens");
        self.says().await.expect("it answers")
    }

    /// The next line that it says.
    pub async fn says(&mut self) -> Result<Value, String> {
        let said = timeout(PATIENCE, self.said.recv()).await;
        said.map_err(|_| format!("it said nothing within {PATIENCE:?}"))?.ok_or("it ended".to_owned())
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Why this command cannot be run here.
pub fn absent(tool: &str) -> Option<String> {
    let ran = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    ran.err().map(|error| format!("{tool} cannot be run: {error}"))
}

/// The folder of this name in the target folder, in which `make` made something of `sources`: now, or when they were
/// last as they are now.
pub fn once(name: &str, sources: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> Result<PathBuf, String> {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = exe.ancestors().find(|path| path.ends_with("deps")).and_then(|deps| deps.parent()?.parent());
    let folder = target.ok_or("this is no test of Cargo's")?.join(name);
    prepare(&folder, sources, make).map_err(|error| format!("{name} cannot be made: {error}"))?;
    Ok(folder)
}

fn prepare(folder: &Path, sources: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    // Other test programs may want the same at the same time.
    let lock = File::create(folder.join("lock"))?;
    lock.lock()?;
    let mut hasher = DefaultHasher::new();
    take_in(sources, &mut hasher)?;
    let (stamp, sources) = (folder.join("made-of"), hasher.finish().to_string());
    if fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == sources) {
        return Ok(());
    }
    make(folder)?;
    fs::write(stamp, sources)
}

/// Takes in all files of a folder, names and contents.
fn take_in(folder: &Path, hasher: &mut DefaultHasher) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            take_in(&path, hasher)?;
        } else {
            (path.file_name(), fs::read(&path)?).hash(hasher);
        }
    }
    Ok(())
}

/// Runs a command to its good end.
pub fn run(command: &mut Command) -> io::Result<()> {
    let ran = command.stdin(Stdio::null()).output()?;
    let said = || format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    if ran.status.success() { Ok(()) } else { Err(io::Error::other(format!("{command:?}: {}", said()))) }
}
