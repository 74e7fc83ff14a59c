//! Where values are handed over: in memory where the machine has a file system for that.
//!
//! ```text
//! STATE/secrets/PROFILE             a directory, or a link to RUNTIME/monprov/<state>/PROFILE
//! RUNTIME                           $RUNTIME_DIRECTORY (systemd), /run for root, $XDG_RUNTIME_DIR
//! ```
//!
//! Directories above a service's own are 0711: its user passes through and sees nothing else.
#![expect(clippy::disallowed_methods, reason = "values are handed over in files")]

use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::Secret;
use super::hand_over::{Error, at};
use crate::bundle::listing::hex;

/// `f_type` of file systems that live in memory (linux/magic.h).
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// Where the secrets of a profile are, whether or not they are there.
pub(super) fn of(state: &Path, profile: &str) -> PathBuf {
    state.join("secrets").join(profile)
}

/// A value that was handed over to a service; `None` where it is not there or not ours to read.
pub fn handed_over(state: &Path, profile: &str, service: &str, file: &str) -> Option<Secret> {
    let file = of(state, profile).join(service).join(file);
    std::fs::read_to_string(file).ok().map(Secret::new)
}

/// Makes the directory of a profile. One that is there is kept, wherever it is; a link that
/// leads nowhere, as after a reboot, is set anew.
pub(super) fn make(state: &Path, profile: &str) -> Result<PathBuf, Error> {
    let place = of(state, profile);
    if place.is_dir() {
        return Ok(place);
    }
    if place.is_symlink() {
        std::fs::remove_file(&place).map_err(at(&place))?;
    }
    passage(&state.join("secrets"))?;
    match in_memory() {
        None => passage(&place)?,
        Some(runtime) => {
            let state = std::fs::canonicalize(state).map_err(at(state))?;
            let digest = Sha256::digest(state.as_os_str().as_encoded_bytes());
            let digest = hex(&digest);
            let own = runtime.join(digest.get(..16).unwrap_or(&digest));
            let target = own.join(profile);
            passage(&runtime)?;
            passage(&own)?;
            passage(&target)?;
            symlink(&target, &place).map_err(at(&place))?;
        }
    }
    Ok(place)
}

/// Removes all of a profile's values.
pub(super) fn wipe(state: &Path, profile: &str) -> Result<(), Error> {
    let place = of(state, profile);
    if let Ok(target) = std::fs::read_link(&place) {
        remove(&target)?;
        return std::fs::remove_file(&place).map_err(at(&place));
    }
    remove(&place)
}

/// Removes what is in the directory of a profile but the directories of these.
pub(super) fn keep_only(place: &Path, names: &BTreeSet<&str>) -> Result<(), Error> {
    for entry in std::fs::read_dir(place).map_err(at(place))? {
        let entry = entry.map_err(at(place))?;
        if !entry.file_name().to_str().is_some_and(|name| names.contains(name)) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

fn remove(directory: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at(directory)(error)),
        _ => Ok(()),
    }
}

/// A directory through which others pass without seeing what is in it.
fn passage(directory: &Path) -> Result<(), Error> {
    if let Err(error) = DirBuilder::new().recursive(true).mode(0o711).create(directory) {
        return Err(at(directory)(error));
    }
    // Nobody else may have made it: its owner could exchange what is in it.
    let metadata = std::fs::symlink_metadata(directory).map_err(at(directory))?;
    let uid = rustix::process::geteuid().as_raw();
    if !metadata.is_dir() || (metadata.uid() != uid && uid != 0) {
        return Err(Error::Foreign { path: directory.to_owned(), owner: metadata.uid() });
    }
    // The umask may have taken more than it should.
    if metadata.mode() & 0o777 != 0o711 {
        let mode = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(directory, mode).map_err(at(directory))?;
    }
    Ok(())
}

fn in_memory() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    // systemd may name several directories, the first is the unit's own.
    let systemd =
        set("RUNTIME_DIRECTORY").and_then(|all| Some(PathBuf::from(all.to_str()?.split(':').next()?)));
    let root = rustix::process::geteuid().is_root().then(|| PathBuf::from("/run/monprov"));
    let user = set("XDG_RUNTIME_DIR").map(|directory| directory.join("monprov"));
    let lives = |directory: &PathBuf| {
        let there = directory.ancestors().find(|a| a.is_dir());
        there.and_then(|d| rustix::fs::statfs(d).ok()).is_some_and(|fs| IN_MEMORY.contains(&fs.f_type))
    };
    [systemd, root, user].into_iter().flatten().find(lives)
}
