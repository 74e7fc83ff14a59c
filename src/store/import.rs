//! Bundles out of and into a store as archives.
//!
//! What comes in is written under a temporary name as it is read, and gets its own by one rename
//! after all of it was read, hashed, held against its name and synced. Before that it is nothing:
//! a kill or an error leaves what a sweep removes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use sha2::{Digest, Sha256};

use super::error::{At as _, StoreError};
use super::record::Record;
use super::scratch::Scratch;
use super::write::{DIRECTORY, EXECUTABLE, FILE, TIMES};
use super::{Store, StorePath, scan, verify, write};
use crate::bundle::listing::{Listed, hex};
use crate::bundle::nar::read::{Event, Limits, NarError, NarReader};
use crate::bundle::{Listing, NarHash, StoreName};

/// Why an archive did not become a bundle.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    Nar(#[from] NarError),
    #[error("{0}")]
    Wrong(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// The hash and size of a bundle's archive, which is refused if it was changed.
    pub fn nar(&self, path: &StorePath) -> Result<(NarHash, u64), StoreError> {
        self.dump(path, &mut io::sink())
    }

    /// Writes a bundle's archive. One that was changed is an error, after all was written.
    pub fn dump(&self, path: &StorePath, out: &mut dyn Write) -> Result<(NarHash, u64), StoreError> {
        if !scan::exists(path.path())? {
            return Err(StoreError::Missing { path: path.path().to_owned() });
        }
        let scan = scan::scan_into(path.path(), false, out)?;
        if !verify::is_right(path, &scan) {
            self.require_intact(path)?;
            // Changed while it was written, and put back.
            let differences = vec![super::Difference::Hash];
            return Err(StoreError::Tampered { path: path.path().to_owned(), differences });
        }
        Ok((scan.hash, scan.size))
    }

    /// Writes the record of a bundle that has none: the run that brought it was killed before it
    /// could. How it was built is not known here.
    pub fn complete(&self, path: &StorePath) -> Result<(), StoreError> {
        if self.record(path).ok().flatten().is_some() {
            return Ok(());
        }
        let listing = Listing::of(&scan::read_tree(path.path())?);
        let scratch = Record::from_parts(listing, serde_json::Value::Null).write(&self.bundles())?;
        write::sync(scratch.path())?;
        self.publish_record(scratch, path)
    }

    /// Makes a bundle of an archive of that size. `agree` has the last word before it appears:
    /// whether all else is right that only shows once everything was read.
    pub fn import(
        &self,
        name: &StoreName,
        size: u64,
        nar: impl Read,
        agree: impl FnOnce() -> Result<(), String>,
        build: serde_json::Value,
    ) -> Result<StorePath, ImportError> {
        let target = self.path_of(name);
        let _hold = self.hold()?;
        let bundle = Scratch::directory(&self.bundles())?;
        let mut hashed = Hashed { input: nar, sum: Sha256::new(), size: 0 };
        let limits = Limits { size, ..Limits::default() };
        let mut unpacked = Unpacked { root: bundle.path().to_owned(), ..Unpacked::default() };
        unpacked.read(NarReader::new(&mut hashed, limits))?;
        let hash = NarHash::from(<[u8; 32]>::from(hashed.sum.finalize()));
        if hashed.size != size {
            let why = format!("the archive has {} bytes, not the {size} that were announced", hashed.size);
            return Err(ImportError::Wrong(why));
        }
        match StoreName::of(&hash, name.name()) {
            Ok(found) if found == *name => {}
            _ => {
                return Err(ImportError::Wrong(format!(
                    "its content has the hash {hash}, which is not the one in its name"
                )));
            }
        }
        agree().map_err(ImportError::Wrong)?;
        let record = Record::from_parts(unpacked.listing, build);
        let scratch = record.write(&self.bundles())?;
        unpacked.written.push(scratch.path().to_owned());
        write::sync_together(&unpacked.written)?;
        if scan::exists(target.path())? && !verify::is_intact(&target)? {
            // One that was changed on disk is mended by the way.
            bundle.replace(target.path())?;
        } else if !bundle.publish_new(target.path())? {
            // Another run was faster.
            verify::require_intact(&target, || Some(record.files.clone()))?;
        }
        self.publish_record(scratch, &target)?;
        write::sync(&self.bundles())?;
        Ok(target)
    }
}

/// An archive as it becomes files.
#[derive(Default)]
struct Unpacked {
    root: PathBuf,
    listing: Listing,
    /// What is to be synced.
    written: Vec<PathBuf>,
}

impl Unpacked {
    fn read(&mut self, mut nar: NarReader<impl Read>) -> Result<(), ImportError> {
        let mut open: Option<(File, Sha256, PathBuf, bool)> = None;
        while let Some(event) = nar.step()? {
            match event {
                Event::Enter { path: "" } => {}
                Event::Enter { path } => {
                    let path = self.root.join(path);
                    rustix::fs::mkdir(&path, Mode::RWXU).at("write", &path)?;
                    rustix::fs::chmod(&path, Mode::RWXU).at("write", &path)?;
                }
                Event::File { path, executable, .. } => {
                    let path = self.root.join(path);
                    let flags =
                        OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
                    let file = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR).at("write", &path)?;
                    open = Some((file.into(), Sha256::new(), path, executable));
                }
                Event::Content(piece) => {
                    if let Some((file, sum, path, _)) = &mut open {
                        sum.update(piece);
                        file.write_all(piece).at("write", path)?;
                    }
                }
                Event::Close { path: name } => {
                    if let Some((file, sum, path, executable)) = open.take() {
                        let mode = if executable { EXECUTABLE } else { FILE };
                        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).at("write", &path)?;
                        rustix::fs::futimens(&file, &TIMES).at("write", &path)?;
                        let listed = Listed { sha256: hex(&sum.finalize()), executable };
                        self.listing.0.insert(name.to_owned(), listed);
                        self.written.push(path);
                    }
                }
                // The time comes last: every entry made within changes it.
                Event::Leave { path } => {
                    let path = if path.is_empty() { self.root.clone() } else { self.root.join(path) };
                    rustix::fs::chmod(&path, Mode::from_raw_mode(DIRECTORY)).at("write", &path)?;
                    rustix::fs::utimensat(CWD, &path, &TIMES, AtFlags::empty()).at("write", &path)?;
                    self.written.push(path);
                }
            }
        }
        Ok(())
    }
}

struct Hashed<R> {
    input: R,
    sum: Sha256,
    size: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(into)?;
        self.sum.update(into.get(..read).unwrap_or_default());
        self.size += read as u64;
        Ok(read)
    }
}

/// Two names in one directory that differ in case only. They are no harm to a store, but no
/// other machine takes them from a cache.
pub(super) fn colliding(listing: &Listing) -> Option<(String, String)> {
    let mut seen = BTreeMap::new();
    let paths = listing.0.keys().flat_map(|path| {
        let above = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
        above.chain([path.as_str()])
    });
    for path in paths.collect::<BTreeSet<_>>() {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        if let Some(other) = seen.insert((directory, name.to_lowercase()), path) {
            return Some((other.to_owned(), path.to_owned()));
        }
    }
    None
}

impl Store {
    /// Refuses a bundle that no other machine would take from a cache.
    pub fn require_portable(&self, path: &StorePath) -> Result<(), StoreError> {
        let listing = match self.record(path).ok().flatten() {
            Some(record) => record.files,
            None => Listing::of(&scan::read_tree(path.path())?),
        };
        match colliding(&listing) {
            Some((one, other)) => Err(StoreError::Colliding { name: path.name().clone(), one, other }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_collide_within_a_directory_only() {
        let listing = |paths: &[&str]| {
            let listed = || Listed { sha256: String::new(), executable: false };
            Listing(paths.iter().map(|path| ((*path).to_owned(), listed())).collect())
        };
        assert_eq!(colliding(&listing(&["a/x", "b/X", "c"])), None);
        assert_eq!(colliding(&listing(&["a/X", "a/x"])), Some(("a/X".into(), "a/x".into())));
        assert_eq!(colliding(&listing(&["A/x", "a/y"])), Some(("A".into(), "a".into())));
    }
}
