//! `relay/relay.json`: the channels that the relay delivers through, and the plugins beside it.
//!
//! ```text
//! version      1; changes when a reader of an older version would go wrong
//! profile      the profile's name
//! channels     by name, which is also its path, each with
//!   plugin       the component, relative to this file
//!   sha256       its digest
//!   limits       as the profile sets them
//!   settings     complete, as the plugin gets them
//!   token        the secret file with the token that Alertmanager shows
//!   deadline     how long Alertmanager waits for an answer: `5m`
//!   budget       { messages, per }, if any: no more requests in a time
//!   endpoints    by name: { url, private, timeout }
//!   grants       by the name that the plugin uses: { file, endpoint, use, places }
//! ```
//!
//! Secret files are named without their folder, which is the service's own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::profile::settings::{Budget, Place, PluginLimits, Use};
use crate::profile::units::Duration;

/// The version of the format.
pub const VERSION: u32 = 1;

/// The file in a bundle.
pub const FILE: &str = "relay/relay.json";

/// The secret file with the token of the control endpoints.
pub const CONTROL: &str = "control-token";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relay {
    pub version: u32,
    pub profile: String,
    pub channels: BTreeMap<String, Channel>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    pub plugin: String,
    pub sha256: String,
    #[serde(default)]
    pub limits: PluginLimits,
    pub settings: serde_json::Value,
    pub token: String,
    pub deadline: Duration,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    pub endpoints: BTreeMap<String, Endpoint>,
    #[serde(default)]
    pub grants: BTreeMap<String, Grant>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Scheme, host, port and the beginning of the path; no user, query or fragment.
    pub url: String,
    /// Addresses that are not public may be dialled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
    pub timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The secret file with the value.
    pub file: String,
    /// The one endpoint that may get it.
    pub endpoint: String,
    pub r#use: Use,
    /// Where in a request it may stand.
    pub places: Vec<Place>,
}
