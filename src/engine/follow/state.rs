//! The pointer that a host has seen last: `follow/PROFILE.json` in the state directory. It is
//! what a replayed pointer is held against, so it is on disk before anything else happens.
#![expect(clippy::disallowed_methods, reason = "the state is on disk")]

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::Pointer;
use crate::bundle::StoreName;

const SCHEMA: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    schema: u32,
    pub(super) serial: u64,
    pub(super) bundle: StoreName,
    pub(super) outcome: Outcome,
}

/// What became of a pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Seen, and not dealt with yet: it is tried again.
    Pending,
    Activated,
    /// The bundle failed here, and is not tried again.
    Rejected,
}

impl State {
    pub(super) fn new(pointer: &Pointer) -> Self {
        let (serial, bundle) = (pointer.serial, pointer.bundle.clone());
        State { schema: SCHEMA, serial, bundle, outcome: Outcome::Pending }
    }

    pub(super) fn became(self, outcome: Outcome) -> Self {
        State { outcome, ..self }
    }

    /// What was seen last; `None` on a host that follows for the first time. A file that can't
    /// be read is an error: without it any old pointer would do.
    pub(super) fn read(directory: &Path, profile: &str) -> anyhow::Result<Option<Self>> {
        let file = path(directory, profile);
        let text = match std::fs::read(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.with_context(|| file.display().to_string())?,
        };
        let remedy = "it holds which pointers are too old; put it back from a backup, or remove it to trust the \
                      next signed pointer whatever its serial";
        let state: State =
            serde_json::from_slice(&text).with_context(|| format!("{}: {remedy}", file.display()))?;
        anyhow::ensure!(
            state.schema == SCHEMA,
            "{} has schema {}, and this release knows {SCHEMA}: use the release that wrote it",
            file.display(),
            state.schema
        );
        Ok(Some(state))
    }

    /// Durable when it returns; either the old state or the new is there, whatever happens.
    pub(super) fn write(&self, directory: &Path, profile: &str) -> anyhow::Result<()> {
        let file = path(directory, profile);
        replace(&file, &serde_json::to_vec(self)?, true)
    }
}

fn path(directory: &Path, profile: &str) -> PathBuf {
    directory.join("follow").join(format!("{profile}.json"))
}

/// Puts a file in the place of another in one step; whoever reads sees one of the two.
pub(super) fn replace(file: &Path, content: &[u8], durable: bool) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let folder = file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        if durable {
            std::fs::create_dir_all(folder)?;
        }
        let mut scratch = tempfile::Builder::new().prefix(".monprov-").tempfile_in(folder)?;
        scratch.write_all(content)?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        scratch.as_file().set_permissions(mode)?;
        if durable {
            scratch.as_file().sync_all()?;
        }
        scratch.persist(file)?;
        if durable { std::fs::File::open(folder)?.sync_all() } else { Ok(()) }
    };
    write().with_context(|| format!("{} can't be written", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_back_and_a_broken_one_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(State::read(directory.path(), "p").unwrap(), None);
        let state = State {
            schema: SCHEMA,
            serial: 7,
            bundle: "00000000000000000000000000000000-p".parse().unwrap(),
            outcome: Outcome::Rejected,
        };
        state.write(directory.path(), "p").unwrap();
        assert_eq!(State::read(directory.path(), "p").unwrap(), Some(state));
        let file = path(directory.path(), "p");
        for broken in [
            "",
            "{",
            r#"{"schema":9,"serial":1,"bundle":"00000000000000000000000000000000-p","outcome":"pending"}"#,
        ] {
            std::fs::write(&file, broken).unwrap();
            assert!(State::read(directory.path(), "p").is_err(), "{broken}");
        }
    }
}
