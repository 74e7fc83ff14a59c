use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::profile::text::Text;
use crate::profile::units::{Bytes, Duration};

/// A program of the stack.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Service {
    #[schemars(extend("x-enable" = true))]
    pub enable: Option<bool>,
    /// What it is: `prometheus`, `alertmanager`, `grafana` and `relay` get their configuration,
    /// arguments and health check from monprov.
    pub kind: ServiceKind,
    /// The container image, with its tag: `prom/prometheus:v3.14.0`.
    pub image: Option<String>,
    /// Its version, where the image's tag does not say it or no image is used.
    pub version: Option<String>,
    /// The program, as found on PATH by the process runtime.
    pub program: Option<String>,
    /// The container's command before `args`, where a secret in the environment needs a
    /// wrapper: the image's own entrypoint, written out.
    pub entrypoint: Vec<String>,
    pub args: Vec<String>,
    /// The port that it listens on.
    pub port: Option<u16>,
    /// The port on the host; by default `port`. 0: not published.
    pub publish: Option<u16>,
    /// The host's address that the port is published on; by default 127.0.0.1.
    pub publish_address: Option<String>,
    pub environment: BTreeMap<String, Text>,
    /// Files with secrets in them, by name; `${file.NAME}` in an argument or a variable is
    /// where the service finds it.
    pub secret_files: BTreeMap<String, Text>,
    /// A secret may stand in the container's environment, where `docker inspect` shows it.
    pub allow_env: bool,
    /// A path that makes it read its files again when something is POSTed there.
    pub reload: Option<String>,
    pub health: Health,
    pub limits: Limits,
    /// The user (uid or uid:gid) that it runs as; secrets are readable by it alone.
    pub user: Option<String>,
    /// Directories in the container that outlive it, by volume name.
    pub volumes: BTreeMap<String, String>,
    /// Services that must be healthy first.
    pub after: Vec<String>,
    pub swarm: Swarm,
    /// Whether the process runtime refuses to start where the program is not on PATH, instead
    /// of running the rest; by default Prometheus and Alertmanager are required.
    pub required: Option<bool>,
    /// The metrics that it has: a built-in catalogue or a file beside the profile.
    pub catalog: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServiceKind {
    Prometheus,
    Alertmanager,
    Grafana,
    /// `monprov relay`, which delivers through channel plugins.
    Relay,
    #[default]
    Exporter,
}

/// How to see that a service is well.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Health {
    /// A path that answers 200.
    pub http: Option<String>,
    /// A command in the container that exits 0; by default one made from `http`.
    pub command: Vec<String>,
    pub interval: Option<Duration>,
    pub timeout: Option<Duration>,
    pub retries: Option<u32>,
    pub start_period: Option<Duration>,
}

/// How Docker Swarm runs a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Swarm {
    pub mode: SwarmMode,
    /// How many of it run, where the mode is `replicated`; by default one.
    pub replicas: Option<u32>,
    /// The nodes that it may run on: `node.labels.monitoring == true`.
    pub constraints: Vec<String>,
    pub publish_mode: PublishMode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SwarmMode {
    #[default]
    Replicated,
    /// One on every node.
    Global,
}

/// Where Swarm opens a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PublishMode {
    /// On the node where the service runs.
    #[default]
    Host,
    /// On every node of the swarm.
    Ingress,
}

/// What a container may use.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Processors: `0.25`.
    pub cpus: Option<String>,
    pub memory: Option<Bytes>,
}
