//! Locks, and everything that may be changed only by who holds one.
//!
//! All are `flock`s on directories that are there anyway: the kernel drops them when the holder
//! ends, however it ends.
//!
//! | lock on | held by | for |
//! | --- | --- | --- |
//! | `generations/<profile>`, exclusive | [`ProfileLock`] | a whole activation: one at a time |
//! | `store`, shared | [`Hold`] | whoever found or put a bundle that nothing points to yet |
//! | `store`, exclusive | `gc` | finding out what nothing needs, and moving it away |
//!
//! A profile's lock is taken before one on the store; `gc`, which does it the other way round,
//! does not wait for a profile. A process may hold the store several times.

#![expect(clippy::disallowed_methods, reason = "the store is an edge")]

use std::fs::File;
use std::path::Path;

use jiff::Timestamp;
use rustix::fs::{FlockOperation, Mode};
use rustix::io::Errno;

use super::error::{At as _, StoreError};
use super::generations::{Generation, Outcome, Rollback, SCHEMA};
use super::scratch::Scratch;
use super::{Store, StorePath, history, link, scan, write};
use crate::bundle::{StoreName, check_name};

/// What to do where another run holds a lock.
#[expect(missing_debug_implementations, reason = "a closure")]
pub enum Busy<'a> {
    Refuse,
    /// Say so, then wait.
    Wait(&'a mut dyn FnMut()),
}

/// While it is held, no bundle is collected. Held from finding or putting a bundle until
/// something points to it: a generation, an out-link.
#[derive(Debug)]
#[must_use]
pub struct Hold(#[expect(dead_code, reason = "held, not used")] Lock);

/// The right to change what a profile runs.
#[derive(Debug)]
#[must_use]
pub struct ProfileLock {
    store: Store,
    profile: String,
    /// What the last run, which was killed, had decided already: done by this one.
    pub(super) healed: Option<Generation>,
    _lock: Lock,
}

/// What is about to be activated.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    pub bundle: &'a StorePath,
    pub runtime: &'a str,
    pub message: Option<&'a str>,
    pub rollback: Option<Rollback>,
}

/// How an activation failed.
#[derive(Debug, Clone, Copy)]
pub struct Failed<'a> {
    pub reason: &'a str,
    /// What ran before runs again.
    pub restored: bool,
    /// The bundle itself is to blame.
    pub rejected: bool,
}

/// A lock on a directory.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    fn take(
        path: &Path,
        kind: FlockOperation,
        busy: Busy<'_>,
        refused: StoreError,
    ) -> Result<Self, StoreError> {
        let file = File::open(path).at("lock", path)?;
        let at_once = match kind {
            FlockOperation::LockShared => FlockOperation::NonBlockingLockShared,
            _ => FlockOperation::NonBlockingLockExclusive,
        };
        match (rustix::fs::flock(&file, at_once), busy) {
            (Err(Errno::AGAIN), Busy::Refuse) => return Err(refused),
            (Err(Errno::AGAIN), Busy::Wait(say)) => {
                say();
                rustix::io::retry_on_intr(|| rustix::fs::flock(&file, kind)).at("lock", path)?;
            }
            (locked, _) => locked.at("lock", path)?,
        }
        Ok(Self(file))
    }

    /// Lets others in that share it.
    pub(super) fn share(&self, path: &Path) -> Result<(), StoreError> {
        rustix::io::retry_on_intr(|| rustix::fs::flock(&self.0, FlockOperation::LockShared)).at("lock", path)
    }
}

impl Drop for Lock {
    /// Not left to the closing of the file: a process that is just being started has a copy of it.
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

impl Store {
    /// Takes the lock of a profile.
    pub fn lock_profile(&self, profile: &str, busy: Busy<'_>) -> Result<ProfileLock, StoreError> {
        check_name(profile)?;
        self.prepare()?;
        for directory in ["generations", "current", "run"] {
            write::create_directory(&self.directory.join(directory))?;
        }
        let generations = self.generations_of(profile);
        write::create_directory(&generations)?;
        let locked = StoreError::Locked { profile: profile.to_owned() };
        let lock = Lock::take(&generations, FlockOperation::LockExclusive, busy, locked)?;
        let mut lock =
            ProfileLock { store: self.clone(), profile: profile.to_owned(), healed: None, _lock: lock };
        lock.heal()?;
        Ok(lock)
    }

    /// Keeps every bundle from being collected.
    pub fn hold(&self) -> Result<Hold, StoreError> {
        self.prepare()?;
        self.lock_bundles(FlockOperation::LockShared, Busy::Wait(&mut || {})).map(Hold)
    }

    pub(super) fn lock_bundles(&self, kind: FlockOperation, busy: Busy<'_>) -> Result<Lock, StoreError> {
        let bundles = self.bundles();
        Lock::take(&bundles, kind, busy, StoreError::StoreLocked { path: bundles.clone() })
    }
}

impl ProfileLock {
    pub fn profile(&self) -> &str {
        &self.profile
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Writes down what is about to be done, before it is done.
    pub fn begin(&mut self, attempt: Attempt<'_>) -> Result<Generation, StoreError> {
        let generation = self.next(attempt, Outcome::Pending)?;
        if let Err(error) = write::sync(&self.store.generations_of(&self.profile)) {
            // Nothing was begun.
            let path = self.store.generation_path(&self.profile, generation.number)?;
            std::fs::remove_file(&path).at("remove", &path)?;
            return Err(error);
        }
        Ok(generation)
    }

    /// A new generation in the books, not yet durable. It keeps its bundle.
    pub(super) fn next(&mut self, attempt: Attempt<'_>, outcome: Outcome) -> Result<Generation, StoreError> {
        let path = attempt.bundle.path();
        let _hold = self.store.hold()?;
        if !scan::exists(path)? {
            return Err(StoreError::Missing { path: path.to_owned() });
        }
        let last = self.store.generation_numbers(&self.profile)?.last().copied().unwrap_or(0);
        let now = Timestamp::now();
        let generation = Generation {
            schema: SCHEMA,
            number: last + 1,
            time: Timestamp::from_second(now.as_second()).unwrap_or(now),
            bundle: attempt.bundle.name().clone(),
            runtime: attempt.runtime.to_owned(),
            by: who(),
            message: attempt.message.map(str::to_owned),
            rollback: attempt.rollback,
            outcome,
            reason: None,
            rejected: false,
        };
        self.write(&generation)?;
        Ok(generation)
    }

    /// The activation succeeded: it becomes the current one. A run that is killed in between
    /// leaves a pending generation that is current, for which this is to be called again.
    pub fn succeed(&mut self, generation: Generation) -> Result<Generation, StoreError> {
        self.link_current(generation.number)?;
        write::sync(&self.store.directory.join("current"))?;
        self.finish(Generation { outcome: Outcome::Activated, reason: None, rejected: false, ..generation })
    }

    /// The activation failed; the current generation stays, or becomes that again.
    pub fn fail(&mut self, generation: Generation, failed: Failed<'_>) -> Result<Generation, StoreError> {
        if self.store.current_number(&self.profile)? == Some(generation.number) {
            self.unlink_current(generation.number)?;
        }
        self.finish(Generation {
            outcome: if failed.restored { Outcome::Restored } else { Outcome::Failed },
            reason: Some(failed.reason.to_owned()),
            rejected: failed.rejected,
            ..generation
        })
    }

    fn finish(&mut self, generation: Generation) -> Result<Generation, StoreError> {
        self.write(&generation)?;
        write::sync(&self.store.generations_of(&self.profile))?;
        Ok(generation)
    }

    pub(super) fn link_current(&mut self, number: u64) -> Result<(), StoreError> {
        let target = Path::new("../generations").join(&self.profile).join(format!("{number}.json"));
        link::replace(&target, &self.store.current_path(&self.profile))
    }

    /// Where a success could not be written down to its end, the one before it counts.
    fn unlink_current(&mut self, number: u64) -> Result<(), StoreError> {
        let mut others = self.store.generations(&self.profile)?;
        others.retain(|one| one.number != number);
        match history::last_success(&others) {
            Some(last) => self.link_current(last.number)?,
            None => {
                let current = self.store.current_path(&self.profile);
                std::fs::remove_file(&current).at("remove", &current)?;
            }
        }
        write::sync(&self.store.directory.join("current"))
    }

    /// Moves the link that the running programs read through.
    pub fn point_live(&mut self, bundle: &StoreName) -> Result<(), StoreError> {
        self.link_live(bundle)?;
        write::sync(&self.store.run_of(&self.profile))
    }

    pub(super) fn link_live(&mut self, bundle: &StoreName) -> Result<(), StoreError> {
        write::create_directory(&self.store.run_of(&self.profile))?;
        let target = Path::new("../../store").join(bundle.as_str());
        link::replace(&target, &self.store.live_path(&self.profile)?)
    }

    /// Nothing runs: after `down`, or a first activation that failed.
    pub fn remove_live(&mut self) -> Result<(), StoreError> {
        let live = self.store.live_path(&self.profile)?;
        if !scan::exists(&live)? {
            return Ok(());
        }
        std::fs::remove_file(&live).at("remove", &live)?;
        write::sync(&self.store.run_of(&self.profile))
    }

    /// The generation that a killed run has left pending: this lock is ours, so nobody is at it.
    pub fn interrupted(&self) -> Result<Option<Generation>, StoreError> {
        Ok(history::pending(&self.store.generations(&self.profile)?).cloned())
    }

    fn write(&self, generation: &Generation) -> Result<(), StoreError> {
        let path = self.store.generation_path(&self.profile, generation.number)?;
        let scratch = Scratch::file(&self.store.bundles())?;
        let mut text = serde_json::to_vec_pretty(generation)
            .map_err(std::io::Error::from)
            .at("write", scratch.path())?;
        text.push(b'\n');
        std::io::Write::write_all(&mut scratch.lock(), &text).at("write", scratch.path())?;
        rustix::fs::fchmod(scratch.lock(), Mode::from_raw_mode(0o644)).at("write", scratch.path())?;
        write::sync(scratch.path())?;
        scratch.publish(&path)
    }
}

/// Who asked: the person behind `sudo`, else the user.
fn who() -> String {
    let name = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|variable| {
        std::env::var(variable).ok().filter(|name| !name.is_empty() && !name.contains(char::is_control))
    });
    name.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}
