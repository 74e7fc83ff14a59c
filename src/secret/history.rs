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
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::hand_over::{Changes, Error, at};
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

/// Hands the secrets of a bundle over and notes it. Who holds the profile's lock may do so.
pub fn sync(
    lock: &ProfileLock,
    bundle: &StorePath,
    hand_over: &HandOver<'_>,
    resolved: &Resolved,
) -> Result<SecretGeneration, Error> {
    let state = lock.store().directory();
    let last = history(state, lock.profile())?.pop();
    let changes = hand_over.write(state)?;
    let (now, secrets) = (Timestamp::now(), Source::of(resolved));
    let generation = match last {
        Some(last) if changes.is_empty() && last.secrets == secrets => {
            SecretGeneration { confirmed: now, ..last }
        }
        last => SecretGeneration {
            schema: SCHEMA,
            number: last.map_or(0, |last| last.number) + 1,
            time: now,
            confirmed: now,
            bundle: bundle.name().clone(),
            secrets,
            changes: changes.clone(),
        },
    };
    write(&directory(state, lock.profile()), &generation)?;
    // What an earlier hand-over changed is not this one's to say.
    Ok(SecretGeneration { changes, ..generation })
}

/// Every generation of a profile, the oldest first.
pub fn history(state: &Path, profile: &str) -> Result<Vec<SecretGeneration>, Error> {
    let directory = directory(state, profile);
    let entries = match std::fs::read_dir(&directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![]),
        entries => entries.map_err(at(&directory))?,
    };
    let mut generations = vec![];
    for entry in entries {
        let path = entry.map_err(at(&directory))?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read(&path).map_err(at(&path))?;
        let generation: SecretGeneration = serde_json::from_slice(&text)
            .map_err(|error| Error::Record { path: path.clone(), why: error.to_string() })?;
        if generation.schema != SCHEMA {
            let why = format!("it has schema {}, this release knows {SCHEMA}", generation.schema);
            return Err(Error::Record { path, why });
        }
        generations.push(generation);
    }
    generations.sort_by_key(|generation| generation.number);
    Ok(generations)
}

fn directory(state: &Path, profile: &str) -> PathBuf {
    state.join("secret-generations").join(profile)
}

fn write(directory: &Path, generation: &SecretGeneration) -> Result<(), Error> {
    std::fs::create_dir_all(directory).map_err(at(directory))?;
    let path = directory.join(format!("{}.json", generation.number));
    let mut text = serde_json::to_vec_pretty(generation).unwrap_or_default();
    text.push(b'\n');
    let mut file = tempfile::Builder::new()
        .prefix(".tmp-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(directory)
        .map_err(at(directory))?;
    file.write_all(&text).map_err(at(&path))?;
    file.as_file().sync_all().map_err(at(&path))?;
    file.persist(&path).map_err(|error| at(&path)(error.error))?;
    std::fs::File::open(directory).and_then(|d| d.sync_all()).map_err(at(directory))
}
