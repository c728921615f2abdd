use super::{Health, Indicator, Status};
use anyhow::Context;
use async_trait::async_trait;
use std::path::{Path, PathBuf};
use tokio::task::spawn_blocking;

/// Says that the service answers.
#[derive(Debug)]
pub struct Ping;

#[async_trait]
impl Indicator for Ping {
    async fn check(&self) -> anyhow::Result<Health> {
        Ok(Health::up())
    }
}

/// Watches the space where a service keeps its data.
#[derive(Debug)]
pub struct DiskSpace {
    path: PathBuf,
    threshold: u64,
}

impl DiskSpace {
    /// DOWN when less than 10 MiB are free around `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), threshold: 10 * 1024 * 1024 }
    }
}

#[async_trait]
impl Indicator for DiskSpace {
    async fn check(&self) -> anyhow::Result<Health> {
        let path = std::path::absolute(&self.path)?;
        let name = path.to_string_lossy().into_owned();
        // A file system over a network may not answer, and then only a spare thread waits for it.
        let (total, free, exists) = spawn_blocking(move || measure(&path)).await??;
        let status = if free < self.threshold { Status::Down } else { Status::Up };
        Ok(Health::from(status)
            .with("total", total)
            .with("free", free)
            .with("threshold", self.threshold)
            .with("path", name)
            .with("exists", exists))
    }
}

/// Total and free bytes where `path` is or would be, and whether it is there.
fn measure(path: &Path) -> anyhow::Result<(u64, u64, bool)> {
    let there = path.ancestors().find(|path| path.exists()).context("there is no file system")?;
    let stat = rustix::fs::statvfs(there)?;
    Ok((stat.f_blocks.saturating_mul(stat.f_frsize), stat.f_bavail.saturating_mul(stat.f_frsize), there == path))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_disk_is_down() {
        let disk = DiskSpace { path: "/".into(), threshold: u64::MAX };
        assert_eq!(disk.check().await.unwrap().status(), Status::Down);
    }

    #[tokio::test]
    async fn a_folder_that_is_yet_to_be_made_is_measured_where_it_will_be() {
        let (total, free, exists) = measure(Path::new("/not/made/yet")).unwrap();
        assert!(total >= free && total > 0 && !exists);
        assert_eq!(measure(Path::new("/")).unwrap().0, total);
    }
}
