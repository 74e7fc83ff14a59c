use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::profile::text::Text;
use crate::profile::units::Duration;

/// Grafana itself.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Grafana {
    /// By default `admin`.
    pub admin_user: Option<String>,
    pub admin_password: Option<Text>,
}

/// A dashboard: either panels written here, or a file exported from Grafana.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Dashboard {
    #[schemars(extend("x-enable" = true))]
    pub enable: Option<bool>,
    /// An exported dashboard, relative to the profiles' folder. It is taken as it is.
    pub file: Option<String>,
    pub title: Option<String>,
    pub tags: Vec<String>,
    /// The time range that it opens with; by default 6h.
    pub range: Option<Duration>,
    /// By default 30s.
    pub refresh: Option<Duration>,
    pub panels: BTreeMap<String, Panel>,
}

/// A panel of a dashboard; panels are laid out from left to right, in order.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Panel {
    #[schemars(extend("x-enable" = true))]
    pub enable: Option<bool>,
    pub title: Option<String>,
    pub description: Option<String>,
    pub r#type: PanelType,
    /// Its place in the dashboard; ties go by name. By default 0.
    pub order: Option<i64>,
    /// PromQL, where one query is enough.
    pub expr: Option<String>,
    /// The name of each series: `{{queue_name}}`.
    pub legend: Option<String>,
    #[serde(default)]
    pub queries: Vec<Query>,
    /// A unit of Grafana: `short`, `percentunit`, `s`, `reqps`.
    pub unit: Option<String>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub decimals: Option<u32>,
    /// Colours from a value on; the first has no value.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Texts for values: `{ "0" = "down" }`.
    #[serde(default)]
    pub mappings: BTreeMap<String, String>,
    /// Columns of 24; by default 12.
    pub width: Option<u8>,
    /// Rows; by default 8.
    pub height: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PanelType {
    TimeSeries,
    Gauge,
    Stat,
    BarGauge,
    Table,
    PieChart,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Query {
    pub expr: String,
    pub legend: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// From which value on; the first step has none.
    pub value: Option<f64>,
    pub color: String,
}
