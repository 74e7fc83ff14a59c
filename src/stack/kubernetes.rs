//! Where and how a cluster runs the stack, with all defaults filled in.

use std::collections::BTreeMap;

use crate::diagnostic::Path;
use crate::profile::settings::{self, Flavor};
use crate::profile::units::Bytes;

/// Where the runtime `kubernetes` puts the stack.
#[derive(Debug, Clone)]
pub struct Kubernetes {
    pub flavor: Flavor,
    pub namespace: String,
    pub create_namespace: bool,
    pub storage_class: Option<String>,
    /// How large a volume is that `volumes` does not name.
    pub storage: Bytes,
    pub volumes: BTreeMap<String, Bytes>,
    pub allow_from: Vec<String>,
    pub pull_secrets: Vec<String>,
    pub at: Path,
}

impl Kubernetes {
    pub fn new(profile: &str, settings: &settings::Kubernetes) -> Self {
        let set = settings.clone();
        Kubernetes {
            flavor: set.flavor,
            namespace: set.namespace.unwrap_or_else(|| format!("monprov-{profile}")),
            create_namespace: set.create_namespace,
            storage_class: set.storage_class,
            storage: set.storage.unwrap_or(Bytes(10 << 30)),
            volumes: set.volumes,
            allow_from: set.allow_from,
            pull_secrets: set.pull_secrets,
            at: Path::new(["kubernetes"]),
        }
    }
}
