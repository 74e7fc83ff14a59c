//! What stands beside a bundle and comes from elsewhere: who signed it, and how it was built.
//! Files of their own, so that the bundle stays what it is.

#![expect(clippy::disallowed_methods, reason = "the store is an edge")]

use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

use super::error::{At as _, StoreError};
use super::scratch::Scratch;
use super::{Store, StorePath, write};
use crate::bundle::StoreName;
use crate::trust::Signature;

/// `signatures/<id>-<name>`: one a line.
pub(super) const SIGNATURES: &str = "signatures";
/// `provenance/<id>-<name>.json`: a sealed statement.
pub(super) const PROVENANCE: &str = "provenance";

impl Store {
    /// Who signed a bundle, as it is kept: nothing of it has been judged.
    pub fn signatures(&self, name: &StoreName) -> Result<Vec<Signature>, StoreError> {
        let path = self.signatures_path(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => Signature::lines(&text)
                .map_err(|error| StoreError::Signatures { path, reason: error.to_string() }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(vec![]),
            Err(error) => Err(error).at("read", &path),
        }
    }

    /// Adds signatures to those of a bundle; false if it had them all.
    pub fn add_signatures(&self, path: &StorePath, more: &[Signature]) -> Result<bool, StoreError> {
        // One that can't be read is written anew: signatures can always be had again.
        let mut all = self.signatures(path.name()).unwrap_or_default();
        let known = all.len();
        for signature in more {
            if !all.contains(signature) {
                all.push(signature.clone());
            }
        }
        if all.len() == known {
            return Ok(false);
        }
        let text: String = all.iter().map(|signature| format!("{signature}\n")).collect();
        self.put_beside(SIGNATURES, self.signatures_path(path.name()), text.as_bytes(), true)?;
        Ok(true)
    }

    /// How a bundle was built, as it was sealed.
    pub fn provenance(&self, name: &StoreName) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.provenance_path(name);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).at("read", &path),
        }
    }

    /// Keeps how a bundle was built, in the place of what was known before.
    pub fn put_provenance(&self, name: &StoreName, envelope: &[u8]) -> Result<(), StoreError> {
        self.put_beside(PROVENANCE, self.provenance_path(name), envelope, true)
    }

    /// The same for what the next build can state again: it is not synced.
    pub fn note_provenance(&self, name: &StoreName, envelope: &[u8]) -> Result<(), StoreError> {
        self.put_beside(PROVENANCE, self.provenance_path(name), envelope, false)
    }

    /// Whether it is known how a bundle was built. Costs next to nothing.
    pub fn has_provenance(&self, name: &StoreName) -> bool {
        self.provenance_path(name).exists()
    }

    fn put_beside(
        &self,
        directory: &str,
        path: PathBuf,
        bytes: &[u8],
        durable: bool,
    ) -> Result<(), StoreError> {
        self.prepare()?;
        let directory = self.directory.join(directory);
        write::create_directory(&directory)?;
        let scratch = Scratch::file(&self.bundles())?;
        scratch.lock().write_all(bytes).at("write", scratch.path())?;
        rustix::fs::fchmod(scratch.lock(), rustix::fs::Mode::from_raw_mode(0o644))
            .at("write", scratch.path())?;
        if durable {
            write::sync(scratch.path())?;
        }
        scratch.publish(&path)?;
        if durable { write::sync(&directory) } else { Ok(()) }
    }

    fn signatures_path(&self, name: &StoreName) -> PathBuf {
        self.directory.join(SIGNATURES).join(name.as_str())
    }

    fn provenance_path(&self, name: &StoreName) -> PathBuf {
        self.directory.join(PROVENANCE).join(format!("{name}.json"))
    }
}
