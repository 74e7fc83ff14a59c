//! One supervisor a profile: a lock that ends with the process that holds it, however it ends.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::run_directory;
use crate::activate::process::error::{At, ProcessError};

/// Holds `run/PROFILE/up.lock`, in which its process number stands for people.
#[derive(Debug)]
pub(in crate::activate::process) struct Lock(File);

impl Lock {
    pub(in crate::activate::process) fn take(directory: &Path, profile: &str) -> Result<Lock, ProcessError> {
        let folder = run_directory(directory, profile);
        std::fs::create_dir_all(&folder).at("make", &folder)?;
        let path = path(directory, profile);
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .at("open", &path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                return Err(ProcessError::RunsAlready { profile: profile.into(), pid: pid.trim().into() });
            }
            Err(error) => return Err(error).at("lock", &path),
        }
        file.set_len(0).at("write", &path)?;
        file.rewind().at("write", &path)?;
        writeln!(file, "{}", std::process::id()).at("write", &path)?;
        Ok(Lock(file))
    }

    /// Here, and not somewhere before.
    pub(in crate::activate::process) fn release(self) {
        drop(self.0);
    }
}

/// Waits until nobody holds it.
pub(super) fn wait(directory: &Path, profile: &str) -> Result<(), ProcessError> {
    let path = path(directory, profile);
    let file = File::open(&path).at("open", &path)?;
    flock(&file, FlockOperation::LockShared).at("lock", &path)
}

fn path(directory: &Path, profile: &str) -> PathBuf {
    run_directory(directory, profile).join("up.lock")
}
