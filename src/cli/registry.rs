//! How registries are spoken to, for all verbs that do.

use std::path::PathBuf;

use clap::Args;

use crate::registry::{Registries, Settings};

#[derive(Debug, Args)]
pub(super) struct RegistryOptions {
    /// Trust the authority in FILE (PEM) beside those of the system
    #[arg(long, value_name = "FILE", env = "MONPROV_REGISTRY_CA")]
    registry_ca: Option<PathBuf>,
    /// Speak to HOST[:PORT] without TLS where it has none; this machine's own may always
    #[arg(long, value_name = "HOST")]
    insecure_registry: Vec<String>,
}

impl RegistryOptions {
    pub(super) fn open(&self) -> anyhow::Result<Registries> {
        Registries::new(Settings {
            authorities: self.registry_ca.clone().filter(|file| !file.as_os_str().is_empty()),
            insecure: self.insecure_registry.clone(),
        })
    }
}
