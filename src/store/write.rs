//! A tree of files onto disk: the modes and times of a bundle, whatever the umask.

#![expect(clippy::disallowed_methods, reason = "the store is an edge")]

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps};

use super::error::{At as _, StoreError};
use crate::bundle::Step;

pub(super) const FILE: u32 = 0o444;
pub(super) const EXECUTABLE: u32 = 0o555;
pub(super) const DIRECTORY: u32 = 0o555;
/// Seconds after the epoch, as in a Nix store.
pub(super) const MTIME: i64 = 1;

/// Enough for the files of a usual bundle to share one commit of the journal.
const SYNC_THREADS: usize = 16;

const TIME: Timespec = Timespec { tv_sec: MTIME, tv_nsec: 0 };
pub(super) const TIMES: Timestamps = Timestamps { last_access: TIME, last_modification: TIME };

/// Writes the tree into the empty directory `root`.
pub(super) fn tree(root: &Path, steps: &[Step<'_>]) -> Result<(), StoreError> {
    for step in steps {
        match *step {
            Step::Enter { path: "", .. } => {}
            Step::Enter { path, .. } => {
                let path = root.join(path);
                rustix::fs::mkdir(&path, Mode::RWXU).at("write", &path)?;
                rustix::fs::chmod(&path, Mode::RWXU).at("write", &path)?;
            }
            Step::File { path, file, .. } => {
                let mode = if file.executable { EXECUTABLE } else { FILE };
                let path = root.join(path);
                write_file(&path, &file.content, mode).at("write", &path)?;
            }
            // The time comes last: every entry made within changes it.
            Step::Leave { path } => {
                let path = if path.is_empty() { root.to_owned() } else { root.join(path) };
                rustix::fs::chmod(&path, Mode::from_raw_mode(DIRECTORY)).at("write", &path)?;
                rustix::fs::utimensat(CWD, &path, &TIMES, AtFlags::empty()).at("write", &path)?;
            }
        }
    }
    Ok(())
}

fn write_file(path: &Path, content: &[u8], mode: u32) -> std::io::Result<()> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut file: File = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?.into();
    file.write_all(content)?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
    rustix::fs::futimens(&file, &TIMES)?;
    Ok(())
}

/// Makes a directory that everyone may read, with its parents, if it is not there.
pub(super) fn create_directory(path: &Path) -> Result<(), StoreError> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let parent = path.parent().unwrap_or(path);
            std::fs::create_dir_all(parent).at("make the directory", parent)?;
            create_directory(path)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => {
            made.at("make the directory", path)?;
            rustix::fs::chmod(path, Mode::from_raw_mode(0o755)).at("make the directory", path)
        }
    }
}

/// Makes the files and directories of the tree durable, and another file.
///
/// Several threads, since a journal commits once for all that wait for it: three times faster
/// than one file after the other. `syncfs` is faster still, until another program has a
/// gigabyte to write.
pub(super) fn sync_all(root: &Path, steps: &[Step<'_>], other: &Path) -> Result<(), StoreError> {
    let inside = steps.iter().filter_map(|step| match *step {
        Step::File { path, .. } => Some(root.join(path)),
        Step::Leave { path: "" } => Some(root.to_owned()),
        Step::Leave { path } => Some(root.join(path)),
        Step::Enter { .. } => None,
    });
    sync_together(&inside.chain([other.to_owned()]).collect::<Vec<PathBuf>>())
}

/// Makes files and directories durable, side by side: each alone would wait for the disk.
pub(super) fn sync_together(paths: &[PathBuf]) -> Result<(), StoreError> {
    let sync = |paths: &[PathBuf]| paths.iter().try_for_each(|path| sync(path));
    thread::scope(|scope| {
        let share = paths.len().div_ceil(SYNC_THREADS);
        let started = paths.chunks(share).map(|share| {
            // Where no thread is to be had, this one does the work.
            thread::Builder::new().spawn_scoped(scope, move || sync(share)).map_err(|_| share)
        });
        let started: Vec<_> = started.collect();
        started.into_iter().try_for_each(|thread| match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(share) => sync(share),
        })
    })
}

/// Makes a file, or the names in a directory, durable.
pub(super) fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).at("write", path)
}
