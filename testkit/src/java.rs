//! Programs in Java: the registry that ours takes the place of, and clients that were made for it. Maven builds them.

use crate::Program;
use crate::program::{once, run};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../eureka-server/tests/java");
/// The compiler that thinks longest never gets its effort back in a test.
const SHORT_LIVED: [&str; 3] = ["-Xmx192m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];
/// Whoever is measured runs as he would in a landscape.
const MEASURED: [&str; 1] = ["-Xmx512m"];

/// Why no program can be built or run here.
pub fn absent() -> Option<String> {
    ["java", "mvn"].into_iter().find_map(crate::program::absent)
}

/// Starts a program by the folder of its sources and its class, with these system properties and these variables.
pub async fn start(
    program: (&str, &str),
    properties: &[(&str, &str)],
    variables: &[(&str, &str)],
) -> Result<Program, String> {
    start_with(&SHORT_LIVED, program, properties, variables).await
}

/// Likewise to be measured.
pub async fn start_measured(program: (&str, &str), variables: &[(&str, &str)]) -> Result<Program, String> {
    start_with(&MEASURED, program, &[], variables).await
}

async fn start_with(
    machine: &[&str],
    program: (&str, &str),
    properties: &[(&str, &str)],
    variables: &[(&str, &str)],
) -> Result<Program, String> {
    static BUILT: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| once("java", Path::new(SOURCES), build));
    let built = tokio::task::spawn_blocking(|| BUILT.clone()).await.expect("the thread ends")?;
    let properties = properties.iter().map(|(name, value)| format!("-D{name}={value}"));
    let archive = format!("-XX:SharedArchiveFile={}", archive(&built, program.0).display());
    let log = File::options().create(true).append(true).open(built.join("stderr.log"));
    let log = log.map_err(|error| format!("there is no place for a log: {error}"))?;
    let mut command = command(machine, &built, program, properties.chain([archive]));
    Program::start(command.envs(variables.iter().copied()).stderr(log))
}

fn command(
    machine: &[&str],
    built: &Path,
    (folder, class): (&str, &str),
    options: impl IntoIterator<Item = String>,
) -> Command {
    let mut command = Command::new("java");
    let (jar, lib) = (built.join(folder).join(format!("{folder}.jar")), built.join(folder).join("lib/*"));
    command.args(machine).args(options);
    command.arg("-cp").arg(format!("{}:{}", jar.display(), lib.display())).arg(format!("landscape.{class}"));
    command
}

/// The classes of a program as they stand in memory: with it a program starts in half the time, without it, it starts.
fn archive(built: &Path, folder: &str) -> PathBuf {
    built.join(folder).join("classes.jsa")
}

fn build(folder: &Path) -> io::Result<()> {
    let out = format!("-Dout={}", folder.display());
    run(Command::new("mvn").args(["-B", "-q", "clean", "package", &out]).current_dir(SOURCES))?;
    // The registry is started often: one start, which ends with its empty input, pays for the archive.
    let archive = format!("-XX:ArchiveClassesAtExit={}", archive(folder, "registry").display());
    run(&mut command(&SHORT_LIVED, folder, ("registry", "Registry"), [archive]))
}
