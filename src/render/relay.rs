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

use super::Error;
use super::prometheus::Rendered;
use crate::bundle::Tree;
use crate::profile::settings::{Budget, Place, PluginLimits, Use};
use crate::profile::text::Text;
use crate::profile::units::Duration;
use crate::stack::resolve::{CONTROL as CONTROL_SECRET, secret, token_of};
use crate::stack::{Relayed, Route, SecretGrant, Stack};

/// The version of the format.
pub const VERSION: u32 = 1;

/// The file in a bundle.
pub const FILE: &str = "relay/relay.json";

/// The secret file with the token of the control endpoints.
pub const CONTROL: &str = "control-token";

/// Requests of a plugin that say nothing themselves.
const TIMEOUT: Duration = Duration::seconds(10);

/// Alertmanager's own, where no route says it.
const GROUP_INTERVAL: Duration = Duration::seconds(300);

/// No attempt of Alertmanager is shorter.
const SHORTEST: Duration = Duration::seconds(10);

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

/// A plugin's component in a bundle, relative to [`FILE`].
pub fn component(plugin: &str) -> String {
    format!("plugins/{plugin}.wasm")
}

/// The file, and the secret files that it names; nothing, where the stack has no relay. The
/// components are whoever's that has read them.
pub fn render(stack: &Stack) -> Result<Rendered, Error> {
    if stack.relay().is_none() {
        return Ok(Rendered::default());
    }
    let mut secret_files = BTreeMap::from([(CONTROL.to_owned(), secret(CONTROL_SECRET.to_owned()))]);
    let channels = stack.relayed.iter();
    let channels = channels.map(|(name, r)| (name.clone(), channel(stack, name, r, &mut secret_files)));
    let relay = Relay { version: VERSION, profile: stack.name.clone(), channels: channels.collect() };
    let mut files = Tree::new();
    files.insert(FILE, serde_json::to_string_pretty(&relay)? + "\n");
    Ok(Rendered { files, secret_files })
}

fn channel(stack: &Stack, name: &str, relayed: &Relayed, files: &mut BTreeMap<String, Text>) -> Channel {
    let token = format!("{name}.token");
    files.insert(token.clone(), secret(token_of(name)));
    let endpoint = |(name, endpoint): (&String, &crate::stack::Endpoint)| {
        let timeout = endpoint.timeout.unwrap_or(TIMEOUT);
        (name.clone(), Endpoint { url: endpoint.url.clone(), private: endpoint.private, timeout })
    };
    let mut grant = |(slot, grant): (&String, &SecretGrant)| {
        let file = format!("{name}.grant.{slot}");
        files.insert(file.clone(), grant.secret.clone());
        let places = grant.place.as_slice().to_vec();
        (slot.clone(), Grant { file, endpoint: grant.endpoint.clone(), r#use: grant.r#use, places })
    };
    Channel {
        plugin: component(&relayed.plugin),
        sha256: relayed.sha256.clone(),
        limits: relayed.limits.clone(),
        settings: serde_json::Value::Object(relayed.settings.clone()),
        token,
        deadline: deadline(&stack.route, name, GROUP_INTERVAL).unwrap_or(GROUP_INTERVAL).max(SHORTEST),
        budget: relayed.budget,
        endpoints: relayed.endpoints.iter().map(endpoint).collect(),
        grants: relayed.grants.iter().map(&mut grant).collect(),
    }
}

/// The shortest `group_interval` of the routes that lead to a channel.
fn deadline(route: &Route, channel: &str, outer: Duration) -> Option<Duration> {
    let own = route.group_interval.unwrap_or(outer);
    let below = route.routes.iter().filter_map(|child| deadline(child, channel, own));
    below.chain((route.receiver == channel).then_some(own)).min()
}
