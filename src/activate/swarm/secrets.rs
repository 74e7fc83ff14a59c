//! Secrets of the swarm: made from what was handed over on this host, under names that say
//! nothing about the values.
//!
//! A plain hash in the name would: whoever may list secrets could try out passwords. So it is an
//! HMAC, and its key never leaves the state directory.
//!
//! ```text
//! swarm.key    0600: 32 random bytes; without it all secrets get new names, and services restart
//! ```
#![expect(clippy::disallowed_methods, reason = "the key is kept in the state directory")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::service::STACK;
use crate::activate::docker::{docker, feed};
use crate::activate::{Bundle, RuntimeError};
use crate::bundle::listing::hex;
use crate::render::swarm::{immutable, secret as called};
use crate::secret::handed_over;

const KEY: &str = "swarm.key";

/// Makes the secrets of services that are not there yet. The names in the swarm, by the names in
/// the bundle.
pub(super) fn provide(
    state: &Path,
    stack: &str,
    bundle: &Bundle,
    services: &[&str],
) -> Result<BTreeMap<String, String>, RuntimeError> {
    let profile = &bundle.manifest.profile;
    let wanted = bundle.manifest.services.iter().filter(|(name, _)| services.contains(&name.as_str()));
    let wanted: Vec<(&String, &String)> =
        wanted.flat_map(|(name, service)| service.secrets.keys().map(move |file| (name, file))).collect();
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    let key = key(state).map_err(|error| {
        let what = format!("{}: {error}", state.join(KEY).display());
        RuntimeError::unavailable(what, "see that the state directory can be written")
    })?;
    let there = list("secret", profile)?;
    let labels = [format!("--label=monprov.profile={profile}"), format!("--label={STACK}={stack}")];
    let mut names = BTreeMap::new();
    for (service, file) in wanted {
        let value = handed_over(state, profile, service, file).ok_or_else(|| {
            RuntimeError::unavailable(
                format!("the secret {file} of {service} can't be read in the state directory"),
                format!("hand it over again with `monprov secrets sync {profile}`"),
            )
        })?;
        let name = name(&key, profile, service, file, value.expose());
        if !there.contains(&name) {
            let args = ["secret", "create", &labels[0], &labels[1], &name, "-"];
            feed(&args, value.expose().as_bytes(), None, &BTreeMap::new())?;
        }
        names.insert(called(service, file), name);
    }
    Ok(names)
}

/// The names of what the swarm has of a profile. `what`: `secret` or `config`.
pub(super) fn list(what: &str, profile: &str) -> Result<BTreeSet<String>, RuntimeError> {
    let filter = format!("label=monprov.profile={profile}");
    let names = docker(&[what, "ls", "--filter", &filter, "--format", "{{.Name}}"])?;
    Ok(names.lines().map(str::to_owned).collect())
}

/// Service and file are part of it, so that equal values have different names.
fn name(key: &[u8], profile: &str, service: &str, file: &str, value: &str) -> String {
    let Ok(mut hmac) = Hmac::<Sha256>::new_from_slice(key) else { return immutable(profile, "") };
    for part in [profile, service, file] {
        hmac.update(part.as_bytes());
        hmac.update(&[0]);
    }
    hmac.update(value.as_bytes());
    immutable(profile, &hex(&hmac.finalize().into_bytes()))
}

fn key(state: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let path = state.join(KEY);
    let read = || std::fs::read(&path).map(Zeroizing::new);
    match read() {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Ok(key) if key.len() == 32 => return Ok(key),
        Ok(_) => return Err(std::io::Error::other("it is cut short; remove it, and a new one is made")),
        Err(error) => return Err(error),
    }
    let mut key = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *key).map_err(std::io::Error::other)?;
    // Temporary files have mode 0600.
    let mut file = tempfile::Builder::new().prefix(".tmp-").tempfile_in(state)?;
    file.write_all(&*key)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(&path) {
        Err(error) if error.error.kind() != ErrorKind::AlreadyExists => return Err(error.error),
        // Another profile's run may have been faster: what is on disk counts.
        _ => {}
    }
    File::open(state)?.sync_all()?;
    read()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_nothing_about_the_value_or_about_equal_ones() {
        let of = |key: &[u8], file, value| name(key, "prod", "grafana", file, value);
        assert_eq!(of(b"k", "a", "x"), of(b"k", "a", "x"));
        assert_ne!(of(b"k", "a", "x"), of(b"k", "a", "y"));
        assert_ne!(of(b"k", "a", "x"), of(b"other", "a", "x"));
        assert_ne!(of(b"k", "a", "x"), of(b"k", "b", "x"));
        let long = name(b"k", &"p".repeat(90), "s", "f", "v");
        assert!(long.len() <= 64 && long.starts_with("monprov-ppp"), "{long}");
    }

    #[test]
    fn the_key_is_made_once() {
        let state = tempfile::tempdir().unwrap();
        let first = key(state.path()).unwrap();
        assert_eq!(first.len(), 32);
        assert_eq!(*key(state.path()).unwrap(), *first);
        std::fs::write(state.path().join(KEY), "short").unwrap();
        assert!(key(state.path()).is_err());
    }
}
