//! Secrets that nobody has to know: random, made once, kept in the state directory.
//!
//! ```text
//! generated/PROFILE/NAME    0600 in directories 0700: the value, which outlives reboots
//! ```
//!
//! Who removes the file gets a new value with the next hand-over.
#![expect(clippy::disallowed_methods, reason = "generated secrets are kept on disk")]

use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::file::text;
use super::{Answer, Found, Provider, Request, Secret, Trouble};
use crate::stack::Origin;

const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

pub(super) struct Generator {
    pub(super) directory: PathBuf,
    /// What is not there is made; otherwise it is only seen that it can be.
    pub(super) create: bool,
}

/// Where the generated secrets of a profile are.
pub(super) fn directory(state: &Path, profile: &str) -> PathBuf {
    state.join("generated").join(profile)
}

impl Provider for Generator {
    fn get(&self, requests: &[Request<'_>]) -> Vec<Answer> {
        requests
            .iter()
            .map(|request| match request.origin {
                Origin::Generate(length) => self.answer(request.name, *length).unwrap_or_else(Answer::Failed),
                other => super::not_mine(other),
            })
            .collect()
    }
}

impl Generator {
    fn answer(&self, name: &str, length: u32) -> Result<Answer, Trouble> {
        let path = self.directory.join(name);
        if let Some(secret) = kept(&path)? {
            return Ok(Found::plain(secret));
        }
        if !self.create {
            return Ok(Answer::Later);
        }
        let secret = random(length)?;
        self.keep(&path, &secret)
            .map_err(|error| Trouble::from(format!("{} can't be written: {error}", path.display())))?;
        // Another run may have been faster: what is on disk counts.
        Ok(kept(&path)?.map_or(Answer::Later, Found::plain))
    }

    /// Whole or not at all, and never over another one.
    fn keep(&self, path: &Path, secret: &Secret) -> std::io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let mut file = tempfile::Builder::new().prefix(".tmp-").tempfile_in(&self.directory)?;
        file.write_all(secret.expose().as_bytes())?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(path) {
            Ok(_) => {}
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.error),
        }
        File::open(&self.directory)?.sync_all()
    }
}

fn kept(path: &Path) -> Result<Option<Secret>, Trouble> {
    let shown = path.display();
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Trouble::from(format!("{shown}: {error}"))),
    };
    if metadata.permissions().mode() & 0o077 != 0 {
        let what = format!("{shown} can be read by others");
        return Err(Trouble::new(what, "remove it: the next hand-over makes a new one"));
    }
    let mut bytes =
        Zeroizing::new(std::fs::read(path).map_err(|error| Trouble::from(format!("{shown}: {error}")))?);
    text(&mut bytes).map(Some).map_err(|why| {
        Trouble::new(format!("{shown} {why}"), "remove it: the next hand-over makes a new one")
    })
}

/// Letters and digits, each as likely as any other.
fn random(length: u32) -> Result<Secret, Trouble> {
    let mut value = String::with_capacity(length as usize);
    let mut bytes = Zeroizing::new([0; 64]);
    while value.len() < length as usize {
        getrandom::fill(&mut *bytes)
            .map_err(|error| Trouble::from(format!("the system has no random bytes: {error}")))?;
        // Bytes past the last whole multiple of 62 would favour some letters.
        let fair = bytes.iter().filter(|b| **b < 248);
        let letters = fair.filter_map(|b| LETTERS.get(usize::from(b % 62)).copied().map(char::from));
        let missing = length as usize - value.len();
        value.extend(letters.take(missing));
    }
    Ok(Secret::new(value))
}
