//! Programs in Java: the registry that ours takes the place of, and clients that were made for it. Maven builds them
//! into the target folder, once until a source of theirs changes.

use serde_json::Value;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::timeout;

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../eureka-server/tests/java");
/// How long a program may take until it says something, on a busy machine too.
const START: Duration = Duration::from_secs(90);
/// The compiler that thinks longest never gets its effort back in a test.
const SHORT_LIVED: [&str; 3] = ["-Xmx192m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];

/// A program that runs. It is killed when this is dropped, and ends by itself when this process does.
#[derive(Debug)]
pub struct Java {
    child: Child,
    commands: ChildStdin,
    said: Receiver<Value>,
}

impl Java {
    /// Starts a program by the folder of its sources and its class, with these system properties and these variables.
    pub async fn start(
        program: (&str, &str),
        properties: &[(&str, &str)],
        variables: &[(&str, &str)],
    ) -> Result<Self, String> {
        static BUILT: LazyLock<Result<PathBuf, String>> = LazyLock::new(build);
        let built = tokio::task::spawn_blocking(|| BUILT.clone()).await.expect("the thread ends")?;
        let properties = properties.iter().map(|(name, value)| format!("-D{name}={value}"));
        let archive = format!("-XX:SharedArchiveFile={}", archive(&built, program.0).display());
        let mut command = command(&built, program, properties.chain([archive]));
        command.envs(variables.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(cannot("java"))?;
        let commands = child.stdin.take().expect("a pipe");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let (sender, said) = channel(100);
        // Whatever else it prints is a log.
        std::thread::spawn(move || {
            let lines = lines.map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok());
            lines.into_iter().try_for_each(|line| sender.blocking_send(line))
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
        let said = timeout(START, self.said.recv()).await;
        said.map_err(|_| format!("a program in Java said nothing within {START:?}"))?.ok_or("it ended".to_owned())
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Why no program can be built or run here.
pub fn absent() -> Option<String> {
    let runs = |tool| Command::new(tool).arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    ["java", "mvn"].into_iter().find_map(|tool| runs(tool).map_err(cannot(tool)).err())
}

fn command(built: &Path, (folder, class): (&str, &str), options: impl IntoIterator<Item = String>) -> Command {
    let mut command = Command::new("java");
    let (jar, lib) = (built.join(folder).join(format!("{folder}.jar")), built.join(folder).join("lib/*"));
    command.args(SHORT_LIVED).args(options);
    command.arg("-cp").arg(format!("{}:{}", jar.display(), lib.display())).arg(format!("landscape.{class}"));
    command
}

/// The classes of a program as they stand in memory: with it a program starts in half the time, without it, it starts.
fn archive(built: &Path, folder: &str) -> PathBuf {
    built.join(folder).join("classes.jsa")
}

/// Has Maven build all programs, unless that is done; where they are.
fn build() -> Result<PathBuf, String> {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = exe.ancestors().find(|path| path.ends_with("deps")).and_then(|deps| deps.parent()?.parent());
    let built = target.ok_or("this is no test of Cargo's")?.join("java");
    prepare(&built).map_err(|error| format!("the programs in Java cannot be built: {error}"))?;
    Ok(built)
}

fn prepare(built: &Path) -> io::Result<()> {
    fs::create_dir_all(built)?;
    // Other test programs may want the same at the same time.
    let lock = File::create(built.join("lock"))?;
    lock.lock()?;
    let mut hasher = DefaultHasher::new();
    read(Path::new(SOURCES), &mut hasher)?;
    let (stamp, sources) = (built.join("sources"), hasher.finish().to_string());
    if fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == sources) {
        return Ok(());
    }
    let out = format!("-Dout={}", built.display());
    let mut maven = Command::new("mvn");
    maven.args(["-B", "-q", "clean", "package", &out]).current_dir(SOURCES).stdin(Stdio::null());
    let ran = maven.output()?;
    if !ran.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&ran.stdout).into_owned()));
    }
    // The registry is started often; one start pays for the archive.
    let archive = format!("-XX:ArchiveClassesAtExit={}", archive(built, "registry").display());
    let mut first = command(built, ("registry", "Registry"), [archive]);
    first.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    fs::write(stamp, sources)
}

/// Takes in all files of a folder, names and contents.
fn read(folder: &Path, hasher: &mut DefaultHasher) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            read(&path, hasher)?;
        } else {
            (path.file_name(), fs::read(&path)?).hash(hasher);
        }
    }
    Ok(())
}

fn cannot(tool: &str) -> impl Fn(io::Error) -> String {
    move |error| format!("{tool} cannot be run: {error}")
}
