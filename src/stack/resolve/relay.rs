//! Channels that a plugin delivers: to Alertmanager they are webhooks of the relay.

use std::collections::BTreeMap;

use crate::diagnostic::Path;
use crate::profile::settings::PluginChannel;
use crate::profile::text::{Filter, Piece, Text};
use crate::stack::{
    Constraints, Integration, Origin, Relayed, SecretSource, Secrets, Service, ServiceKind, Stack, Value,
};

use super::Resolver;

/// The length of a token: 43 letters and digits are more than 250 bits.
const TOKEN: u32 = 43;

/// The secret that Alertmanager shows to the relay. A profile may say where it comes from;
/// otherwise it is generated.
pub fn token_of(channel: &str) -> String {
    format!("relay-token-{channel}")
}

/// The secret that monprov shows to the relay's control endpoints.
pub const CONTROL: &str = "relay-control-token";

/// Nothing but a secret.
pub fn secret(name: String) -> Text {
    Text(vec![Piece::Secret { name, filter: Filter::None }])
}

impl Resolver<'_> {
    fn plugin_channels(&self) -> impl Iterator<Item = (&String, &PluginChannel)> {
        let channels = self.settings.channels.iter();
        channels.filter_map(|(name, channel)| Some((name, channel.plugin.as_ref()?)))
    }

    pub(super) fn relayed(&mut self) -> BTreeMap<String, Relayed> {
        let mut all = BTreeMap::new();
        let mut unknown = vec![];
        for (name, channel) in self.plugin_channels() {
            let at = Path::new(["channels", name, "plugin"]);
            let Some(plugin) = self.settings.plugins.get(&channel.name) else {
                unknown.push((at, channel.name.clone()));
                continue;
            };
            let mut settings = plugin.settings.0.clone();
            settings.extend(channel.settings.0.clone());
            let relayed = Relayed {
                plugin: channel.name.clone(),
                sha256: String::new(),
                limits: plugin.limits.clone(),
                settings: settings.into_iter().collect(),
                endpoints: channel.endpoints.clone(),
                grants: channel.grants.clone(),
                budget: channel.budget,
                at,
            };
            all.insert(name.clone(), relayed);
        }
        for (at, plugin) in unknown {
            let known: Vec<String> = self.settings.plugins.keys().cloned().collect();
            self.dangling(at.join("name"), "plugins", &plugin, "plugin", &known);
        }
        all
    }

    /// What Alertmanager sends to for a channel of a plugin.
    pub(super) fn through_relay(&self, channel: &str) -> Option<Integration> {
        let plugin = self.settings.channels.get(channel)?.plugin.as_ref()?;
        let relay = self.settings.services.iter().find(|(_, s)| s.kind == ServiceKind::Relay);
        // A stack without a relay, or one that has no port, is refused by the checks.
        let address = relay.and_then(|(name, s)| Some(self.settings.stack.runtime.address(name, s.port?)));
        let url = format!("http://{}/{channel}", address.unwrap_or_else(|| "relay".into()));
        let mut options = BTreeMap::from([
            ("url".to_owned(), Value::Text(Text::plain(url))),
            ("max_alerts".to_owned(), Value::Number(0.0)),
            ("bearer_token".to_owned(), Value::Text(secret(token_of(channel)))),
        ]);
        options.extend(plugin.send_resolved.map(|send| ("send_resolved".to_owned(), Value::Bool(send))));
        let at = Path::new(["channels", channel, "plugin"]);
        Some(Integration { kind: "webhook".into(), options, at })
    }

    /// A secret that the relay uses without being told to.
    pub(super) fn is_token(&self, name: &str) -> bool {
        let has_relay = || self.settings.services.values().any(|s| s.kind == ServiceKind::Relay);
        self.plugin_channels().any(|(channel, _)| token_of(channel) == name)
            || (name == CONTROL && has_relay())
    }

    /// The tokens of the relay, for which a profile need not care.
    pub(super) fn tokens(&self, sources: &mut BTreeMap<String, Vec<SecretSource>>) {
        let channels = self.plugin_channels().map(|(name, _)| token_of(name));
        let has_relay = self.settings.services.values().any(|s| s.kind == ServiceKind::Relay);
        for name in channels.chain(has_relay.then(|| CONTROL.to_owned())) {
            let generated =
                SecretSource { origin: Origin::Generate(TOKEN), constraints: Constraints::default() };
            sources.entry(name).or_insert_with(|| vec![generated]);
        }
    }
}

impl Stack {
    /// Takes a channel from the relay: Alertmanager delivers it by itself.
    pub fn deliver_natively(&mut self, channel: &str, native: Integration) {
        if self.relayed.remove(channel).is_none() {
            return;
        }
        let Secrets { sources, .. } = &mut self.secrets;
        sources.remove(&token_of(channel));
        if let Some(receiver) = self.receivers.get_mut(channel) {
            receiver.integrations.retain(|integration| integration.at != native.at);
            receiver.integrations.push(native);
        }
    }

    /// The relay, where the stack has one.
    pub fn relay(&self) -> Option<&Service> {
        self.service_of(ServiceKind::Relay)
    }
}
