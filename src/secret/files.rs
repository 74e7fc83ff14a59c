//! One service's secret files, exchanged all at once, as Kubernetes' projected volumes are:
//!
//! ```text
//! SERVICE/            0700, of the user that the service runs as
//!   ..<random>/       0700: the files, each 0400
//!   ..data            link to it, moved by a rename
//!   smtp_password     link to ..data/smtp_password
//! ```
//!
//! Whoever opens a file gets the old values or the new ones, never some of each through one
//! directory. What is written is made outside the service's directory and moved in, so that
//! the service's user, who owns it, can't lead a write elsewhere. Nothing is synced: after a
//! power failure all is written anew.
#![expect(clippy::disallowed_methods, reason = "values are handed over in files")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, symlink,
};
use std::path::Path;

use tempfile::TempDir;
use zeroize::Zeroizing;

use super::Secret;
use super::hand_over::{Error, at};

/// A user, and a group where one is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: Option<u32>,
}

impl Owner {
    /// Whoever runs this.
    pub(super) fn myself() -> Self {
        Owner { uid: rustix::process::geteuid().as_raw(), gid: None }
    }

    /// `uid` or `uid:gid`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            Some((uid, gid)) => Some(Owner { uid: uid.parse().ok()?, gid: Some(gid.parse().ok()?) }),
            None => Some(Owner { uid: text.parse().ok()?, gid: None }),
        }
    }

    /// True where files can be given to this user.
    pub(super) fn can_be_given(self) -> bool {
        rustix::process::geteuid().is_root() || self.uid == Owner::myself().uid
    }

    fn owns(self, metadata: &std::fs::Metadata) -> bool {
        metadata.uid() == self.uid && self.gid.is_none_or(|gid| metadata.gid() == gid)
    }

    fn take(self, path: &Path) -> Result<(), Error> {
        chown(path, Some(self.uid), self.gid).map_err(at(path))
    }
}

/// The files of a service by name.
pub(super) type Files = BTreeMap<String, Secret>;

/// The names of the files whose content would change: new ones, others, and those that go.
/// All of them where the directory is not as it should be.
pub(super) fn changed(directory: &Path, owner: Owner, files: &Files) -> Vec<String> {
    let data = directory.join("..data");
    let right = |path: &Path, mode: u32| {
        std::fs::metadata(path).is_ok_and(|m| owner.owns(&m) && m.mode() & 0o777 == mode)
    };
    let whole = right(directory, 0o700) && right(&data, 0o700);
    let same = |name: &String, secret: &Secret| {
        let path = data.join(name);
        let linked =
            std::fs::read_link(directory.join(name)).is_ok_and(|to| to == Path::new("..data").join(name));
        whole
            && linked
            && right(&path, 0o400)
            && std::fs::read(&path).map(Zeroizing::new).is_ok_and(|now| *now == secret.expose().as_bytes())
    };
    let mut names: Vec<String> =
        files.iter().filter(|(name, secret)| !same(name, secret)).map(|(name, _)| name.clone()).collect();
    for entry in std::fs::read_dir(&data).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !files.contains_key(&name) {
            names.push(name);
        }
    }
    names
}

/// Puts these files in the place of those that are there. `directory` is made if need be; its
/// parent belongs to whoever runs this.
pub(super) fn write(directory: &Path, owner: Owner, files: &Files) -> Result<(), Error> {
    let parent = directory.parent().unwrap_or(directory);
    if !directory.is_dir() {
        let new = private(parent)?;
        owner.take(new.path())?;
        std::fs::rename(new.path(), directory).map_err(at(directory))?;
        // It lives on under its name; there is nothing left to remove.
        let _ = new.keep();
    }
    let staging = private(parent)?;
    let random = staging.path().file_name().and_then(OsStr::to_str).unwrap_or_default();
    let name = format!("..{}", random.trim_start_matches(".tmp-"));

    let data = staging.path().join("data");
    DirBuilder::new().mode(0o700).create(&data).map_err(at(&data))?;
    for (file, secret) in files {
        let path = data.join(file);
        let mut handle =
            OpenOptions::new().write(true).create_new(true).mode(0o400).open(&path).map_err(at(&path))?;
        handle.write_all(secret.expose().as_bytes()).map_err(at(&path))?;
        owner.take(&path)?;
    }
    owner.take(&data)?;
    let target = directory.join(&name);
    std::fs::rename(&data, &target).map_err(at(&target))?;
    link(staging.path(), Path::new(&name), &directory.join("..data"))?;
    for file in files.keys() {
        link(staging.path(), &Path::new("..data").join(file), &directory.join(file))?;
    }
    sweep(directory, files)
}

/// A new directory that nobody else may enter.
fn private(parent: &Path) -> Result<TempDir, Error> {
    let mode = std::fs::Permissions::from_mode(0o700);
    tempfile::Builder::new().prefix(".tmp-").permissions(mode).tempdir_in(parent).map_err(at(parent))
}

/// A link that takes the place of whatever has its name.
fn link(staging: &Path, to: &Path, place: &Path) -> Result<(), Error> {
    if std::fs::read_link(place).is_ok_and(|now| now == to) {
        return Ok(());
    }
    let new = staging.join("link");
    symlink(to, &new).map_err(at(&new))?;
    std::fs::rename(&new, place).map_err(at(place))
}

/// Removes what is neither the data nor a link to one of the files.
pub(super) fn sweep(directory: &Path, files: &Files) -> Result<(), Error> {
    let data = std::fs::read_link(directory.join("..data")).map_err(at(directory))?;
    for entry in std::fs::read_dir(directory).map_err(at(directory))? {
        let entry = entry.map_err(at(directory))?;
        let name = entry.file_name();
        let kept = name == data.as_os_str()
            || name == "..data"
            || name.to_str().is_some_and(|name| files.contains_key(name));
        if kept {
            continue;
        }
        let path = entry.path();
        let removed = match entry.file_type().is_ok_and(|t| t.is_dir()) {
            true => std::fs::remove_dir_all(&path),
            false => std::fs::remove_file(&path),
        };
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(at(&path)(error)),
            _ => {}
        }
    }
    Ok(())
}
