//! The state directory on disk: bundles under the name of their content, and what points to them.
//!
//! ```text
//! .monprov/                      or MONPROV_STATE_DIR
//!   store/
//!     <id>-<name>/               a bundle: files 0444 or 0555, directories 0555, times 1 s after the epoch
//!     .tmp-<random>              being written by a run that holds a lock on it; without a lock, left by a
//!                                killed one
//!     .gc-<id>-<name>            being removed by `gc`
//!   records/<id>-<name>.json     how the bundle was made, and its files by digest (schema 1)
//!   signatures/<id>-<name>       who signed the bundle, one a line
//!   provenance/<id>-<name>.json  what the bundle was built from, in an envelope
//!   memo/<key>                   link to ../store/<id>-<name>: what a build of these inputs gave
//!   memo/<key>.json              a note of the engine: which inputs a profile had
//!   roots/<key>                  link to an out-link outside: what it points to is in use
//!   generations/<profile>/<n>.json   one activation, whatever came of it (schema 1)
//!   current/<profile>            link to ../generations/<profile>/<n>.json: the last one that succeeded
//!   run/<profile>/live           link to ../../store/<id>-<name>: the bundle that runs
//! ```
//!
//! A kill at any instant leaves either the old state or the new. A bundle is written whole
//! under a temporary name, synced, and appears by one rename; it is locked while it is
//! written, so that [`Store::open`] can tell a left-over from the work of a live run. The
//! temporary name stands in the same directory as the final one, since an ordinary user may
//! rename a read-only directory, but not move it to another parent. The record follows the
//! bundle: without one a bundle is whole, and the next build of it writes the record.
//!
//! Nothing on disk is trusted: a bundle is handed out by [`Store::put`] and
//! [`Store::memo_get`] only when its content has the hash that its name says. A [`Hold`] from
//! before that until something points to the bundle keeps it from being collected.

mod bookkeeping;
mod error;
mod find;
mod gc;
mod generations;
mod history;
mod import;
mod link;
mod lock;
mod record;
mod repair;
mod scan;
mod scratch;
mod signatures;
mod verify;
mod write;

use std::path::{Path, PathBuf};

use crate::bundle::{NameError, StoreName, Tree};

pub use bookkeeping::NO_RUNTIME;
pub(crate) use error::At;
pub use error::StoreError;
pub use gc::{Collected, Limits};
pub use generations::{Generation, Outcome, Rollback};
pub use import::ImportError;
pub use lock::{Attempt, Busy, Failed, Hold, ProfileLock};
pub use record::Record;
pub use scan::{hash_directory, read_tree};
pub use verify::{Difference, Verified};

use scratch::Scratch;

/// A state directory.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

/// A bundle's place in a store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StorePath {
    path: PathBuf,
    name: StoreName,
}

impl StorePath {
    /// The bundle's directory, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn name(&self) -> &StoreName {
        &self.name
    }

    /// A bundle of any store, by its absolute path, which ends in its name.
    pub fn at(path: &Path) -> Result<Self, NameError> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        Ok(StorePath { path: path.to_owned(), name: name.parse()? })
    }
}

impl Store {
    /// The store in a state directory, which need not exist: the first write makes it.
    /// Removes what killed runs have left.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let directory = std::path::absolute(directory).at("find", directory)?;
        let store = Self { directory };
        scratch::sweep(&store.bundles())?;
        Ok(store)
    }

    /// The state directory, absolute.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the bundle of that name is or would be.
    pub fn path_of(&self, name: &StoreName) -> StorePath {
        StorePath { path: self.bundles().join(name.as_str()), name: name.clone() }
    }

    /// Writes a bundle and its record, unless it is there already. `build` says how it was
    /// made and stays beside the bundle; the last build's is kept.
    ///
    /// A path that is there is compared with its name first: one that was tampered with is
    /// an error, and left as it is.
    pub fn put(&self, tree: &Tree, name: &str, build: &serde_json::Value) -> Result<StorePath, StoreError> {
        let steps = tree.walk()?;
        let target = self.path_of(&StoreName::of(&tree.nar_hash()?, name)?);
        let _hold = self.hold()?;
        let record = Record::of(tree, build.clone());
        if scan::exists(target.path())? {
            verify::require_intact(&target, || Some(record.files.clone()))?;
            if self.record(&target).ok().flatten().as_ref() != Some(&record) {
                let scratch = record.write(&self.bundles())?;
                write::sync(scratch.path())?;
                self.publish_record(scratch, &target)?;
            }
            return Ok(target);
        }
        let bundle = Scratch::directory(&self.bundles())?;
        write::tree(bundle.path(), &steps)?;
        let scratch = record.write(&self.bundles())?;
        write::sync_all(bundle.path(), &steps, scratch.path())?;
        if !bundle.publish_new(target.path())? {
            // Another run was faster.
            verify::require_intact(&target, || Some(record.files.clone()))?;
        }
        self.publish_record(scratch, &target)?;
        write::sync(&self.bundles())?;
        Ok(target)
    }

    /// The bundle of that name, if the store has it.
    pub fn get(&self, name: &StoreName) -> Result<Option<StorePath>, StoreError> {
        let path = self.path_of(name);
        Ok(scan::exists(path.path())?.then_some(path))
    }

    /// Every bundle, by name.
    pub fn list(&self) -> Result<Vec<StorePath>, StoreError> {
        let names = scan::names(&self.bundles())?;
        let mut paths: Vec<_> = names
            .iter()
            .filter_map(|name| name.to_str()?.parse().ok())
            .map(|name| self.path_of(&name))
            .collect();
        paths.sort();
        Ok(paths)
    }

    /// How the bundle was made; nothing if its record is gone.
    pub fn record(&self, path: &StorePath) -> Result<Option<Record>, StoreError> {
        Record::read(&self.record_path(path))
    }

    /// What a build of these inputs gave, if it is still there and intact.
    pub fn memo_get(&self, key: &[u8; 32]) -> Result<Option<StorePath>, StoreError> {
        let Some(target) = link::read(&self.memo_path(key))? else { return Ok(None) };
        let name = target.file_name().and_then(|name| name.to_str()?.parse().ok());
        let Some(path) = name.map(|name| self.path_of(&name)) else { return Ok(None) };
        Ok((scan::exists(path.path())? && verify::is_intact(&path)?).then_some(path))
    }

    /// Remembers what a build of these inputs gave.
    pub fn memo_put(&self, key: &[u8; 32], path: &StorePath) -> Result<(), StoreError> {
        self.prepare()?;
        link::replace(&Path::new("../store").join(path.name().as_str()), &self.memo_path(key))
    }

    /// A note beside the memo, if it is there and readable.
    #[expect(clippy::disallowed_methods, reason = "the store is on disk")]
    pub fn note_get<T: serde::de::DeserializeOwned>(&self, key: &[u8; 32]) -> Option<T> {
        let text = std::fs::read(self.note_path(key)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Writes a note. It is a hint: one that is lost costs a build, so it is not synced.
    pub fn note_put<T: serde::Serialize>(&self, key: &[u8; 32], note: &T) -> Result<(), StoreError> {
        self.prepare()?;
        let scratch = Scratch::file(&self.bundles())?;
        let text = serde_json::to_vec(note).map_err(std::io::Error::from).at("write", scratch.path())?;
        std::io::Write::write_all(&mut scratch.lock(), &text).at("write", scratch.path())?;
        scratch.publish(&self.note_path(key))
    }

    fn note_path(&self, key: &[u8; 32]) -> PathBuf {
        self.directory.join("memo").join(format!("{}.json", crate::bundle::listing::hex(key)))
    }

    /// Points `link` to the bundle and registers it as a root, so that the bundle is kept.
    pub fn out_link(&self, link: &Path, path: &StorePath) -> Result<(), StoreError> {
        let link = std::path::absolute(link).at("find", link)?;
        link::require_replaceable(&link)?;
        let _hold = self.hold()?;
        // The root comes first: a link without one would dangle after a garbage collection.
        let root = self.directory.join("roots").join(link::root_name(&link));
        link::replace(&link, &root)?;
        link::replace(path.path(), &link)
    }

    fn bundles(&self) -> PathBuf {
        self.directory.join("store")
    }

    fn record_path(&self, path: &StorePath) -> PathBuf {
        self.directory.join("records").join(format!("{}.json", path.name()))
    }

    fn memo_path(&self, key: &[u8; 32]) -> PathBuf {
        self.directory.join("memo").join(crate::bundle::name::base32(key))
    }

    fn publish_record(&self, scratch: Scratch, path: &StorePath) -> Result<(), StoreError> {
        scratch.publish(&self.record_path(path))?;
        write::sync(&self.directory.join("records"))
    }

    fn prepare(&self) -> Result<(), StoreError> {
        write::create_directory(&self.directory)?;
        ["store", "records", "memo", "roots"]
            .iter()
            .try_for_each(|name| write::create_directory(&self.directory.join(name)))
    }
}
