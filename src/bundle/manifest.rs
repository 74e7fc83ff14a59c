//! `manifest.json`: what a bundle is made of. It holds no time, no host, no line number and no
//! version of monprov, so that the same inputs give the same bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Tree;
use super::listing::hex;
use crate::diagnostic::Severity;
use crate::plugin::receivers::Receiver;
use crate::profile::text::Text;
use crate::stack::change::Change;
use crate::stack::{Secrets, ServiceKind, Uptake};

/// The version of this format. A reader refuses one that it does not know.
pub const SCHEMA: u32 = 1;

/// The name of the manifest in a bundle.
pub const FILE: &str = "manifest.json";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub schema: u32,
    pub profile: String,
    pub runtime: String,
    /// The names of the layers, in merge order.
    pub layers: Vec<String>,
    /// The merged settings; a secret stands as the list of its pieces.
    pub settings: serde_json::Value,
    /// The variables that were used, with their values.
    pub vars: BTreeMap<String, String>,
    /// Where each secret comes from and what it must be like; never a value.
    pub secrets: Secrets,
    pub services: BTreeMap<String, Service>,
    /// The plugins that ran.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plugins: BTreeMap<String, Plugin>,
    /// What they changed, in the order in which it was done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// Receivers of Alertmanager that channel plugins made, by channel.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub receivers: BTreeMap<String, Receiver>,
    /// What policy plugins found that stops nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<Verdict>,
    /// SHA-256 of rule files and dashboards that were taken as they are, by file name.
    pub inputs: BTreeMap<String, String>,
    /// Every file of the bundle but this one.
    pub files: BTreeMap<String, File>,
}

/// A plugin as it ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plugin {
    pub sha256: String,
    pub version: String,
    pub worlds: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub severity: Severity,
    /// A path of the profile, or a rule file.
    pub path: String,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    pub kind: ServiceKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// SHA-256 of how it is started; where it changes, the service is restarted.
    pub definition: String,
    /// SHA-256 of the files that it reads; where only these change, it is reloaded.
    pub configuration: String,
    /// The user (uid or uid:gid) that its secret files belong to; without one, whoever
    /// starts the stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The path that makes it read its files again when something is POSTed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload: Option<String>,
    /// The secret files that it needs, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, SecretFile>,
    /// Variables that the engine must find in its own environment when it starts the
    /// service: those in which a secret may stand openly (`allow_env`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub open_secrets: BTreeMap<String, Text>,
}

/// A secret file, as references.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecretFile {
    pub text: Text,
    /// What the service has to do when the content changes.
    pub on_change: Uptake,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct File {
    pub sha256: String,
    pub size: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

/// The digest of bytes, in hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The digest of those files of a tree that `select` takes, names included.
pub fn digest_of(tree: &Tree, select: impl Fn(&str) -> bool) -> String {
    let mut hash = Sha256::new();
    for (path, file) in tree.iter().filter(|(path, _)| select(path)) {
        hash.update(path.as_bytes());
        hash.update([0, u8::from(file.executable)]);
        hash.update(Sha256::digest(&file.content));
    }
    hex(&hash.finalize())
}

impl Manifest {
    /// Lists the files of a tree.
    pub fn list(tree: &Tree) -> BTreeMap<String, File> {
        let entry = |(path, file): (&str, &super::File)| {
            let size = file.content.len() as u64;
            (path.to_owned(), File { sha256: sha256(&file.content), size, executable: file.executable })
        };
        tree.iter().map(entry).collect()
    }

    /// The file's content: indented, with a newline at its end.
    pub fn to_json(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }
}
