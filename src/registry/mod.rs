//! Container registries: what a tag means, and plugins that are kept there.
//!
//! | file | what it does |
//! | --- | --- |
//! | `address` | names of images and `oci://` addresses, with Docker's defaults |
//! | `settings` | authorities, hosts without TLS, log-ins of `docker login` |
//! | `session` | requests to one repository: plain or TLS, log-in, limits |
//! | `patience` | what is worth another try, and when to give up |
//! | `trouble` | why there is no answer, and what to do |
//! | `manifest` | what a registry sends, taken apart; no effects |
//! | `images` | a tag's digest and platforms |
//! | `plugins` | components as artifacts: fetched, published |
//!
//! Nothing is believed that a registry says about a digest: each is computed over the bytes that
//! came, and held against the one that was asked for.

mod address;
mod images;
mod manifest;
mod patience;
mod plugins;
mod session;
mod settings;
mod trouble;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use oci_client::secrets::RegistryAuth;

pub use address::{Artifact, SCHEME};
pub use plugins::{Fetched, Published};
pub use trouble::Trouble;

/// How registries are spoken to, as the command line says it.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// A file of authorities beside the system's.
    pub authorities: Option<PathBuf>,
    /// Hosts with their ports that may be spoken to without TLS.
    pub insecure: Vec<String>,
}

/// All registries that a command speaks to.
#[derive(Debug)]
pub struct Registries {
    settings: Settings,
    http: reqwest::Client,
    authorities: Vec<oci_client::client::Certificate>,
    /// Whether a host is spoken to without TLS, once it was tried.
    plain: Mutex<BTreeMap<String, bool>>,
    /// Log-ins by host: a helper may ask a person.
    logins: Mutex<BTreeMap<String, Result<RegistryAuth, Trouble>>>,
}
