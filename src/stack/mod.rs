//! The stack, fully resolved and in a defined order: what checks judge, plugins change and
//! renderers write. No option is left open, no reference dangles, nothing depends on the
//! layer that it came from; places are kept as profile paths for messages only.

pub mod address;
pub mod canary;
pub mod change;
pub mod endpoint;
mod kubernetes;
pub mod matcher;
pub mod re2;
pub mod resolve;
pub mod routing;
pub mod rulefile;
mod runtime;
mod secret;
mod version;

pub use kubernetes::Kubernetes;
pub use secret::{Constraints, Origin, SecretSource, Secrets, Vault, VaultAuth, VaultField};
pub use version::Version;

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Path, Place};
pub use crate::profile::settings::{
    BasicAuth, Budget, Endpoint, Flavor, Health, ImagePolicy, Limits, Network, PanelType, PluginLimits,
    PublishMode, Query, Relabel, Runtime, Scheme, SecretGrant, ServiceKind, Step, Swarm, SwarmMode,
    TimeInterval,
};
use crate::profile::text::Text;
use crate::profile::units::{Duration, Threshold};

/// What a service does with a secret that changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Uptake {
    /// It reads the file whenever it needs it.
    Nothing,
    /// It reads the file when it is told to.
    Reload,
    /// It reads the file once, when it starts.
    Restart,
}

/// Everything that a bundle is rendered from.
#[derive(Debug, Clone)]
pub struct Stack {
    /// The profile's name.
    pub name: String,
    pub runtime: Runtime,
    /// The Compose project, or the Swarm stack.
    pub project: String,
    pub network: Network,
    pub kubernetes: Kubernetes,
    pub images: ImagePolicy,
    /// Every declared variable with its value.
    pub vars: BTreeMap<String, String>,
    pub secrets: Secrets,
    pub services: BTreeMap<String, Service>,
    pub prometheus: Prometheus,
    pub scrapes: BTreeMap<String, Scrape>,
    /// In the order in which they are rendered.
    pub groups: Vec<Group>,
    pub alertmanager: Alertmanager,
    pub receivers: BTreeMap<String, Receiver>,
    /// What the relay delivers, by channel.
    pub relayed: BTreeMap<String, Relayed>,
    pub route: Route,
    pub inhibitions: BTreeMap<String, Inhibition>,
    pub intervals: BTreeMap<String, TimeInterval>,
    pub grafana: Grafana,
    pub dashboards: BTreeMap<String, Dashboard>,
}

impl Stack {
    /// The service of a kind that the stack has one of: Prometheus, Alertmanager, Grafana.
    pub fn service_of(&self, kind: ServiceKind) -> Option<&Service> {
        self.services.values().find(|s| s.kind == kind)
    }

    pub fn rules(&self) -> impl Iterator<Item = (&Group, &Rule)> {
        self.groups.iter().flat_map(|g| g.rules.iter().map(move |r| (g, r)))
    }
}

#[derive(Debug, Clone)]
pub struct Service {
    pub name: String,
    pub kind: ServiceKind,
    pub image: Option<String>,
    /// From `version` or the image's tag; `None` where neither says it.
    pub version: Option<Version>,
    pub program: Option<String>,
    pub entrypoint: Vec<String>,
    /// The arguments of the profile, with `${file.…}` filled in. What monprov itself passes
    /// to the tools it knows is added where it is rendered.
    pub args: Vec<String>,
    /// Inside the container, and on the host under the process runtime.
    pub port: Option<u16>,
    /// On the host; `None` where it is not published.
    pub publish: Option<u16>,
    pub publish_address: String,
    pub environment: BTreeMap<String, Text>,
    pub secret_files: BTreeMap<String, Text>,
    pub allow_env: bool,
    /// The path that makes it read its files again when something is POSTed there.
    pub reload: Option<String>,
    pub health: Health,
    pub limits: Limits,
    pub user: Option<String>,
    pub volumes: BTreeMap<String, String>,
    pub after: Vec<String>,
    pub swarm: Swarm,
    /// The process runtime starts nothing where this one's program is missing.
    pub required: bool,
    pub catalog: Option<String>,
    /// `services.NAME`
    pub at: Path,
}

#[derive(Debug, Clone)]
pub struct Prometheus {
    pub scrape_interval: Duration,
    pub scrape_timeout: Duration,
    pub evaluation_interval: Duration,
    pub external_labels: BTreeMap<String, String>,
    pub retention: Duration,
    pub at: Path,
}

#[derive(Debug, Clone)]
pub struct Scrape {
    pub name: String,
    pub job: String,
    /// `host:port` with the `instance` label that it gets.
    pub targets: Vec<Target>,
    /// The service scraped, if it is one of the stack's.
    pub service: Option<String>,
    /// The catalogue of what these targets export; the service's own unless overridden.
    pub catalog: Option<String>,
    pub interval: Duration,
    pub timeout: Duration,
    pub path: String,
    pub scheme: Scheme,
    pub honor_labels: bool,
    pub labels: BTreeMap<String, String>,
    pub basic_auth: Option<BasicAuth>,
    pub bearer_token: Option<Text>,
    pub sample_limit: Option<u64>,
    pub relabel: Vec<Relabel>,
    pub metric_relabel: Vec<Relabel>,
    /// `scrapes.NAME`
    pub at: Path,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub address: String,
    /// The service's name, so that the label is the same under every runtime; `None` leaves
    /// the address, as Prometheus does.
    pub instance: Option<String>,
}

/// A rule group, of one rule file.
#[derive(Debug, Clone)]
pub struct Group {
    pub name: String,
    /// The rule file in the bundle, without folder: `celery_alerts.yml`.
    pub file: String,
    pub interval: Option<Duration>,
    pub query_offset: Option<Duration>,
    pub limit: Option<u64>,
    /// Labels of all its rules (Prometheus 3.0).
    pub labels: BTreeMap<String, String>,
    pub rules: Vec<Rule>,
    pub source: Source,
}

#[derive(Debug, Clone)]
pub struct Rule {
    pub kind: RuleKind,
    /// The alert's name or the recorded metric.
    pub name: String,
    pub expr: Text,
    pub labels: BTreeMap<String, Text>,
    pub source: Source,
}

#[derive(Debug, Clone)]
pub enum RuleKind {
    Record,
    Alert(AlertRule),
}

/// What an alerting rule has beyond a recording rule.
#[derive(Debug, Clone, Default)]
pub struct AlertRule {
    pub threshold: Option<Threshold>,
    pub unit: String,
    pub r#for: Duration,
    pub keep_firing_for: Duration,
    pub annotations: BTreeMap<String, Text>,
}

impl Rule {
    pub fn alert(&self) -> Option<&AlertRule> {
        match &self.kind {
            RuleKind::Alert(alert) => Some(alert),
            RuleKind::Record => None,
        }
    }

    /// The plugin that added it.
    pub fn plugin(&self) -> Option<&str> {
        let Source::Setting(path) = &self.source else { return None };
        let mut steps = path.segments();
        if steps.next() == Some("plugins") { steps.next() } else { None }
    }

    /// A text of this rule with the threshold filled in. Rules hold no secrets.
    pub fn fill(&self, text: &Text) -> String {
        let threshold = self.alert().and_then(|a| a.threshold).map(|t| t.to_string());
        text.fill(threshold.as_deref().unwrap_or_default()).unwrap_or_default()
    }

    pub fn expr(&self) -> String {
        self.fill(&self.expr)
    }

    /// Its labels with the threshold filled in, those of the rule alone.
    pub fn labels(&self) -> BTreeMap<&str, String> {
        self.labels.iter().map(|(k, v)| (k.as_str(), self.fill(v))).collect()
    }
}

/// Where a group or rule was written.
#[derive(Debug, Clone)]
pub enum Source {
    /// `alerts.NAME`, `records.NAME` or `groups.NAME`.
    Setting(Path),
    /// A rule file: the whole item, and each field that has a place of its own.
    /// Fields are named as in the file, below a label or annotation `labels.severity`.
    File { file: String, range: Range<usize>, fields: BTreeMap<String, Range<usize>> },
}

impl Source {
    /// The place of a field, named as in a rule file: `expr`, `for`, `labels.severity`,
    /// `annotations.summary`; of the item itself where the field has no place.
    pub fn place(&self, field: &str) -> Place {
        match self {
            Source::Setting(path) => {
                let shortcut = match field {
                    "labels.severity" => "severity",
                    "labels.component" => "component",
                    "annotations.summary" => "summary",
                    "annotations.description" => "description",
                    "annotations.runbook_url" => "runbook_url",
                    other => other,
                };
                // The reader of the place falls back to `labels.severity` where the
                // shortcut was not used.
                Place::setting(shortcut.split('.').fold(path.clone(), |p, s| p.join(s)))
            }
            Source::File { file, range, fields } => {
                Place::File { file: file.clone(), range: fields.get(field).unwrap_or(range).clone() }
            }
        }
    }
}

#[derive(Debug, Clone)]
pub struct Alertmanager {
    pub resolve_timeout: Duration,
    pub smtp: Smtp,
    pub at: Path,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Smtp {
    pub smarthost: Option<String>,
    pub from: Option<String>,
    pub username: Option<String>,
    pub password: Option<Text>,
    pub hello: Option<String>,
    pub require_tls: bool,
}

/// A receiver; its integrations stand in a fixed order (by kind, then as written).
#[derive(Debug, Clone, PartialEq)]
pub struct Receiver {
    pub name: String,
    pub integrations: Vec<Integration>,
    /// `channels.NAME`
    pub at: Path,
}

/// One way of a receiver to send. Options are named as the profile names them; `render`
/// knows what Alertmanager calls them and since which version it has them.
#[derive(Debug, Clone, PartialEq)]
pub struct Integration {
    /// `email`, `webhook`, `slack`, `wechat`, …
    pub kind: String,
    pub options: BTreeMap<String, Value>,
    /// `channels.NAME.KIND` or `channels.NAME.KIND[N]`
    pub at: Path,
}

/// A channel that a plugin delivers, through the relay.
#[derive(Debug, Clone, PartialEq)]
pub struct Relayed {
    /// The plugin's name.
    pub plugin: String,
    /// SHA-256 of its file; empty until it is known.
    pub sha256: String,
    pub limits: PluginLimits,
    /// As the profile gives them; complete once the plugin was asked.
    pub settings: serde_json::Map<String, serde_json::Value>,
    pub endpoints: BTreeMap<String, Endpoint>,
    pub grants: BTreeMap<String, SecretGrant>,
    pub budget: Option<Budget>,
    /// `channels.NAME.plugin`
    pub at: Path,
}

/// The value of an option.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Bool(bool),
    Number(f64),
    Text(Text),
    List(Vec<Value>),
    Table(BTreeMap<String, Value>),
}

#[derive(Debug, Clone)]
pub struct Route {
    /// Empty for the root.
    pub name: String,
    /// Its own or its parent's.
    pub receiver: String,
    pub matchers: Vec<Matcher>,
    pub r#continue: bool,
    /// `None`: the parent's.
    pub group_by: Option<Vec<String>>,
    pub group_wait: Option<Duration>,
    pub group_interval: Option<Duration>,
    pub repeat_interval: Option<Duration>,
    pub mute_during: Vec<String>,
    pub active_during: Vec<String>,
    /// In the order in which they are tried.
    pub routes: Vec<Route>,
    /// As written: two siblings of one order that could both match are an error.
    pub order: i64,
    /// `routes.NAME…`, or `alertmanager` for the root.
    pub at: Path,
}

/// A label matcher of Alertmanager. Regular expressions are anchored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Matcher {
    pub label: String,
    pub op: MatchOp,
    pub value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum MatchOp {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
}

#[derive(Debug, Clone)]
pub struct Inhibition {
    pub name: String,
    pub source: Vec<Matcher>,
    pub target: Vec<Matcher>,
    pub equal: Vec<String>,
    pub at: Path,
}

#[derive(Debug, Clone)]
pub struct Grafana {
    pub admin_user: String,
    pub admin_password: Option<Text>,
    pub at: Path,
}

#[derive(Debug, Clone)]
pub struct Dashboard {
    /// Its uid in Grafana.
    pub name: String,
    pub content: DashboardContent,
    pub at: Path,
}

#[derive(Debug, Clone)]
pub enum DashboardContent {
    Panels {
        title: String,
        tags: Vec<String>,
        range: Duration,
        refresh: Duration,
        panels: Vec<Panel>,
    },
    /// An exported dashboard, by its name relative to the project: its text is kept byte for byte.
    File {
        file: String,
        text: String,
    },
}

#[derive(Debug, Clone)]
pub struct Panel {
    pub name: String,
    pub title: String,
    pub description: Option<String>,
    pub r#type: PanelType,
    pub queries: Vec<Query>,
    /// The queries stand in a list, not as the panel's one `expr`.
    pub listed: bool,
    pub unit: Option<String>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub decimals: Option<u32>,
    pub steps: Vec<Step>,
    pub mappings: BTreeMap<String, String>,
    pub width: u8,
    pub height: u8,
    /// `dashboards.NAME.panels.NAME`
    pub at: Path,
}
