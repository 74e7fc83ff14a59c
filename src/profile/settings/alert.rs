use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::profile::text::Text;
use crate::profile::units::{Duration, Threshold};

/// An alerting rule.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    #[schemars(extend("x-enable" = true))]
    pub enable: Option<bool>,
    /// The rule group; by default `default`.
    pub group: Option<String>,
    /// Its place in the group; ties go by name. By default 0.
    pub order: Option<i64>,
    /// PromQL; `${threshold}` is the threshold.
    pub expr: Text,
    pub threshold: Option<Threshold>,
    /// The unit of the threshold, for people: `messages`, `seconds`, `ratio`.
    pub unit: Option<String>,
    pub r#for: Option<Duration>,
    pub keep_firing_for: Option<Duration>,
    /// The `severity` label.
    pub severity: Option<String>,
    /// The `component` label.
    pub component: Option<String>,
    #[serde(default)]
    pub labels: BTreeMap<String, Text>,
    /// The `summary` annotation.
    pub summary: Option<Text>,
    /// The `description` annotation.
    pub description: Option<Text>,
    /// The `runbook_url` annotation.
    pub runbook_url: Option<Text>,
    #[serde(default)]
    pub annotations: BTreeMap<String, Text>,
}

/// A recording rule; its name is the metric.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Record {
    #[schemars(extend("x-enable" = true))]
    pub enable: Option<bool>,
    /// The metric's name; by default the record's.
    pub metric: Option<String>,
    pub group: Option<String>,
    pub order: Option<i64>,
    pub expr: Text,
    #[serde(default)]
    pub labels: BTreeMap<String, Text>,
}

/// Settings of a rule group.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Group {
    /// How often its rules are evaluated.
    pub interval: Option<Duration>,
    pub query_offset: Option<Duration>,
    /// The most alerts or series that one rule may produce.
    pub limit: Option<u64>,
    /// Its place among the groups; ties go by name.
    pub order: Option<i64>,
}

/// Ordinary Prometheus rule files.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RuleFiles {
    /// Paths or patterns, relative to the profiles' folder: `rules/*.yml`.
    pub files: Vec<String>,
}
