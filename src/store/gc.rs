//! Garbage collection: what nothing needs is removed.
//!
//! A bundle is needed by a generation, by `live`, or by an out-link that is registered as a
//! root. Generations go only where limits say so, and never the current one, the last that
//! succeeded, one that is pending, or the newest, so that no number is given twice.
//!
//! With the lock on the bundles (see [`super::lock`]) held exclusively, no run is between
//! finding or putting a bundle and pointing to it. Under it, dead bundles are only renamed to
//! `.gc-<name>`; the lock is made shared before their files are removed, so that builds wait
//! for renames and not for the removal of files. What a killed run leaves is either a whole
//! bundle or has such a name, and the next `gc` removes it.

#![expect(clippy::disallowed_methods, reason = "the store is an edge")]

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::Deserialize;

use super::error::{At as _, StoreError};
use super::lock::{Busy, ProfileLock};
use super::signatures::{PROVENANCE, SIGNATURES};
use super::{Store, history, link, scan, scratch, write};
use crate::bundle::StoreName;

const TRASH: &str = ".gc-";

/// Which generations go. One stays if any of the limits keeps it; without limits all stay.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// As many successful generations stay, and what was tried since the oldest of them.
    pub keep: Option<usize>,
    /// Those from this time on stay.
    pub since: Option<Timestamp>,
}

/// What was removed, or would be.
#[derive(Debug, Default)]
pub struct Collected {
    pub generations: Vec<(String, u64)>,
    /// Profiles that another run was changing: their generations stay.
    pub busy: Vec<String>,
    pub bundles: Vec<StoreName>,
    /// The size of the bundles' files.
    pub bytes: u64,
    /// Out-links that are gone.
    pub roots: usize,
    /// Also signatures and provenance.
    pub records: usize,
    pub memo: usize,
}

impl Store {
    /// Removes what nothing needs. `busy` says what to do while builds use the store.
    pub fn gc(&self, limits: Limits, dry_run: bool, busy: Busy<'_>) -> Result<Collected, StoreError> {
        if !scan::exists(&self.bundles())? {
            return Ok(Collected::default());
        }
        let kind = if dry_run { FlockOperation::LockShared } else { FlockOperation::LockExclusive };
        let lock = self.lock_bundles(kind, busy)?;
        let mut collected = Collected::default();
        let locks = self.expired(limits, dry_run, &mut collected)?;
        let needed = self.needed(&collected.generations)?;
        let bundles = self.list()?.into_iter().map(|path| path.name().clone());
        collected.bundles = bundles.filter(|name| !needed.contains(name)).collect();
        // The order matters to who is killed: what points to something goes before that.
        self.remove_generations(&collected, dry_run)?;
        drop(locks);
        if !dry_run {
            self.discard(&collected.bundles)?;
        }
        self.remove_followers(&needed, dry_run, &mut collected)?;
        if dry_run {
            for name in &collected.bundles {
                collected.bytes += size(self.path_of(name).path());
            }
            return Ok(collected);
        }
        lock.share(&self.bundles())?;
        collected.bytes = self.empty_trash()?;
        Ok(collected)
    }

    /// The generations beyond the limits; the locks keep their profiles from being changed.
    fn expired(
        &self,
        limits: Limits,
        dry_run: bool,
        collected: &mut Collected,
    ) -> Result<Vec<ProfileLock>, StoreError> {
        let mut locks = Vec::new();
        if limits.keep.is_none() && limits.since.is_none() {
            return Ok(locks);
        }
        for profile in self.profiles()? {
            if !dry_run {
                match self.lock_profile(&profile, Busy::Refuse) {
                    Ok(lock) => locks.push(lock),
                    Err(StoreError::Locked { .. }) => {
                        collected.busy.push(profile);
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            let all = self.generations(&profile)?;
            let expired = history::expired(&all, self.current_number(&profile)?, limits);
            collected.generations.extend(expired.into_iter().map(|number| (profile.clone(), number)));
        }
        Ok(locks)
    }

    /// The bundles that something points to.
    fn needed(&self, expired: &[(String, u64)]) -> Result<HashSet<StoreName>, StoreError> {
        let expired: HashSet<(&str, u64)> = expired.iter().map(|(p, number)| (p.as_str(), *number)).collect();
        let mut needed = HashSet::new();
        for profile in self.profiles()? {
            let stay = self.generations(&profile)?.into_iter();
            let stay = stay.filter(|one| !expired.contains(&(profile.as_str(), one.number)));
            needed.extend(stay.map(|one| one.bundle));
        }
        for profile in scan::names(&self.directory.join("run"))? {
            let profile = profile.to_str().filter(|name| crate::bundle::check_name(name).is_ok());
            let live = profile.map(|profile| self.live(profile)).transpose()?.flatten();
            needed.extend(live.map(|path| path.name().clone()));
        }
        for root in scan::names(&self.roots())? {
            needed.extend(rooted(&self.roots().join(root))?);
        }
        Ok(needed)
    }

    fn remove_generations(&self, collected: &Collected, dry_run: bool) -> Result<(), StoreError> {
        if dry_run {
            return Ok(());
        }
        for (profile, number) in &collected.generations {
            remove(&self.generation_path(profile, *number)?)?;
        }
        let profiles: HashSet<&String> = collected.generations.iter().map(|(profile, _)| profile).collect();
        profiles.into_iter().try_for_each(|profile| write::sync(&self.generations_of(profile)))
    }

    /// Takes bundles out of the store in one step each. That is made durable before any file is
    /// removed: after a power failure no half bundle may have its old name.
    fn discard(&self, bundles: &[StoreName]) -> Result<(), StoreError> {
        for name in bundles {
            let path = self.path_of(name);
            let trash = self.bundles().join(format!("{TRASH}{name}"));
            let renamed = match rustix::fs::rename(path.path(), &trash) {
                // Left by a killed run, and built again since.
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR | Errno::ISDIR) => {
                    scratch::remove(&trash).at("remove", &trash)?;
                    rustix::fs::rename(path.path(), &trash)
                }
                renamed => renamed,
            };
            renamed.at("remove", path.path())?;
        }
        if bundles.is_empty() { Ok(()) } else { write::sync(&self.bundles()) }
    }

    /// Removes records, memo entries and roots that lead nowhere.
    fn remove_followers(
        &self,
        needed: &HashSet<StoreName>,
        dry_run: bool,
        collected: &mut Collected,
    ) -> Result<(), StoreError> {
        let remove = |path: PathBuf| if dry_run { Ok(()) } else { remove(&path) };
        for beside in ["records", SIGNATURES, PROVENANCE] {
            let directory = self.directory.join(beside);
            for file in scan::names(&directory)? {
                let name = file.to_str().map(|name| name.strip_suffix(".json").unwrap_or(name));
                let bundle = name.and_then(|name| name.parse().ok());
                if !bundle.is_some_and(|bundle| needed.contains(&bundle)) {
                    remove(directory.join(file))?;
                    collected.records += 1;
                }
            }
        }
        let memo = self.directory.join("memo");
        let entries = scan::names(&memo)?;
        let (notes, links): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|name| Path::new(name).extension() == Some(OsStr::new("json")));
        let mut known = HashSet::new();
        for entry in links {
            let bundle = link::read(&memo.join(&entry))?.and_then(|target| bundle_of(&target));
            if bundle.is_some_and(|bundle| needed.contains(&bundle)) {
                known.insert(entry);
            } else {
                remove(memo.join(entry))?;
                collected.memo += 1;
            }
        }
        for note in notes {
            let key = memo_key(&memo.join(&note));
            if !key.is_some_and(|key| known.contains(OsStr::new(&key))) {
                remove(memo.join(note))?;
                collected.memo += 1;
            }
        }
        for root in scan::names(&self.roots())? {
            let root = self.roots().join(root);
            if rooted(&root)?.is_none() {
                remove(root)?;
                collected.roots += 1;
            }
        }
        Ok(())
    }

    fn empty_trash(&self) -> Result<u64, StoreError> {
        let mut bytes = 0;
        for name in scan::names(&self.bundles())? {
            if name.as_encoded_bytes().starts_with(TRASH.as_bytes()) {
                let path = self.bundles().join(name);
                bytes += size(&path);
                match scratch::remove(&path) {
                    // Another `gc`, which came in between the two locks.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    removed => removed.at("remove", &path)?,
                }
            }
        }
        Ok(bytes)
    }

    fn roots(&self) -> PathBuf {
        self.directory.join("roots")
    }
}

/// The bundle that a root's out-link points to; none where the link is gone or is another's.
fn rooted(root: &Path) -> Result<Option<StoreName>, StoreError> {
    let Some(out_link) = link::read(root)? else { return Ok(None) };
    Ok(link::read(&out_link)?.and_then(|target| bundle_of(&target)))
}

fn bundle_of(target: &Path) -> Option<StoreName> {
    target.file_name()?.to_str()?.parse().ok()
}

/// The memo entry that a note leads to. The rest of it is the engine's.
fn memo_key(note: &Path) -> Option<String> {
    #[derive(Deserialize)]
    struct Note {
        key: [u8; 32],
    }
    let note: Note = serde_json::from_slice(&std::fs::read(note).ok()?).ok()?;
    Some(crate::bundle::name::base32(&note.key))
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.at("remove", path),
    }
}

/// Of the files in it, as far as they can be seen.
fn size(directory: &Path) -> u64 {
    let entries = walkdir::WalkDir::new(directory).into_iter().flatten();
    entries.filter(|entry| entry.file_type().is_file()).filter_map(|e| Some(e.metadata().ok()?.len())).sum()
}
