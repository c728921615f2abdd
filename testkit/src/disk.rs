//! A small file system of its own, which can be full.

use crate::reaper;
use rustix::fs::statvfs;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use std::ffi::CString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ChildStdin;

/// A file system in memory. It goes when this is dropped, or when the process ends: killed, too.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    bytes: u64,
    _held: ChildStdin,
}

impl Disk {
    /// Mounts it at `folder`, which is made, with so many bytes. Only root may.
    pub fn mount(folder: &Path, bytes: u64) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let held = reaper("umount -l \"$0\"", &folder.to_string_lossy())?;
        mount("tmpfs", folder, "tmpfs", MountFlags::empty(), Some(&*of_size(bytes)))?;
        Ok(Self { folder: folder.to_owned(), bytes, _held: held })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Nothing new finds room from now on: the file system becomes as small as what it holds.
    pub fn fill(&self) -> io::Result<()> {
        loop {
            let now = statvfs(&self.folder)?;
            let used = (now.f_blocks - now.f_bfree) * now.f_frsize;
            match self.resize(used.max(now.f_frsize)) {
                // Somebody has written meanwhile.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                ended => return ended,
            }
        }
    }

    /// There is room again.
    pub fn free(&self) -> io::Result<()> {
        self.resize(self.bytes)
    }

    fn resize(&self, bytes: u64) -> io::Result<()> {
        Ok(mount_remount(&self.folder, MountFlags::empty(), &*of_size(bytes))?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever still has a file open there keeps the memory, but not the place.
        let _ = unmount(&self.folder, UnmountFlags::DETACH);
    }
}

fn of_size(bytes: u64) -> CString {
    CString::new(format!("size={bytes}")).expect("digits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::found;
    use std::fs;

    #[test]
    fn a_disk_is_full_and_has_room_again() {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Disk::mount(&folder.path().join("disk"), 1 << 20);
        // Not everybody who runs the tests is root.
        let Some(disk) = found(mounted.map_err(|error| format!("no disk can be mounted: {error}"))) else { return };
        let file = disk.folder().join("file");
        fs::write(&file, [7; 5000]).unwrap();
        disk.fill().unwrap();
        let refused = fs::write(disk.folder().join("another"), [7; 5000]).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read(&file).unwrap().len(), 5000);
        disk.free().unwrap();
        fs::write(disk.folder().join("another"), [7; 5000]).unwrap();
        drop(disk);
        assert!(!file.exists());
    }
}
