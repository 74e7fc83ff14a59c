//! What a merged profile says, typed. These types are also the source of `monprov schema`
//! and of every "unknown key" message: a field that stands here is a key of the language.

mod alert;
mod channel;
mod dashboard;
mod kubernetes;
mod matrix;
mod plugin;
mod secret;
mod service;

pub use alert::*;
pub use channel::*;
pub use dashboard::*;
pub use kubernetes::*;
pub use matrix::*;
pub use plugin::*;
pub use secret::*;
pub use service::*;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::Text;
use super::units::Duration;
use crate::trust::Policy;

/// A monitoring stack, or a layer of one.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "monprov profile")]
pub struct Settings {
    /// Layers that this one builds on, by file name without `.toml`; the later one wins.
    pub extends: Vec<String>,
    /// Whether `build --all` builds this file; by default it does where no other file extends it.
    /// Not inherited.
    pub profile: Option<bool>,
    pub stack: StackSettings,
    pub build: BuildSettings,
    /// Where and how the runtime `kubernetes` runs the stack.
    pub kubernetes: Kubernetes,
    /// Settings from outside that anyone may read: `${var.NAME}`.
    pub vars: BTreeMap<String, Variable>,
    /// Settings from outside that nobody may read: `${secret.NAME}`.
    pub secrets: BTreeMap<String, SecretSources>,
    pub vault: Vault,
    pub services: BTreeMap<String, Service>,
    pub prometheus: Prometheus,
    pub scrapes: BTreeMap<String, Scrape>,
    pub groups: BTreeMap<String, Group>,
    pub alerts: BTreeMap<String, Alert>,
    pub records: BTreeMap<String, Record>,
    pub rules: RuleFiles,
    pub alertmanager: Alertmanager,
    pub channels: BTreeMap<String, Channel>,
    pub routes: BTreeMap<String, Route>,
    pub inhibitions: BTreeMap<String, Inhibition>,
    pub intervals: BTreeMap<String, TimeInterval>,
    pub grafana: Grafana,
    pub dashboards: BTreeMap<String, Dashboard>,
    pub plugins: BTreeMap<String, Plugin>,
    pub trust: Policy,
    pub matrix: Matrix,
}

/// The stack as a whole.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StackSettings {
    /// What runs the stack; an input of the build.
    pub runtime: Runtime,
    /// The name of the Compose project or the Swarm stack; by default `monprov-` and the profile's name.
    pub project: Option<String>,
    /// The one network that every service joins.
    pub network: Network,
}

impl Default for StackSettings {
    fn default() -> Self {
        StackSettings { runtime: Runtime::Compose, project: None, network: Network::default() }
    }
}

/// What runs the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// Programs from PATH on this machine, all on the loopback address.
    Process,
    /// Containers of Docker Compose.
    Compose,
    /// Services of Docker Swarm.
    Swarm,
    /// Pods of a Kubernetes cluster.
    Kubernetes,
}

/// A Docker network.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    pub name: String,
    /// True where something else, such as the application's own Compose file, creates it.
    pub external: bool,
}

impl Default for Network {
    fn default() -> Self {
        Network { name: "monitoring".into(), external: false }
    }
}

/// What a build demands.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BuildSettings {
    /// How exactly an image must be named.
    pub images: ImagePolicy,
    /// Whether a secret may have a value such as `changeme`.
    pub placeholders: PlaceholderPolicy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PlaceholderPolicy {
    #[default]
    Allow,
    Refuse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImagePolicy {
    /// Any name, also without a tag.
    Any,
    /// A tag that is a version; never `latest`.
    #[default]
    Version,
    /// A digest.
    Digest,
}

/// A setting that a layer or a site fixes, or that comes from outside.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Variable {
    /// This value, whatever the environment says.
    Fixed(String),
    Open(Var),
}

/// A setting from the process environment or `--env-file`, by its own name.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Var {
    /// What it is when it comes from nowhere. Without it the setting is required.
    pub default: Option<String>,
    /// What it is for; shown where it is missing.
    pub description: Option<String>,
}

/// Prometheus itself.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Prometheus {
    pub scrape_interval: Duration,
    pub scrape_timeout: Duration,
    pub evaluation_interval: Duration,
    pub external_labels: BTreeMap<String, String>,
    /// How long samples are kept.
    pub retention: Duration,
}

impl Default for Prometheus {
    fn default() -> Self {
        Prometheus {
            scrape_interval: Duration::seconds(15),
            scrape_timeout: Duration::seconds(10),
            evaluation_interval: Duration::seconds(15),
            external_labels: BTreeMap::new(),
            retention: Duration::seconds(15 * 24 * 3600),
        }
    }
}

/// Targets of one job that Prometheus scrapes.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Scrape {
    #[schemars(extend("x-enable" = true))]
    pub enable: Option<bool>,
    /// The `job` label; by default the scrape's name.
    pub job: Option<String>,
    /// The service to scrape.
    pub service: Option<String>,
    /// `host:port` of what is not a service of this stack.
    pub targets: Vec<String>,
    /// The metrics that `targets` have: a built-in catalogue or a file beside the profile.
    pub catalog: Option<String>,
    pub interval: Option<Duration>,
    pub timeout: Option<Duration>,
    /// By default `/metrics`.
    pub path: Option<String>,
    pub scheme: Option<Scheme>,
    pub honor_labels: bool,
    /// Labels that every sample of these targets gets.
    pub labels: BTreeMap<String, String>,
    pub basic_auth: Option<BasicAuth>,
    pub bearer_token: Option<Text>,
    pub sample_limit: Option<u64>,
    pub relabel: Vec<Relabel>,
    pub metric_relabel: Vec<Relabel>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    Http,
    Https,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    pub username: String,
    pub password: Text,
}

/// A relabelling step, with the fields of Prometheus' `relabel_config`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Relabel {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_labels: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modulus: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<RelabelAction>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RelabelAction {
    Replace,
    Keep,
    Drop,
    KeepEqual,
    DropEqual,
    HashMod,
    LabelMap,
    LabelDrop,
    LabelKeep,
    Lowercase,
    Uppercase,
}
