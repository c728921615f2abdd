//! The registry on disk, so that a restart wipes nobody.

use crate::bodies::{grouped, json};
use crate::directory::Directory;
use crate::registry::Origin;
use anyhow::Context;
use shared::discovery::wire::Applications;
use shared::discovery::wire::read::Rooted;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

/// Writes all instances, as `GET /eureka/apps` tells them, in the place of what was there, whole or not at all.
pub fn write(directory: &Directory, file: &Path) -> anyhow::Result<()> {
    let everything = directory.table().everything();
    let body = Applications { version: 1, applications: grouped(&everything), ..Applications::default() };
    let body = json("applications", &body)?;
    let unfinished = file.with_extension("unfinished");
    let mut writing = File::create(&unfinished).with_context(|| format!("{} cannot be made", unfinished.display()))?;
    writing.write_all(body.as_bytes())?;
    writing.sync_all()?;
    fs::rename(&unfinished, file).with_context(|| format!("{} cannot be replaced", file.display()))
}

/// Takes in whom a snapshot tells of, each for one lease: who lives renews it. Returns how many; none without a file.
pub fn read(directory: &Directory, file: &Path) -> anyhow::Result<usize> {
    let body = match fs::read(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        body => body.with_context(|| format!("{} cannot be read", file.display()))?,
    };
    let read: Rooted<Applications> =
        serde_json::from_slice(&body).with_context(|| format!("{} is no snapshot of a registry", file.display()))?;
    let instances = read.instance.applications.into_iter().flat_map(|application| application.instances);
    let mut count = 0;
    for instance in instances {
        // Who does not fit any more registers by himself.
        count += usize::from(directory.register(instance, Origin::Peer).is_ok());
    }
    Ok(count)
}
