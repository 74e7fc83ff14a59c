//! The settings, and the pieces that stand in them.

use std::collections::BTreeMap;

use monprov_plugin::channel::{Language, Offset, Piece, atom, hmac_sha256, secret, secret_atom, text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What users write under `[channels.NAME.plugin.settings]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The body as a template of Jinja. In JSON every `{{ value }}` is written with its quotes.
    pub body: String,
    /// What the body is, as `Content-Type` says it. It decides how values are escaped, too.
    #[serde(default = "json")]
    pub content_type: String,
    /// The name of the endpoint in the profile.
    #[serde(default = "hook")]
    pub endpoint: String,
    #[serde(default)]
    pub method: Method,
    /// What comes behind the endpoint's path, such as `["/send?token=", { secret = "token" }]`.
    #[serde(default)]
    pub path: Parts,
    /// Headers by name, such as `Authorization = ["Bearer ", { secret = "token" }]`.
    #[serde(default)]
    pub headers: BTreeMap<String, Parts>,
    /// Statuses that say that it was delivered; empty: 200 to 299.
    #[serde(default)]
    pub success: Vec<u16>,
    /// Statuses that may pass later, beside 408, 425, 429 and 500 to 599.
    #[serde(default)]
    pub retry: Vec<u16>,
    /// The most alerts in one request.
    #[serde(default = "alerts")]
    pub max_alerts: usize,
    /// The largest body; a group whose body is larger is divided.
    #[serde(default = "bytes")]
    pub max_bytes: usize,
    /// Of the words in `text`: `en` or `zh`.
    #[serde(default)]
    pub language: Language,
    /// For the times: `+08:00`, or `Z` for UTC.
    #[serde(default)]
    pub utc_offset: Offset,
}

fn json() -> String {
    "application/json".to_owned()
}

fn hook() -> String {
    "hook".to_owned()
}

fn alerts() -> usize {
    500
}

fn bytes() -> usize {
    900_000
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(inline)]
pub enum Method {
    #[default]
    Post,
    Put,
    Patch,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
        }
    }
}

/// A text, or a list of texts, secrets and MACs.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Parts {
    Text(String),
    Many(Vec<Part>),
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Part {
    Text(String),
    /// A secret, by the name of its grant.
    Secret(SecretPart),
    /// HMAC-SHA256 over the body in hexadecimal digits, whose key is a secret.
    Hmac(HmacPart),
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretPart {
    secret: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HmacPart {
    hmac: String,
}

impl Default for Parts {
    fn default() -> Self {
        Parts::Text(String::new())
    }
}

impl Parts {
    pub fn pieces(&self, body: &str) -> impl Iterator<Item = Piece> {
        let all: Vec<Piece> = match self {
            Parts::Text(plain) if plain.is_empty() => vec![],
            Parts::Text(plain) => vec![text(plain)],
            Parts::Many(parts) => parts.iter().map(|part| part.piece(body)).collect(),
        };
        all.into_iter()
    }
}

impl Part {
    fn piece(&self, body: &str) -> Piece {
        match self {
            Part::Text(plain) => text(plain),
            Part::Secret(SecretPart { secret: name }) => secret(name),
            Part::Hmac(HmacPart { hmac }) => hmac_sha256([secret_atom(hmac)], [atom(body)]).hex(),
        }
    }
}
