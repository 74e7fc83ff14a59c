//! How a bundle was made, in a file beside it: what must not be part of its identity.

#![expect(clippy::disallowed_methods, reason = "the store is an edge")]

use std::io::{ErrorKind, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::{At as _, StoreError};
use super::scratch::Scratch;
use crate::bundle::{Listing, Tree};

const SCHEMA: u32 = 1;

/// The record of a bundle. `files` serves to name what was changed in it; whether something
/// was, its store name alone decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    schema: u32,
    /// What the engine has to say: its version, the lines that values came from.
    pub build: serde_json::Value,
    pub files: Listing,
}

impl Record {
    pub(super) fn of(tree: &Tree, build: serde_json::Value) -> Self {
        Self::from_parts(Listing::of(tree), build)
    }

    pub(super) fn from_parts(files: Listing, build: serde_json::Value) -> Self {
        Self { schema: SCHEMA, build, files }
    }

    /// The record at that path; nothing if there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, StoreError> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).at("read", path),
        };
        let bad = |reason: String| StoreError::Record { path: path.to_owned(), reason };
        let record: Self = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
        match record.schema {
            SCHEMA => Ok(Some(record)),
            other => Err(bad(format!("it has schema {other}, this release knows {SCHEMA}"))),
        }
    }

    /// Writes the record under a temporary name.
    pub(super) fn write(&self, directory: &Path) -> Result<Scratch, StoreError> {
        let scratch = Scratch::file(directory)?;
        let json = serde_json::to_vec(self).map_err(std::io::Error::from).at("write", scratch.path())?;
        scratch.lock().write_all(&json).at("write", scratch.path())?;
        rustix::fs::fchmod(scratch.lock(), rustix::fs::Mode::from_raw_mode(0o644))
            .at("write", scratch.path())?;
        Ok(scratch)
    }
}
