use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::profile::units::{Bytes, Duration};

/// A WebAssembly component that changes alerts or judges the stack.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Plugin {
    #[schemars(extend("x-enable" = true))]
    pub enable: Option<bool>,
    /// The component, relative to the project: `plugins/naming-policy.wasm`. It is pinned in
    /// `monprov.lock`.
    pub file: String,
    /// Its place among the plugins; ties go by name. Of two that change the same value, the
    /// later one wins.
    pub order: Option<i64>,
    /// Plugins whose changes this one is to see.
    pub after: Vec<String>,
    /// What it may change; by default `threshold` and `for`.
    pub may: Option<Vec<Grant>>,
    pub limits: PluginLimits,
    /// Whatever the plugin's own schema says (`monprov plugin inspect FILE`).
    pub settings: PluginSettings,
}

/// What a plugin may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    Threshold,
    For,
    Label,
    Severity,
    Add,
    Disable,
    Expr,
    Annotation,
    KeepFiringFor,
}

impl Grant {
    pub fn name(self) -> &'static str {
        match self {
            Grant::Threshold => "threshold",
            Grant::For => "for",
            Grant::Label => "label",
            Grant::Severity => "severity",
            Grant::Add => "add",
            Grant::Disable => "disable",
            Grant::Expr => "expr",
            Grant::Annotation => "annotation",
            Grant::KeepFiringFor => "keep_firing_for",
        }
    }
}

/// What a plugin may use; what is not given has a default that suits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PluginLimits {
    /// Instructions, roughly, of every call; by default 5000000000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// Instructions more for each alert; by default 1000000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel_per_item: Option<u64>,
    /// Memory of a call; by default 64MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// Entries of all tables; by default 100000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_entries: Option<u64>,
    /// Instances of core modules that the component is made of; by default 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<u64>,
    /// The call stack; by default 1MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack: Option<Bytes>,
    /// What a call may return; by default 16MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Bytes>,
    /// The component itself; by default 32MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<Bytes>,
    /// A backstop for what fuel can't count; by default 1m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Duration>,
}

/// A table of anything, held against the plugin's own schema.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct PluginSettings(pub BTreeMap<String, serde_json::Value>);

impl JsonSchema for PluginSettings {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PluginSettings".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "x-any": true,
            "description": "Whatever the plugin's own schema says"
        })
    }
}
