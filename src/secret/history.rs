//! Generations of secrets: which values were handed over when, from where, and to whom. They
//! are not those of the configuration: a rollback keeps today's secrets.
//!
//! ```text
//! secret-generations/<profile>/<n>.json    one hand-over that changed something (schema 1)
//! ```
//!
//! References and versions only: nothing in them comes from a value.
#![expect(clippy::disallowed_methods, reason = "generations are files")]

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::hand_over::{Changes, Error, at, merge};
use super::{HandOver, Resolved};
use crate::bundle::StoreName;
use crate::store::{ProfileLock, StorePath};

const SCHEMA: u32 = 1;

/// The secrets that services have had since some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretGeneration {
    schema: u32,
    pub number: u64,
    /// When they were handed over.
    pub time: Timestamp,
    /// When a later hand-over last found nothing to change.
    pub confirmed: Timestamp,
    /// The bundle that wanted them.
    pub bundle: StoreName,
    pub secrets: BTreeMap<String, Source>,
    /// What was another than before, by service.
    pub changes: Changes,
    /// The services did what that needs. A run that was cut short leaves it to the next.
    pub taken_up: bool,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub provider: String,
    /// As people name it: `secret/monitoring/redis#password`.
    pub source: String,
    /// The version that the provider gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

impl Source {
    /// Where each value was found.
    pub fn of(resolved: &Resolved) -> BTreeMap<String, Source> {
        let sources = resolved.values.iter().map(|(name, value)| {
            let provider = value.origin.provider().to_owned();
            let source = value.origin.to_string();
            (name.clone(), Source { provider, source, version: value.version })
        });
        sources.collect()
    }
}

/// Hands the secrets of a bundle over. What the services have to do then stands in `changes`;
/// once it is done, say so with [`taken_up`].
pub fn sync(
    lock: &ProfileLock,
    bundle: &StorePath,
    hand_over: &HandOver<'_>,
    resolved: &Resolved,
) -> Result<SecretGeneration, Error> {
    hand_over.require_owners()?;
    let state = lock.store().directory();
    let directory = directory(state, lock.profile());
    let last = last(state, lock.profile())?;
    let (now, secrets) = (Timestamp::now(), Source::of(resolved));
    let mut changes = hand_over.changes(state);
    let mut number = last.as_ref().map_or(0, |last| last.number) + 1;
    let generation = match last {
        Some(last) if last.taken_up && changes.is_empty() && last.secrets == secrets => {
            hand_over.write(state, &changes)?;
            // A full disk must not keep anybody from going back to what ran.
            if let Err(error) = write(&directory, &SecretGeneration { confirmed: now, ..last.clone() }) {
                tracing::warn!(%error, "that the secrets are still the same is not noted");
            }
            // What an earlier hand-over changed is not this one's to say.
            return Ok(SecretGeneration { confirmed: now, changes, ..last });
        }
        last => {
            if let Some(last) = last.filter(|last| !last.taken_up) {
                number = last.number;
                changes = merge(changes, last.changes);
            }
            let (schema, bundle) = (SCHEMA, bundle.name().clone());
            let (time, confirmed, taken_up) = (now, now, false);
            SecretGeneration { schema, number, time, confirmed, bundle, secrets, changes, taken_up }
        }
    };
    // Noted first: whoever is killed in between leaves behind what is still to be done.
    write(&directory, &generation)?;
    hand_over.write(state, &generation.changes)?;
    Ok(generation)
}

/// What the services would have to do after a hand-over: what it changes, and what a run that
/// was cut short has left to be done.
pub fn outstanding(state: &Path, hand_over: &HandOver<'_>) -> Result<Changes, Error> {
    let changes = hand_over.changes(state);
    let left = last(state, hand_over.profile())?.filter(|last| !last.taken_up);
    Ok(match left {
        Some(left) => merge(changes, left.changes),
        None => changes,
    })
}

/// Notes that the services did what a hand-over needs.
pub fn taken_up(lock: &ProfileLock, generation: SecretGeneration) -> Result<SecretGeneration, Error> {
    let generation = SecretGeneration { taken_up: true, ..generation };
    if !generation.changes.is_empty() {
        write(&directory(lock.store().directory(), lock.profile()), &generation)?;
    }
    Ok(generation)
}

/// Every generation of a profile, the oldest first.
pub fn history(state: &Path, profile: &str) -> Result<Vec<SecretGeneration>, Error> {
    let directory = directory(state, profile);
    numbers(&directory)?.into_iter().map(|number| read(&directory, number)).collect()
}

/// The newest generation of a profile.
pub fn last(state: &Path, profile: &str) -> Result<Option<SecretGeneration>, Error> {
    let directory = directory(state, profile);
    numbers(&directory)?.pop().map(|number| read(&directory, number)).transpose()
}

/// In ascending order.
fn numbers(directory: &Path) -> Result<Vec<u64>, Error> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![]),
        entries => entries.map_err(at(directory))?,
    };
    let mut numbers = vec![];
    for entry in entries {
        let name = entry.map_err(at(directory))?.file_name();
        let number: Option<u64> = name.to_str().and_then(|name| name.strip_suffix(".json")?.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn read(directory: &Path, number: u64) -> Result<SecretGeneration, Error> {
    let path = file(directory, number);
    let text = std::fs::read(&path).map_err(at(&path))?;
    let unreadable = |why: String| Error::Record { path: path.clone(), why };
    let generation: SecretGeneration =
        serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
    match generation.schema {
        SCHEMA => Ok(generation),
        other => Err(unreadable(format!("it has schema {other}, this release knows {SCHEMA}"))),
    }
}

fn file(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number}.json"))
}

fn directory(state: &Path, profile: &str) -> PathBuf {
    state.join("secret-generations").join(profile)
}

/// Under the profile's lock there is one writer, and so one temporary file: what a killed run has
/// left of it, the next overwrites.
fn write(directory: &Path, generation: &SecretGeneration) -> Result<(), Error> {
    std::fs::create_dir_all(directory).map_err(at(directory))?;
    let (path, next) = (file(directory, generation.number), directory.join(".tmp"));
    let mut text = serde_json::to_vec_pretty(generation).unwrap_or_default();
    text.push(b'\n');
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(true).mode(0o644).open(&next).map_err(at(&next))?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(at(&path))?;
    std::fs::rename(&next, &path).map_err(at(&path))?;
    std::fs::File::open(directory).and_then(|d| d.sync_all()).map_err(at(directory))
}
