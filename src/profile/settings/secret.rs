use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::profile::units::Duration;

/// Where a secret comes from; the first source that has it wins.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(extend("x-atomic" = true))]
pub enum SecretSources {
    One(Box<SecretSource>),
    Several(Vec<SecretSource>),
}

impl SecretSources {
    pub fn as_slice(&self) -> &[SecretSource] {
        match self {
            SecretSources::One(source) => std::slice::from_ref(source),
            SecretSources::Several(sources) => sources,
        }
    }
}

/// One source of a secret: exactly one of `env`, `file`, `exec`, `generate` and `vault`, and
/// what its value must be like.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SecretSource {
    /// A variable of the process environment or of `--env-file`.
    pub env: Option<String>,
    /// A file. A bare name is looked for in `$CREDENTIALS_DIRECTORY` and `/run/secrets`, a
    /// path with a slash is relative to the folder of profiles.
    pub file: Option<String>,
    /// A command and its arguments; what it prints is the secret.
    pub exec: Option<Vec<String>>,
    /// Random letters and digits, this many, made once and kept in the state directory.
    pub generate: Option<u32>,
    /// A path of Vault's KV engine, as `vault kv get` takes it: `secret/monitoring/smtp`.
    pub vault: Option<String>,
    /// The field there; it may be left out where there is only one.
    pub field: Option<String>,
    /// The version there (KV 2); by default the newest.
    pub version: Option<u64>,
    /// The fewest characters it may have.
    pub min_length: Option<u32>,
    /// The most characters it may have.
    pub max_length: Option<u32>,
    /// A regular expression that all of it must match.
    pub pattern: Option<String>,
    /// It must be a URL with a scheme and a host.
    pub url: bool,
}

/// The Vault server. Its own client's variables (`VAULT_ADDR` …) win over what stands here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Vault {
    /// `https://vault.example.com:8200`; `VAULT_ADDR`.
    pub address: Option<String>,
    /// `VAULT_NAMESPACE`.
    pub namespace: Option<String>,
    /// A PEM file of the authorities that its certificate is checked against; `VAULT_CACERT`.
    pub ca_cert: Option<String>,
    /// A folder of such files; `VAULT_CAPATH`.
    pub ca_path: Option<String>,
    /// A PEM file with the certificate that this client shows; `VAULT_CLIENT_CERT`.
    pub client_cert: Option<String>,
    /// A PEM file with its key; `VAULT_CLIENT_KEY`.
    pub client_key: Option<String>,
    /// The name that the server's certificate must be for; `VAULT_TLS_SERVER_NAME`.
    pub tls_server_name: Option<String>,
    /// How long all of its answers together may take; by default 60s.
    pub deadline: Option<Duration>,
    pub auth: VaultAuth,
}

/// How to log in to Vault. `VAULT_TOKEN`, where it is set, is used instead.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VaultAuth {
    pub method: VaultMethod,
    /// Where the method is mounted; by default under its own name.
    pub mount: Option<String>,
    /// The role (Kubernetes, JWT).
    pub role: Option<String>,
    /// The role's id (AppRole).
    pub role_id: Option<String>,
    /// Where the secret id comes from (AppRole).
    pub secret_id: Option<Credential>,
    /// Where the token comes from that proves who we are (Kubernetes, JWT).
    pub jwt: Option<Credential>,
    /// Where the token comes from; by default `~/.vault-token`, where `vault login` leaves it.
    pub token: Option<Credential>,
    /// The token or the secret id is wrapped: it is a one-time token to unwrap it with.
    pub wrapped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VaultMethod {
    #[default]
    Token,
    AppRole,
    Kubernetes,
    Jwt,
}

/// What proves to Vault who we are: exactly one of `env`, `file` and `exec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Credential {
    /// A variable of the process environment or of `--env-file`.
    pub env: Option<String>,
    /// A file, as in a secret.
    pub file: Option<String>,
    /// A command and its arguments, as in a secret.
    pub exec: Option<Vec<String>>,
}
