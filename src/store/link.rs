//! Symbolic links that change in one step: memo, roots and `--out-link`.

#![expect(clippy::disallowed_methods, reason = "the store is an edge")]

use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::{At as _, StoreError};
use crate::bundle::name::base32;

/// Runs that may replace the same link at the same time.
const ATTEMPTS: usize = 1000;

/// Where the link points to; nothing if it is not there or is no link.
pub(super) fn read(link: &Path) -> Result<Option<PathBuf>, StoreError> {
    match std::fs::read_link(link) {
        Ok(target) => Ok(Some(target)),
        // EINVAL: not a link.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidInput
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error).at("read the link", link),
    }
}

/// Makes `link` point to `target`, whether it was there or not; anything but a link is kept.
///
/// The new link is made beside the old one under a fixed name and renamed over it. What a
/// killed run has left under that name, the next one replaces.
pub(super) fn replace(target: &Path, link: &Path) -> Result<(), StoreError> {
    let mut name = std::ffi::OsString::from(".");
    name.push(link.file_name().unwrap_or_default());
    name.push(".monprov-new");
    let new = link.with_file_name(name);
    let mut last = ErrorKind::NotFound.into();
    for _ in 0..ATTEMPTS {
        match symlink(target, link) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            done => return done.at("make the link", link),
        }
        match std::fs::read_link(link) {
            Ok(present) if present == target => return Ok(()),
            Ok(_) => {}
            // Removed since.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                return Err(StoreError::LinkTaken { path: link.to_owned() });
            }
            Err(error) => return Err(error).at("read the link", link),
        }
        // Another run may take or remove the new link between any two of these calls.
        let replaced = symlink(target, &new).and_then(|()| std::fs::rename(&new, link));
        match replaced {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => match std::fs::remove_file(&new) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).at("remove the left-over", &new);
                }
                _ => last = error,
            },
            Err(error) if error.kind() == ErrorKind::NotFound => last = error,
            Err(error) if error.kind() == ErrorKind::IsADirectory => {
                return Err(StoreError::LinkTaken { path: link.to_owned() });
            }
            done => return done.at("replace the link", link),
        }
    }
    Err(last).at("replace the link", link)
}

/// Refuses to put a link where something else is.
pub(super) fn require_replaceable(link: &Path) -> Result<(), StoreError> {
    match std::fs::symlink_metadata(link) {
        Ok(metadata) if metadata.is_symlink() => Ok(()),
        Ok(_) => Err(StoreError::LinkTaken { path: link.to_owned() }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).at("look at", link),
    }
}

/// The name under which a link is registered as a root.
pub(super) fn root_name(link: &Path) -> String {
    let digest = Sha256::digest(link.as_os_str().as_bytes());
    base32(digest.get(..20).unwrap_or_default())
}
