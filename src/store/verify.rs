//! A bundle on disk against its name, and, where they differ, against the list of its files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::scan::{self, Entry, Kind, Scan};
use super::write::{DIRECTORY, EXECUTABLE, FILE};
use super::{Store, StoreError, StorePath};
use crate::bundle::{Listing, StoreName};

/// One way in which a bundle on disk is not what its name says. Paths are relative to the
/// bundle; its own directory is the empty path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    Missing {
        path: PathBuf,
    },
    Added {
        path: PathBuf,
    },
    /// The content of a file.
    Changed {
        path: PathBuf,
    },
    Mode {
        path: PathBuf,
        is: u32,
        should: u32,
    },
    /// The time of the last change is not 1 s after the epoch.
    Time {
        path: PathBuf,
    },
    /// Neither a file nor a directory.
    Kind {
        path: PathBuf,
        is: &'static str,
    },
    /// The content does not have the hash in the name, and no record says what it was.
    Hash,
}

impl Difference {
    /// In one word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing",
            Self::Added { .. } => "added",
            Self::Changed { .. } => "changed",
            Self::Mode { .. } => "mode",
            Self::Time { .. } => "time",
            Self::Kind { .. } => "kind",
            Self::Hash => "content",
        }
    }

    /// Where; nowhere in particular if only the hash of the whole differs.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Missing { path }
            | Self::Added { path }
            | Self::Changed { path }
            | Self::Mode { path, .. }
            | Self::Time { path }
            | Self::Kind { path, .. } => Some(path),
            Self::Hash => None,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show =
            |path: &Path| if path.as_os_str().is_empty() { ".".into() } else { path.display().to_string() };
        match self {
            Self::Missing { path } | Self::Added { path } | Self::Changed { path } => {
                write!(f, "{:<8} {}", self.kind(), show(path))
            }
            Self::Mode { path, is, should } => {
                write!(f, "mode     {}: {is:04o}, not {should:04o}", show(path))
            }
            Self::Time { path } => write!(f, "time     {}: not 1 s after the epoch", show(path)),
            Self::Kind { path, is } => write!(f, "kind     {}: a {is}", show(path)),
            Self::Hash => write!(f, "content  its hash is not the one in the name"),
        }
    }
}

/// Whether the bundle is exactly what its name says.
pub(super) fn is_intact(path: &StorePath) -> Result<bool, StoreError> {
    Ok(is_right(path, &scan::scan(path.path(), false)?))
}

/// Refuses a bundle that is not exactly what its name says.
pub(super) fn require_intact(
    path: &StorePath,
    files: impl FnOnce() -> Option<Listing>,
) -> Result<(), StoreError> {
    match differences(path, files)? {
        differences if differences.is_empty() => Ok(()),
        differences => Err(StoreError::Tampered { path: path.path().to_owned(), differences }),
    }
}

/// The list of files is asked for only where something differs.
pub(super) fn differences(
    path: &StorePath,
    files: impl FnOnce() -> Option<Listing>,
) -> Result<Vec<Difference>, StoreError> {
    if !scan::exists(path.path())? {
        return Err(StoreError::Missing { path: path.path().to_owned() });
    }
    if is_intact(path)? {
        return Ok(Vec::new());
    }
    let found = scan::scan(path.path(), true)?;
    let mut differences = compare(&found.entries, files().as_ref());
    if differences.is_empty() && !is_right(path, &found) {
        differences.push(Difference::Hash);
    }
    Ok(differences)
}

/// A bundle and how it differs from its name.
pub type Verified = (StorePath, Result<Vec<Difference>, StoreError>);

impl Store {
    /// Every difference between the bundle on disk and its name: none if it is intact.
    pub fn verify(&self, path: &StorePath) -> Result<Vec<Difference>, StoreError> {
        differences(path, || self.listing(path))
    }

    /// The same for many bundles, on all processors. `done` is called after each.
    pub fn verify_all(&self, paths: Vec<StorePath>, done: impl Fn() + Sync) -> Vec<Verified> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut verified = Vec::new();
            while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                verified.push((path.clone(), self.verify(path)));
                done();
            }
            verified
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let mut all = thread::scope(|scope| {
            // Where no thread is to be had, this one does the work.
            let started = (1..threads).map(|_| thread::Builder::new().spawn_scoped(scope, work));
            let started: Vec<_> = started.collect();
            let mut all = work();
            for thread in started.into_iter().flatten() {
                all.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            all
        });
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    /// Refuses a bundle that is not exactly what its name says.
    pub fn require_intact(&self, path: &StorePath) -> Result<(), StoreError> {
        require_intact(path, || self.listing(path))
    }

    /// A record that can't be read costs the names of the files that differ, no more.
    fn listing(&self, path: &StorePath) -> Option<Listing> {
        self.record(path).ok().flatten().map(|record| record.files)
    }
}

pub(super) fn is_right(path: &StorePath, scan: &Scan) -> bool {
    scan.regular && StoreName::of(&scan.hash, path.name().name()).as_ref() == Ok(path.name())
}

/// Without a list of files, only what no bundle has is found.
fn compare(found: &[Entry], files: Option<&Listing>) -> Vec<Difference> {
    let expected = files.map(|files| {
        files.0.iter().map(|(path, file)| (Path::new(path.as_str()), file)).collect::<BTreeMap<_, _>>()
    });
    let mut directories = BTreeSet::from([Path::new("")]);
    directories.extend(expected.iter().flatten().flat_map(|(path, _)| path.ancestors().skip(1)));
    let mut differences = Vec::new();
    let mut hidden = BTreeSet::new(); // what stands in the way of everything below it
    for entry in found {
        let path = entry.path.clone();
        let expected_file = expected.as_ref().and_then(|files| files.get(path.as_path()));
        let known = expected.is_none()
            || match entry.kind {
                Kind::Directory => directories.contains(path.as_path()),
                Kind::File { .. } => expected_file.is_some(),
                Kind::Unreadable | Kind::Other(_) => true,
            };
        if !known {
            differences.push(Difference::Added { path });
            continue;
        }
        let should = match (&entry.kind, expected_file) {
            (Kind::Other(is), _) => {
                hidden.insert(entry.path.as_path());
                differences.push(Difference::Kind { path, is });
                continue;
            }
            (Kind::Directory, _) => DIRECTORY,
            (Kind::Unreadable, None) => {
                hidden.insert(entry.path.as_path());
                DIRECTORY
            }
            (_, Some(file)) if file.executable => EXECUTABLE,
            (_, Some(_)) => FILE,
            (_, None) if entry.mode & 0o100 != 0 => EXECUTABLE,
            (_, None) => FILE,
        };
        if entry.mode != should {
            differences.push(Difference::Mode { path: path.clone(), is: entry.mode, should });
        }
        if !entry.time_is_right {
            differences.push(Difference::Time { path: path.clone() });
        }
        if let (Kind::File { sha256 }, Some(file)) = (&entry.kind, expected_file)
            && *sha256 != file.sha256
        {
            differences.push(Difference::Changed { path });
        }
    }
    let seen: BTreeSet<&Path> = found
        .iter()
        .filter(|entry| entry.kind != Kind::Directory)
        .map(|entry| entry.path.as_path())
        .collect();
    for path in expected.iter().flat_map(BTreeMap::keys) {
        if !seen.contains(path) && !path.ancestors().any(|above| hidden.contains(above)) {
            differences.push(Difference::Missing { path: (*path).to_owned() });
        }
    }
    differences.sort();
    differences
}
