use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::profile::units::Bytes;

/// What the runtime `kubernetes` needs to know beyond the services.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Kubernetes {
    /// Which resources carry Prometheus and Alertmanager.
    pub flavor: Flavor,
    /// The namespace of everything; by default `monprov-` and the profile's name.
    pub namespace: Option<String>,
    /// False where something else makes the namespace.
    pub create_namespace: bool,
    /// The context of the kubeconfig; by default its current one.
    pub context: Option<String>,
    /// The storage class of volumes; by default the cluster's.
    pub storage_class: Option<String>,
    /// How large a volume is; by default 10 GiB.
    pub storage: Option<Bytes>,
    /// The same for one volume, by its name in `volumes`, or `SERVICE-data`.
    pub volumes: BTreeMap<String, Bytes>,
    /// Namespaces whose pods may reach the services too, an ingress controller's for example.
    pub allow_from: Vec<String>,
    /// Secrets of the namespace with which images are pulled.
    pub pull_secrets: Vec<String>,
}

impl Default for Kubernetes {
    fn default() -> Self {
        Kubernetes {
            flavor: Flavor::Plain,
            namespace: None,
            create_namespace: true,
            context: None,
            storage_class: None,
            storage: None,
            volumes: BTreeMap::new(),
            allow_from: vec![],
            pull_secrets: vec![],
        }
    }
}

/// Which resources carry Prometheus and Alertmanager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Flavor {
    /// Stateful sets, like every other service.
    #[default]
    Plain,
    /// Resources of the Prometheus operator, which must be there.
    Operator,
}
