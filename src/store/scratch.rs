//! Temporary files and directories of a store, locked by the run that writes them.
//!
//! The kernel drops the lock when its holder ends, however it ends. So a temporary entry
//! that can be locked by another run is a left-over, without a clock or a process id to
//! trust (containers that share a store share neither).

#![expect(clippy::disallowed_methods, reason = "the store is an edge")]

use std::fs::{File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::error::{At as _, StoreError};
use super::scan;

const PREFIX: &str = ".tmp-";

/// A temporary entry; removed on drop unless it was published.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    lock: File,
    published: bool,
}

impl Scratch {
    /// A new directory that only its owner can enter.
    pub(super) fn directory(parent: &Path) -> Result<Self, StoreError> {
        Self::create(parent, |path| {
            rustix::fs::mkdir(path, Mode::RWXU)?;
            // The umask may have taken rights away.
            rustix::fs::chmod(path, Mode::RWXU)?;
            open(path, OFlags::DIRECTORY)
        })
    }

    /// A new file, opened to write.
    pub(super) fn file(parent: &Path) -> Result<Self, StoreError> {
        Self::create(parent, |path| {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            Ok(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?.into())
        })
    }

    fn create(parent: &Path, make: impl Fn(&Path) -> io::Result<File>) -> Result<Self, StoreError> {
        loop {
            let made = tempfile::Builder::new().prefix(PREFIX).make_in(parent, |path| {
                // A run that swept between the two calls has removed the new entry: try another.
                make(path).map_err(|error| match error.kind() {
                    ErrorKind::NotFound if parent.exists() => ErrorKind::AlreadyExists.into(),
                    _ => error,
                })
            });
            let (lock, path) = made.at("write into", parent)?.into_parts();
            let path = path.keep().map_err(|error| error.error).at("write into", parent)?;
            // Shared, since on NFS an exclusive lock needs a descriptor that can write.
            let locked = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared);
            if locked.is_ok() && is_at(&lock, &path) {
                return Ok(Self { path, lock, published: false });
            }
            match locked {
                Ok(()) | Err(Errno::AGAIN) => {} // swept just now
                Err(error) => {
                    let _ = remove(&path);
                    return Err(error).at("lock", &path);
                }
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The open entry, which holds the lock.
    pub(super) fn lock(&self) -> &File {
        &self.lock
    }

    /// Gives the entry its final name, and replaces a file that has it.
    pub(super) fn publish(mut self, target: &Path) -> Result<(), StoreError> {
        std::fs::rename(&self.path, target).at("write", target)?;
        self.published = true;
        Ok(())
    }

    /// Gives the entry its final name; false if something has that name already.
    pub(super) fn publish_new(mut self, target: &Path) -> Result<bool, StoreError> {
        let renamed = match rustix::fs::renameat_with(CWD, &self.path, CWD, target, RenameFlags::NOREPLACE) {
            // A file system without that flag. A plain rename replaces no bundle either: those are
            // directories, and never empty.
            Err(Errno::INVAL | Errno::NOSYS) => rustix::fs::rename(&self.path, target),
            renamed => renamed,
        };
        match renamed {
            Err(Errno::EXIST | Errno::NOTEMPTY) => return Ok(false),
            renamed => renamed.at("write", target)?,
        }
        self.published = true;
        Ok(true)
    }

    /// Gives the entry its final name. What had that name gets the temporary one, and is removed.
    pub(super) fn replace(self, target: &Path) -> Result<(), StoreError> {
        match rustix::fs::renameat_with(CWD, &self.path, CWD, target, RenameFlags::EXCHANGE) {
            Err(Errno::NOENT) => return self.publish_new(target).map(|_| ()),
            // A file system without that flag: for a moment nothing has the name.
            Err(Errno::INVAL | Errno::NOSYS) => {
                let old = self.path.with_extension("old");
                std::fs::rename(target, &old).at("write", target)?;
                self.publish(target)?;
                return remove(&old).at("remove", &old);
            }
            exchanged => exchanged.at("write", target)?,
        }
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.published
            && let Err(error) = remove(&self.path)
            // What was replaced is not locked: another run's sweep may be faster.
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "a temporary entry stays: the next run removes it");
        }
    }
}

/// Removes the left-overs of killed runs. What can't be removed stays and harms nobody.
pub(super) fn sweep(directory: &Path) -> Result<(), StoreError> {
    for name in scan::names(directory)? {
        if name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            let path = directory.join(name);
            if let Err(error) = remove_if_abandoned(&path) {
                tracing::warn!(path = %path.display(), %error, "can't remove what a killed run has left");
            }
        }
    }
    Ok(())
}

fn remove_if_abandoned(path: &Path) -> io::Result<()> {
    let entry = match open(path, OFlags::NOFOLLOW) {
        // Killed before it could set the mode, with a umask that takes its own rights away.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            std::fs::set_permissions(path, Permissions::from_mode(0o700))?;
            open(path, OFlags::NOFOLLOW)
        }
        opened => opened,
    };
    let entry = match entry {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    match rustix::fs::flock(&entry, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) if is_at(&entry, path) => remove(path),
        Ok(()) | Err(Errno::AGAIN) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    Ok(rustix::fs::open(path, flags | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?.into())
}

/// Whether the open entry is still the one that has this path.
fn is_at(entry: &File, path: &Path) -> bool {
    match (entry.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// Removes a file, or a directory whose directories may be read-only.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    if !std::fs::symlink_metadata(path)?.is_dir() {
        return std::fs::remove_file(path);
    }
    // Root removes read-only directories as well, and most left-overs have none.
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            for entry in walkdir::WalkDir::new(path) {
                let entry = entry?;
                if entry.file_type().is_dir() {
                    std::fs::set_permissions(entry.path(), Permissions::from_mode(0o700))?;
                }
            }
            std::fs::remove_dir_all(path)
        }
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_takes_left_overs_and_leaves_the_work_of_live_runs() {
        let parent = tempfile::tempdir().unwrap();
        let (file, directory) =
            (Scratch::file(parent.path()).unwrap(), Scratch::directory(parent.path()).unwrap());
        std::fs::create_dir_all(parent.path().join(".tmp-dead/a/b")).unwrap();
        for inside in ["a/b", "a", ""] {
            let path = parent.path().join(".tmp-dead").join(inside);
            std::fs::set_permissions(path, Permissions::from_mode(0o555)).unwrap();
        }
        std::fs::write(parent.path().join(".tmp-dead-file"), "half").unwrap();
        std::fs::write(parent.path().join("other"), "").unwrap();

        sweep(parent.path()).unwrap();

        let mut left = scan::names(parent.path()).unwrap();
        left.sort();
        let mut live: Vec<_> =
            [&file, &directory].iter().map(|live| live.path().file_name().unwrap().to_owned()).collect();
        live.push("other".into());
        live.sort();
        assert_eq!(left, live);

        drop((file, directory));
        assert_eq!(scan::names(parent.path()).unwrap(), ["other"]);
    }

    #[test]
    fn what_appeared_meanwhile_is_not_replaced() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("bundle");
        assert!(Scratch::directory(parent.path()).unwrap().publish_new(&target).unwrap());
        assert!(!Scratch::directory(parent.path()).unwrap().publish_new(&target).unwrap());
        assert_eq!(scan::names(parent.path()).unwrap(), ["bundle"]);
    }
}
