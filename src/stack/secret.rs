//! Where secrets come from and what they must be like: references only, never a value.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::profile::settings::VaultMethod;
use crate::profile::units::Duration;

/// The secrets of a stack, as references.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// The secrets that are used, each with its sources in the order in which they are tried.
    pub sources: BTreeMap<String, Vec<SecretSource>>,
    /// `None` where no secret lies there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault: Option<Vault>,
}

/// One source of a secret, and what its value must be like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretSource {
    #[serde(flatten)]
    pub origin: Origin,
    #[serde(default, skip_serializing_if = "Constraints::is_empty")]
    pub constraints: Constraints,
}

/// Where a value lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A variable's name.
    Env(String),
    /// A bare name, or a path relative to the folder of profiles.
    File(String),
    /// A program and its arguments.
    Exec(Vec<String>),
    /// So many random letters and digits, made once.
    Generate(u32),
    Vault(VaultField),
}

/// A field of a secret in Vault's KV engine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VaultField {
    /// As `vault kv get` takes it, without `data/`.
    pub path: String,
    /// `None`: the only one there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// `None`: the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// What a value must be like.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Constraints {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub url: bool,
    /// Values such as `changeme` are refused.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_placeholder: bool,
}

impl Constraints {
    fn is_empty(&self) -> bool {
        *self == Constraints::default()
    }
}

/// The Vault server as the profile describes it; the environment may say otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Vault {
    pub address: Option<String>,
    pub namespace: Option<String>,
    /// This and the next three: paths relative to the folder of profiles.
    pub ca_cert: Option<String>,
    pub ca_path: Option<String>,
    pub client_cert: Option<String>,
    pub client_key: Option<String>,
    pub tls_server_name: Option<String>,
    pub deadline: Option<Duration>,
    pub auth: VaultAuth,
}

/// How to log in. Credentials have no constraints and never lie in Vault themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VaultAuth {
    pub method: VaultMethod,
    /// Where the method is mounted, without `auth/`; `None`: under its own name.
    pub mount: Option<String>,
    pub role: Option<String>,
    pub role_id: Option<String>,
    pub secret_id: Option<Origin>,
    pub jwt: Option<Origin>,
    pub token: Option<Origin>,
    /// The token or the secret id has to be unwrapped first.
    pub wrapped: bool,
}

impl Origin {
    /// The kind of the source, as the profile's key says it.
    pub fn provider(&self) -> &'static str {
        match self {
            Origin::Env(_) => "env",
            Origin::File(_) => "file",
            Origin::Exec(_) => "exec",
            Origin::Generate(_) => "generate",
            Origin::Vault(_) => "vault",
        }
    }
}

/// As people name it: `REDIS_PASSWORD`, `secret/monitoring/redis#password@3`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Env(name) => f.write_str(name),
            Origin::File(path) => f.write_str(path),
            Origin::Exec(command) => f.write_str(&command.join(" ")),
            Origin::Generate(length) => write!(f, "{length} characters"),
            Origin::Vault(VaultField { path, field, version }) => {
                f.write_str(path)?;
                if let Some(field) = field {
                    write!(f, "#{field}")?;
                }
                version.map_or(Ok(()), |version| write!(f, "@{version}"))
            }
        }
    }
}
