//! Secrets of a cluster, from the values that were handed over on this machine.
//!
//! A Secret is never changed: another value is another Secret, and so a new pod, while a pod that
//! still runs keeps those that it started with. Its name is a keyed digest of its content, so that
//! the name tells nothing to whoever may list names and guess at values. The key never leaves
//! this machine (`kubernetes/key` of the state directory); with another key, pods start anew once.
#![expect(clippy::disallowed_methods, reason = "the key is in a file")]

use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::activate::{Bundle, RuntimeError};
use crate::bundle::listing::hex;
use crate::render::kubernetes::names;
use crate::secret::{self, Secret};

/// A Secret of a service.
pub(super) struct Named {
    pub(super) service: String,
    pub(super) name: String,
    pub(super) resource: Value,
}

/// The Secrets of a bundle's services.
pub(super) fn of(bundle: &Bundle, state: &Path, namespace: &str) -> Result<Vec<Named>, RuntimeError> {
    let manifest = &bundle.manifest;
    let mut all = vec![];
    let mut key = None;
    for (service, settings) in manifest.services.iter().filter(|(_, settings)| !settings.secrets.is_empty()) {
        let mut values = BTreeMap::new();
        for file in settings.secrets.keys() {
            let value = secret::handed_over(state, &manifest.profile, service, file).ok_or_else(|| {
                RuntimeError::unavailable(
                    format!("the secret file {file} of {service} is not there"),
                    "run this without --no-secrets once, so that it is written",
                )
            })?;
            values.insert(file.as_str(), value);
        }
        let key = match &mut key {
            Some(key) => key,
            none => none.insert(key_of(state)?),
        };
        let name = format!("{}-{}", names::secret_name(service), digest(key, &values)?);
        let data: Map<String, Value> = values
            .iter()
            .map(|(file, value)| ((*file).to_owned(), json!(STANDARD.encode(value.expose()))))
            .collect();
        let labels = json!({
            "app.kubernetes.io/managed-by": names::MANAGER,
            "app.kubernetes.io/name": service,
            names::PROFILE: manifest.profile,
            names::SERVICE: service,
        });
        let resource = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "immutable": true,
            "metadata": { "name": name, "namespace": namespace, "labels": labels },
            "data": data,
        });
        all.push(Named { service: service.clone(), name, resource });
    }
    Ok(all)
}

/// Each length before what has it, so that no two contents give the same text.
fn digest(key: &[u8], values: &BTreeMap<&str, Secret>) -> Result<String, RuntimeError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)
        .map_err(|error| RuntimeError::unavailable(error.to_string(), "remove it"))?;
    for (file, value) in values {
        for part in [file.as_bytes(), value.expose().as_bytes()] {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
    }
    let digest = hex(&mac.finalize().into_bytes());
    Ok(digest.get(..10).unwrap_or_default().to_owned())
}

/// The key of this state directory, made at the first use.
fn key_of(state: &Path) -> Result<Zeroizing<Vec<u8>>, RuntimeError> {
    let folder = state.join("kubernetes");
    let path = folder.join("key");
    let failed = |error: std::io::Error| {
        RuntimeError::unavailable(
            format!("{}: {error}", path.display()),
            "see that the state directory can be written",
        )
    };
    match std::fs::read(&path) {
        Ok(key) if key.len() == 32 => return Ok(Zeroizing::new(key)),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut key = Zeroizing::new(vec![0; 32]);
    getrandom::fill(&mut key).map_err(|error| failed(std::io::Error::other(error)))?;
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
    let new = folder.join("key.new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new).map_err(failed)?;
    file.write_all(&key).map_err(failed)?;
    std::fs::rename(&new, &path).map_err(failed)?;
    Ok(key)
}
