//! Cleaning up after this process, however it ends.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, Stdio};

/// Starts a process that executes `script`, with `of` as its `$0`, when the returned end of its input is closed: dropped,
/// or gone with this process, which may be killed and whose statics are never dropped.
pub fn reaper(script: &str, of: &str) -> io::Result<ChildStdin> {
    let mut reaper = Command::new("sh")
        .args(["-c", &format!("trap '' HUP INT TERM; cat; {script}"), of])
        // What is typed to end the tests ends their process group; this process must come after them.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    reaper.stdin.take().ok_or_else(|| io::Error::other("there is no pipe"))
}
