use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::profile::text::Text;
use crate::profile::units::Duration;

/// Alertmanager: the root route and what all channels share.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Alertmanager {
    /// The channel of alerts that no route takes.
    pub channel: Option<String>,
    pub group_by: Option<Vec<String>>,
    pub group_wait: Option<Duration>,
    pub group_interval: Option<Duration>,
    pub repeat_interval: Option<Duration>,
    pub resolve_timeout: Option<Duration>,
    pub smtp: Smtp,
}

/// The mail server of all e-mail channels.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Smtp {
    /// `host:port`
    pub smarthost: Option<String>,
    pub from: Option<String>,
    pub username: Option<String>,
    pub password: Option<Text>,
    pub hello: Option<String>,
    /// By default true.
    pub require_tls: Option<bool>,
}

/// A receiver of Alertmanager: one or more integrations that each get every notification.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Channel {
    #[schemars(extend("x-enable" = true))]
    pub enable: Option<bool>,
    pub email: Option<OneOrMany<Email>>,
    pub webhook: Option<OneOrMany<Webhook>>,
    pub slack: Option<OneOrMany<Slack>>,
    /// The WeCom (企业微信) application.
    pub wechat: Option<OneOrMany<Wechat>>,
    pub pagerduty: Option<OneOrMany<Pagerduty>>,
    pub opsgenie: Option<OneOrMany<Opsgenie>>,
    pub discord: Option<OneOrMany<Discord>>,
    /// Microsoft Teams through its connectors, which Microsoft retires; see `msteamsv2`.
    pub msteams: Option<OneOrMany<Msteams>>,
    /// Microsoft Teams through Power Automate.
    pub msteamsv2: Option<OneOrMany<MsteamsV2>>,
    pub telegram: Option<OneOrMany<Telegram>>,
    /// Whatever a plugin delivers to, through the relay.
    pub plugin: Option<PluginChannel>,
}

/// A channel plugin, what it may reach and which secrets its requests may carry.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PluginChannel {
    #[schemars(extend("x-enable" = true))]
    pub enable: Option<bool>,
    /// The name of a plugin in `[plugins]`.
    pub name: String,
    /// Whatever the plugin's own schema says, over `plugins.NAME.settings`.
    pub settings: super::PluginSettings,
    /// What it may reach, by the name that the plugin uses.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// Secrets that its requests may carry, by the name that the plugin uses.
    pub grants: BTreeMap<String, SecretGrant>,
    /// No more requests than the service takes.
    pub budget: Option<Budget>,
    pub send_resolved: Option<bool>,
}

/// A service that a channel plugin may send requests to.
#[derive(Debug, Clone, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Scheme, host, port and the beginning of the path: `https://oapi.dingtalk.com/robot/send`.
    pub url: String,
    /// Whether its address may be one of a private network.
    #[serde(default)]
    pub private: bool,
    /// How long a request may take; by default 10s.
    pub timeout: Option<Duration>,
}

/// A secret that a channel plugin's requests may carry. The plugin itself never sees it.
#[derive(Debug, Clone, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct SecretGrant {
    /// `${secret.NAME}`
    pub secret: Text,
    /// The one endpoint that may get it.
    pub endpoint: String,
    /// As it is, or in the key or the message of an HMAC.
    pub r#use: Use,
    /// Where in a request.
    pub place: OneOrMany<Place>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Use {
    Value,
    Hmac,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    Path,
    Query,
    Header,
    Body,
    /// A receiver of Alertmanager, which a plugin makes at build.
    Receiver,
}

/// So many requests in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    pub messages: u32,
    pub per: Duration,
}

/// One of a thing, or a list of it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, PartialEq)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    pub fn as_slice(&self) -> &[T] {
        match self {
            OneOrMany::One(one) => std::slice::from_ref(one),
            OneOrMany::Many(many) => many,
        }
    }
}

/// Mail; the server is `[alertmanager.smtp]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Email {
    #[schemars(extend("x-enable" = true))]
    pub enable: Option<bool>,
    /// Addresses, separated by commas.
    pub to: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub html: Option<String>,
    pub text: Option<String>,
    pub send_resolved: Option<bool>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    #[schemars(extend("x-enable" = true))]
    pub enable: Option<bool>,
    pub url: Text,
    /// The most alerts in one message; 0: all.
    pub max_alerts: Option<u32>,
    pub timeout: Option<Duration>,
    /// Sent as `Authorization: Bearer …`.
    pub bearer_token: Option<Text>,
    pub basic_auth: Option<super::BasicAuth>,
    pub send_resolved: Option<bool>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slack {
    #[schemars(extend("x-enable" = true))]
    pub enable: Option<bool>,
    /// The incoming webhook.
    pub api_url: Text,
    pub channel: Option<String>,
    pub username: Option<String>,
    pub icon_emoji: Option<String>,
    pub color: Option<String>,
    pub title: Option<String>,
    pub title_link: Option<String>,
    pub text: Option<String>,
    pub send_resolved: Option<bool>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wechat {
    #[schemars(extend("x-enable" = true))]
    pub enable: Option<bool>,
    pub corp_id: String,
    pub api_secret: Text,
    pub api_url: Option<String>,
    pub agent_id: Option<String>,
    pub to_user: Option<String>,
    pub to_party: Option<String>,
    pub to_tag: Option<String>,
    pub message: Option<String>,
    pub message_type: Option<String>,
    pub send_resolved: Option<bool>,
}

/// Events API v2 of PagerDuty.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pagerduty {
    #[schemars(extend("x-enable" = true))]
    pub enable: Option<bool>,
    /// The integration key.
    pub routing_key: Text,
    pub url: Option<String>,
    pub client: Option<String>,
    pub client_url: Option<String>,
    pub description: Option<String>,
    /// `critical`, `error`, `warning` or `info`; may be a template.
    pub severity: Option<String>,
    pub class: Option<String>,
    pub component: Option<String>,
    pub group: Option<String>,
    #[serde(default)]
    pub details: BTreeMap<String, String>,
    pub send_resolved: Option<bool>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Opsgenie {
    #[schemars(extend("x-enable" = true))]
    pub enable: Option<bool>,
    pub api_key: Text,
    pub api_url: Option<String>,
    pub message: Option<String>,
    pub description: Option<String>,
    /// `P1` to `P5`.
    pub priority: Option<String>,
    /// Separated by commas.
    pub tags: Option<String>,
    pub note: Option<String>,
    #[serde(default)]
    pub details: BTreeMap<String, String>,
    pub send_resolved: Option<bool>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Discord {
    #[schemars(extend("x-enable" = true))]
    pub enable: Option<bool>,
    pub webhook_url: Text,
    pub title: Option<String>,
    pub message: Option<String>,
    pub content: Option<String>,
    pub username: Option<String>,
    pub avatar_url: Option<String>,
    pub send_resolved: Option<bool>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Msteams {
    #[schemars(extend("x-enable" = true))]
    pub enable: Option<bool>,
    pub webhook_url: Text,
    pub title: Option<String>,
    pub summary: Option<String>,
    pub text: Option<String>,
    pub send_resolved: Option<bool>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MsteamsV2 {
    #[schemars(extend("x-enable" = true))]
    pub enable: Option<bool>,
    pub webhook_url: Text,
    pub title: Option<String>,
    pub text: Option<String>,
    pub send_resolved: Option<bool>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Telegram {
    #[schemars(extend("x-enable" = true))]
    pub enable: Option<bool>,
    pub bot_token: Text,
    /// Negative for a group.
    pub chat_id: i64,
    pub message_thread_id: Option<u32>,
    pub api_url: Option<String>,
    pub message: Option<String>,
    /// `HTML`, `Markdown`, `MarkdownV2` or empty.
    pub parse_mode: Option<String>,
    pub disable_notifications: Option<bool>,
    pub send_resolved: Option<bool>,
}

/// Which alerts go to which channel. Routes are tried in order; the first that matches takes
/// the alert unless it says `continue`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    #[schemars(extend("x-enable" = true))]
    pub enable: Option<bool>,
    /// By default the parent's channel.
    pub channel: Option<String>,
    /// Labels that must be equal.
    pub r#match: BTreeMap<String, String>,
    /// Matchers as Alertmanager writes them: `severity=~"warning|critical"`.
    pub matchers: Vec<String>,
    pub r#continue: Option<bool>,
    /// Its place among its siblings; ties go by name. By default 0.
    pub order: Option<i64>,
    pub group_by: Option<Vec<String>>,
    pub group_wait: Option<Duration>,
    pub group_interval: Option<Duration>,
    pub repeat_interval: Option<Duration>,
    /// Names of `[intervals]` in which it sends nothing.
    pub mute_during: Vec<String>,
    /// Names of `[intervals]` outside which it sends nothing.
    pub active_during: Vec<String>,
    pub routes: BTreeMap<String, Route>,
}

/// While an alert that `source` matches fires, those that `target` matches are mute.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Inhibition {
    #[schemars(extend("x-enable" = true))]
    pub enable: Option<bool>,
    pub source: BTreeMap<String, String>,
    pub source_matchers: Vec<String>,
    pub target: BTreeMap<String, String>,
    pub target_matchers: Vec<String>,
    /// Labels that both must have in common.
    pub equal: Vec<String>,
}

/// Times of the week, as in Alertmanager's `time_intervals`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeInterval {
    /// `{ from = "09:00", to = "17:00" }`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<TimeRange>,
    /// `monday:friday`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub weekdays: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub days_of_month: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub months: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub years: Vec<String>,
    /// An IANA name such as `Asia/Shanghai`; by default UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeRange {
    #[serde(rename(serialize = "start_time"))]
    pub from: String,
    #[serde(rename(serialize = "end_time"))]
    pub to: String,
}
