//! Generations: every activation of a profile, whatever came of it, in a file of its own.
//!
//! ```text
//! generations/<profile>/<n>.json   one activation (schema 1); the directory is what the profile's lock is on
//! current/<profile>                link to ../generations/<profile>/<n>.json: the last one that succeeded
//! run/<profile>/live               link to ../../store/<id>-<name>: the bundle that runs
//! ```
//!
//! A rollback is an activation too, and gets a number of its own: so it is known who went back,
//! why, and what came of it. It says for which generation it stands, and from that place the
//! next rollback goes further back.
//!
//! Here is what may be read at any time; what changes something takes a [`ProfileLock`](super::ProfileLock).

#![expect(clippy::disallowed_methods, reason = "the store is an edge")]

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::{At as _, StoreError};
use super::{Busy, Store, StorePath, history, link, scan};
use crate::bundle::{StoreName, check_name};

pub(super) const SCHEMA: u32 = 1;

/// One activation of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    pub(super) schema: u32,
    pub number: u64,
    /// When it began.
    pub time: Timestamp,
    pub bundle: StoreName,
    /// The runtime that was asked to run it; `none` where only the books were changed.
    pub runtime: String,
    /// Who asked for it.
    pub by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
    pub outcome: Outcome,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The bundle's own services rejected it or got unhealthy: it is not taken again unforced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rejected: bool,
}

/// What a rollback did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// The generation that was current before.
    pub from: u64,
    /// The generation that it stands for; never a rollback itself.
    pub to: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Being activated; by a run that was killed, if nobody holds the profile's lock.
    Pending,
    /// Runs, and was proved to.
    Activated,
    /// Failed; what ran before runs again.
    Restored,
    /// Failed, and what ran before could not be restored.
    Failed,
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Activated => "activated",
            Self::Restored => "restored",
            Self::Failed => "failed",
        }
    }
}

impl Generation {
    /// The generation that this one stands for: itself, unless it is a rollback.
    pub fn place(&self) -> u64 {
        self.rollback.map_or(self.number, |rollback| rollback.to)
    }
}

impl Store {
    /// Every profile that was ever activated.
    pub fn profiles(&self) -> Result<Vec<String>, StoreError> {
        let names = scan::names(&self.directory.join("generations"))?;
        let legal = |name: std::ffi::OsString| name.into_string().ok().filter(|n| check_name(n).is_ok());
        let mut profiles: Vec<String> = names.into_iter().filter_map(legal).collect();
        profiles.sort();
        Ok(profiles)
    }

    /// Every generation of a profile, the oldest first.
    pub fn generations(&self, profile: &str) -> Result<Vec<Generation>, StoreError> {
        self.generation_numbers(profile)?
            .into_iter()
            // One that is gone now was collected meanwhile.
            .filter_map(|number| self.generation(profile, number).transpose())
            .collect()
    }

    pub fn generation(&self, profile: &str, number: u64) -> Result<Option<Generation>, StoreError> {
        read(&self.generation_path(profile, number)?)
    }

    /// The last generation that succeeded.
    pub fn current(&self, profile: &str) -> Result<Option<Generation>, StoreError> {
        let Some(number) = self.current_number(profile)? else { return Ok(None) };
        match self.generation(profile, number)? {
            Some(current) => Ok(Some(current)),
            // After a power failure the link may know a generation whose file was lost.
            None => Ok(history::last_success(&self.generations(profile)?).cloned()),
        }
    }

    /// The bundle that runs, or is being started.
    pub fn live(&self, profile: &str) -> Result<Option<StorePath>, StoreError> {
        let target = link::read(&self.live_path(profile)?)?;
        let name = target.and_then(|target| target.file_name()?.to_str()?.parse().ok());
        Ok(name.map(|name| self.path_of(&name)))
    }

    /// The generation whose activation was killed, if there is one; a live run's is none.
    pub fn interrupted(&self, profile: &str) -> Result<Option<Generation>, StoreError> {
        if history::pending(&self.generations(profile)?).is_none() {
            return Ok(None);
        }
        match self.lock_profile(profile, Busy::Refuse) {
            Ok(lock) => lock.interrupted(),
            Err(StoreError::Locked { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The generation that marked the bundle as failed. A later success takes the mark away.
    pub fn rejected(&self, profile: &str, bundle: &StoreName) -> Result<Option<Generation>, StoreError> {
        Ok(history::rejected(&self.generations(profile)?, bundle).cloned())
    }

    /// The rollback that left this bundle, while nothing else was activated since: a profile
    /// that still builds it is most likely not meant to be switched to.
    pub fn left(&self, profile: &str, bundle: &StoreName) -> Result<Option<Generation>, StoreError> {
        let Some(current) = self.current(profile)? else { return Ok(None) };
        Ok(history::left(&self.generations(profile)?, &current, bundle).cloned())
    }

    pub(super) fn generation_numbers(&self, profile: &str) -> Result<Vec<u64>, StoreError> {
        check_name(profile)?;
        let number = |name: std::ffi::OsString| name.to_str()?.strip_suffix(".json")?.parse().ok();
        let names = scan::names(&self.generations_of(profile))?;
        let mut numbers: Vec<u64> = names.into_iter().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    pub(super) fn current_number(&self, profile: &str) -> Result<Option<u64>, StoreError> {
        check_name(profile)?;
        let target = link::read(&self.current_path(profile))?;
        Ok(target.and_then(|target| target.file_name()?.to_str()?.strip_suffix(".json")?.parse().ok()))
    }

    pub(super) fn generations_of(&self, profile: &str) -> PathBuf {
        self.directory.join("generations").join(profile)
    }

    pub(super) fn generation_path(&self, profile: &str, number: u64) -> Result<PathBuf, StoreError> {
        check_name(profile)?;
        Ok(self.generations_of(profile).join(format!("{number}.json")))
    }

    pub(super) fn current_path(&self, profile: &str) -> PathBuf {
        self.directory.join("current").join(profile)
    }

    pub(super) fn live_path(&self, profile: &str) -> Result<PathBuf, StoreError> {
        check_name(profile)?;
        Ok(self.run_of(profile).join("live"))
    }

    pub(super) fn run_of(&self, profile: &str) -> PathBuf {
        self.directory.join("run").join(profile)
    }
}

fn read(path: &Path) -> Result<Option<Generation>, StoreError> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).at("read", path),
    };
    let bad = |reason: String| StoreError::Generation { path: path.to_owned(), reason };
    let generation: Generation = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
    match generation.schema {
        SCHEMA => Ok(Some(generation)),
        other => Err(bad(format!("it has schema {other}, this release knows {SCHEMA}"))),
    }
}
