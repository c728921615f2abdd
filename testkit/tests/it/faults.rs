//! The program `faults`, where it cannot do its work, and where it is ended early.

use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use testkit::servers::found;

/// What it says before it ends with an error, where there is no Docker.
fn refusal(arguments: &[&str]) -> String {
    let tools = tempfile::tempdir().unwrap();
    for tool in ["sh", "cat"] {
        symlink(format!("/bin/{tool}"), tools.path().join(tool)).unwrap();
    }
    let mut faults = Command::new(env!("CARGO_BIN_EXE_faults"));
    let ended =
        faults.args(arguments).args(["--kinds", "kill"]).env_clear().env("PATH", tools.path()).output().unwrap();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    String::from_utf8(ended.stderr).unwrap()
}

#[test]
fn a_run_without_the_server_that_it_needs_says_so() {
    for (arguments, server) in [
        (["--binder", "rabbitmq"].as_slice(), "RabbitMQ"),
        (&["--binder", "kafka"], "Kafka"),
        (&["--binder", "embedded", "--database", "postgres"], "PostgreSQL"),
    ] {
        let said = refusal(arguments);
        let sentence = format!("error: {server} is needed for this run, in a container: docker cannot be run: ");
        assert!(said.starts_with(&sentence) && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn a_run_whose_journal_cannot_be_written_says_so() {
    let said = refusal(&["--binder", "embedded", "--journal", "/nowhere/journal"]);
    assert_eq!(said, "error: the journal /nowhere/journal cannot be used: No such file or directory (os error 2)\n");
}

/// A run that would last an hour; after its first strike `then` is done, given the id of its process. What it says until
/// its end, and what its journal holds.
fn run(then: impl FnOnce(u32)) -> (Option<i32>, String, String, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    let mut faults = Command::new(env!("CARGO_BIN_EXE_faults"));
    let options = ["--binder", "embedded", "--kinds", "pause", "--minutes", "60", "--clients", "8", "--journal"];
    let piped = faults.args(options).arg(&journal).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let mut said = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    while !said.contains("all well after") {
        assert!(stdout.read_line(&mut said).unwrap() > 0, "it ended: {said}");
    }
    then(child.id());
    stdout.read_to_string(&mut said).unwrap();
    let ended = child.wait_with_output().unwrap();
    let journal = fs::read_to_string(&journal).unwrap();
    let lines = journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (ended.status.code(), said, String::from_utf8(ended.stderr).unwrap(), lines)
}

/// Whether the programs of the services stand beside that of the faults.
fn programs() -> Result<(), String> {
    let beside = Path::new(env!("CARGO_BIN_EXE_faults")).with_file_name("product-composite-service");
    if beside.exists() { Ok(()) } else { Err(format!("there is no {}", beside.display())) }
}

fn kill(signal: &str, process: &str) {
    assert!(Command::new("sh").args(["-c", &format!("kill -s {signal} {process}")]).status().unwrap().success());
}

#[test]
fn a_run_that_is_interrupted_is_compared_and_counts() {
    let Some(()) = found(programs()) else { return };
    let (code, said, trouble, journal) = run(|run| kill("INT", &run.to_string()));
    assert_eq!((code, trouble.as_str()), (Some(0), ""), "{said}");
    assert!(said.contains("this strike is the last one") && said.contains("\n| all | "), "{said}");
    let total = &journal.last().unwrap()["total"];
    assert!(total["tally"]["events"].as_u64().unwrap() > 0, "{total}");
    let begun = journal.iter().filter(|line| line["fault"].is_object()).count() as u64;
    assert_eq!(total["kinds"]["pause"]["count"], begun, "{journal:?}");
}

#[test]
fn a_run_that_cannot_recover_shows_what_there_was_and_says_why() {
    let Some(()) = found(programs()) else { return };
    let (code, said, trouble, journal) = run(|run| {
        let tasks = fs::read_dir(format!("/proc/{run}/task")).unwrap();
        // A thread may end meanwhile.
        let children = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
        let children = children.collect::<Vec<_>>().join(" ");
        let is_a_product =
            |child: &&str| fs::read_to_string(format!("/proc/{child}/comm")).unwrap() == "product-service\n";
        kill("KILL", children.split_whitespace().find(is_a_product).unwrap());
    });
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("\n| all | ") && said.ends_with("\nThe run broke off: nothing was compared.\n\n"), "{said}");
    assert!(trouble.starts_with("error: product-"), "{trouble}");
    let why = "ended by itself with signal: 9 (SIGKILL); its last words: ";
    assert!(
        trouble.contains(why) && journal.last().unwrap()["broken"]["why"].as_str().unwrap().contains(why),
        "{trouble}"
    );
}
