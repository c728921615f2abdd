//! The program `faults`, where it cannot do its work.

use std::os::unix::fs::symlink;
use std::process::Command;

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
