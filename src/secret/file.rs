//! Secrets in files: those that systemd and Docker hand over, and any other.
#![expect(clippy::disallowed_methods, reason = "files are one of the sources")]

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zeroize::{Zeroize as _, Zeroizing};

use super::{Answer, Environment, Found, Provider, Request, Secret, Trouble};
use crate::stack::Origin;

/// A secret of more bytes is a mistake, such as the path of a log file.
pub(super) const MAX_SIZE: u64 = 64 << 10;

#[derive(Clone)]
pub(super) struct Files<'a> {
    /// Where relative paths start.
    pub(super) base: &'a Path,
    pub(super) environment: &'a Environment,
}

impl Provider for Files<'_> {
    fn get(&self, requests: &[Request<'_>]) -> Vec<Answer> {
        requests
            .iter()
            .map(|request| match request.origin {
                Origin::File(path) => self.answer(path),
                other => super::not_mine(other),
            })
            .collect()
    }
}

impl Files<'_> {
    fn answer(&self, written: &str) -> Answer {
        let places = self.places(written);
        for path in &places {
            match read(path) {
                Ok(Some(found)) => return found,
                Ok(None) => {}
                Err(trouble) => return Answer::Failed(trouble),
            }
        }
        let places: Vec<_> = places.iter().map(|p| p.display().to_string()).collect();
        let what = format!("there is no file {}", places.join(" or "));
        if written.contains('/') {
            return Answer::Missing(Trouble::from(what));
        }
        let remedy = format!(
            "systemd hands it over with `LoadCredential={written}:…`, Docker with `secrets: [{written}]`; \
             for another file write a path with a slash: \"./{written}\""
        );
        Answer::Missing(Trouble::new(what, remedy))
    }

    fn places(&self, written: &str) -> Vec<PathBuf> {
        if let Some(rest) = written.strip_prefix("~/")
            && let Some(home) = self.environment.var("HOME")
        {
            return vec![Path::new(&home).join(rest)];
        }
        if written.contains('/') {
            return vec![self.base.join(written.trim_start_matches("./"))];
        }
        let credentials = self.environment.var("CREDENTIALS_DIRECTORY").filter(|d| !d.is_empty());
        let folders = credentials.into_iter().chain(["/run/secrets".to_owned()]);
        folders.map(|folder| Path::new(&folder).join(written)).collect()
    }
}

/// `None` where there is no such file.
fn read(path: &Path) -> Result<Option<Answer>, Trouble> {
    let shown = path.display();
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::PermissionDenied => {
            Trouble::new(format!("{shown} may not be read"), "run as its owner, or change its owner or mode")
        }
        _ => Trouble::from(format!("{shown}: {error}")),
    };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(Trouble::from(format!("{shown} is a directory")));
    }
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_SIZE as usize + 1));
    (&mut file).take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(failed)?;
    let secret = text(&mut bytes).map_err(|why| Trouble::from(format!("{shown} {why}")))?;
    let open_to_all = metadata.mode() & 0o004 != 0;
    let warning = open_to_all.then(|| {
        Trouble::new(
            format!("{shown} can be read by every user of this machine"),
            format!("chmod o= {shown}"),
        )
    });
    Ok(Some(Answer::Found(Found { secret, version: None, warning })))
}

/// Bytes as a secret, without the line break that editors and `echo` put at the end.
pub(super) fn text(bytes: &mut Vec<u8>) -> Result<Secret, String> {
    if bytes.len() as u64 > MAX_SIZE {
        return Err(format!("has more than {MAX_SIZE} bytes"));
    }
    let mut text = match String::from_utf8(std::mem::take(bytes)) {
        Ok(text) => text,
        Err(error) => {
            error.into_bytes().zeroize();
            return Err("is not UTF-8".to_owned());
        }
    };
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() { Err("is empty".to_owned()) } else { Ok(Secret::new(text)) }
}
