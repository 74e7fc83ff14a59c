//! Plugins for `monprov` in Rust.
//!
//! ```ignore
//! use monprov_plugin::{policy, Alert, Finding, Policy, Stack};
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! struct Settings {
//!     /// Labels that every alert must have.
//!     required: Vec<String>,
//! }
//!
//! struct Labels;
//!
//! impl Policy for Labels {
//!     type Settings = Settings;
//!
//!     fn check(settings: Settings, alerts: Vec<Alert>, _: Stack) -> monprov_plugin::Result<Vec<Finding>> {
//!         let missing = |alert: &Alert| settings.required.iter().any(|l| alert.label(l).is_none());
//!         let finding = |alert: &Alert| alert.warning("required-label", "labels", "a label is missing");
//!         Ok(alerts.iter().filter(|a| missing(a)).map(finding).collect())
//!     }
//! }
//!
//! monprov_plugin::policy!(Labels);
//! ```
//!
//! Build it as a `cdylib` for `wasm32-unknown-unknown`; `monprov` takes the module as it is. The
//! plugin's name and version are its package's.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Each interface is a world of its own here; a plugin joins those that it exports.
#[doc(hidden)]
pub mod meta_world {
    wit_bindgen::generate!({
        path: "../wit/1.1",
        inline: "package monprov:sdk-meta; world meta-role { export monprov:plugin/meta@1.1.0; }",
        world: "monprov:sdk-meta/meta-role",
        pub_export_macro: true,
        export_macro_name: "export_meta",
        default_bindings_module: "monprov_plugin::meta_world",
        generate_all,
    });
}

/// Bindings of threshold plugins.
#[doc(hidden)]
pub mod threshold_world {
    wit_bindgen::generate!({
        path: "../wit/1.1",
        inline: "package monprov:sdk-threshold; world threshold-role { export monprov:plugin/thresholds@1.1.0; }",
        world: "monprov:sdk-threshold/threshold-role",
        pub_export_macro: true,
        export_macro_name: "export_threshold",
        default_bindings_module: "monprov_plugin::threshold_world",
        generate_all,
    });
}

/// Bindings of policy plugins.
#[doc(hidden)]
pub mod policy_world {
    wit_bindgen::generate!({
        path: "../wit/1.1",
        inline: "package monprov:sdk-policy; world policy-role { export monprov:plugin/policy@1.1.0; }",
        world: "monprov:sdk-policy/policy-role",
        pub_export_macro: true,
        export_macro_name: "export_policy",
        default_bindings_module: "monprov_plugin::policy_world",
        generate_all,
        with: { "monprov:plugin/types@1.1.0": crate::threshold_world::monprov::plugin::types },
    });
}

/// Bindings of channel plugins.
#[doc(hidden)]
pub mod channel_world {
    wit_bindgen::generate!({
        path: "../wit/1.1",
        inline: "package monprov:sdk-channel; world channel-role { export monprov:plugin/channel@1.1.0; }",
        world: "monprov:sdk-channel/channel-role",
        pub_export_macro: true,
        export_macro_name: "export_channel",
        default_bindings_module: "monprov_plugin::channel_world",
        generate_all,
        with: { "monprov:plugin/types@1.1.0": crate::threshold_world::monprov::plugin::types },
        additional_derives: [PartialEq],
    });
}

pub mod channel;
#[cfg(all(target_arch = "wasm32", feature = "heap"))]
mod heap;

pub use policy_world::exports::monprov::plugin::policy::{Finding, Level};
pub use threshold_world::exports::monprov::plugin::thresholds::{Change, Edit};
pub use threshold_world::monprov::plugin::types::{Alert, Failure, Observation, Part, Problem, Side};

/// An answer, or why there is none.
pub type Result<T> = core::result::Result<T, Failure>;

/// The stack as a document. Members that later releases add are ignored.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Stack {
    pub profile: String,
    pub runtime: String,
    pub services: std::collections::BTreeMap<String, Service>,
    /// The whole document as JSON, for what has no field here: a type of one's own reads it.
    #[serde(skip)]
    pub document: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    pub kind: String,
    pub image: Option<String>,
    pub version: Option<String>,
    pub port: Option<u16>,
}

/// A plugin that changes alerts.
pub trait Thresholds {
    /// Settings of the profile, complete: the host fills in what has a default.
    type Settings: DeserializeOwned + JsonSchema;

    fn adjust(
        settings: Self::Settings,
        alerts: Vec<Alert>,
        seen: Vec<Observation>,
        stack: Stack,
    ) -> Result<Vec<Change>>;
}

/// A plugin that judges a stack.
pub trait Policy {
    /// Settings of the profile, complete: the host fills in what has a default.
    type Settings: DeserializeOwned + JsonSchema;

    fn check(settings: Self::Settings, alerts: Vec<Alert>, stack: Stack) -> Result<Vec<Finding>>;
}

/// A plugin without settings.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

impl Alert {
    /// An alert to add: what it is called, its PromQL and its severity.
    pub fn new(name: impl Into<String>, expr: impl Into<String>, severity: impl Into<String>) -> Self {
        Alert {
            id: String::new(),
            name: name.into(),
            group: String::new(),
            expr: expr.into(),
            parts: vec![],
            threshold: None,
            unit: String::new(),
            pending_s: 0.0,
            keep_firing_s: 0.0,
            severity: severity.into(),
            labels: vec![],
            annotations: vec![],
            origin: String::new(),
            frozen: vec![],
        }
    }

    /// A change that adds this alert, with its reason.
    pub fn added(self, reason: impl Into<String>) -> Change {
        Change { alert: self.name.clone(), edit: Edit::Add(self), reason: reason.into() }
    }

    pub fn label(&self, name: &str) -> Option<&str> {
        value(&self.labels, name)
    }

    pub fn annotation(&self, name: &str) -> Option<&str> {
        value(&self.annotations, name)
    }

    /// The expression at another threshold than the alert's own, as PromQL.
    pub fn expr_at(&self, threshold: f64) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Threshold => threshold.to_string(),
        };
        self.parts.iter().map(part).collect()
    }

    /// The expression between two texts; the threshold in it can still be tuned.
    pub fn expr_within(&self, before: &str, after: &str) -> Vec<Part> {
        let text = |text: &str| Part::Text(text.to_owned());
        [text(before)].into_iter().chain(self.parts.iter().cloned()).chain([text(after)]).collect()
    }

    /// A change of this alert, with its reason.
    pub fn change(&self, edit: Edit, reason: impl Into<String>) -> Change {
        Change { alert: self.id.clone(), edit, reason: reason.into() }
    }

    /// A finding about a field of this alert: `labels.team`, `annotations.summary`, `expr`; about
    /// the alert itself where that is empty.
    pub fn finding(&self, level: Level, code: &str, field: &str, message: impl Into<String>) -> Finding {
        Finding {
            code: code.to_owned(),
            level,
            path: if field.is_empty() { self.origin.clone() } else { format!("{}.{field}", self.origin) },
            message: message.into(),
            help: None,
        }
    }

    pub fn warning(&self, code: &str, field: &str, message: impl Into<String>) -> Finding {
        self.finding(Level::Warning, code, field, message)
    }

    pub fn error(&self, code: &str, field: &str, message: impl Into<String>) -> Finding {
        self.finding(Level::Error, code, field, message)
    }
}

impl Finding {
    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// The JSON Schema of settings.
#[doc(hidden)]
pub fn schema<S: JsonSchema>() -> String {
    serde_json::to_string(&schemars::schema_for!(S)).unwrap_or_default()
}

/// A document of the host. What does not fit is said; it can only be the schema that does not
/// say what the type does.
#[doc(hidden)]
pub fn read<T: DeserializeOwned>(what: &str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Failure::Other(format!("the {what} can't be read: {error}")))
}

/// The stack, with the document that it came from.
#[doc(hidden)]
pub fn stack(document: String) -> Result<Stack> {
    let stack: Stack = read("stack", &document)?;
    Ok(Stack { document, ..stack })
}

/// Exports `meta` for the package that calls it.
#[doc(hidden)]
#[macro_export]
macro_rules! meta {
    ($component:ident, $settings:ty) => {
        impl $crate::meta_world::exports::monprov::plugin::meta::Guest for $component {
            fn describe() -> $crate::meta_world::exports::monprov::plugin::meta::Info {
                $crate::meta_world::exports::monprov::plugin::meta::Info {
                    name: env!("CARGO_PKG_NAME").into(),
                    version: env!("CARGO_PKG_VERSION").into(),
                    homepage: env!("CARGO_PKG_REPOSITORY").into(),
                    settings_schema: $crate::schema::<$settings>(),
                }
            }
        }

        $crate::meta_world::export_meta!($component with_types_in $crate::meta_world);
    };
}

/// Exports a [`Policy`] as the plugin of this package.
#[macro_export]
macro_rules! policy {
    ($plugin:ty) => {
        const _: () = {
            struct Component;

            $crate::meta!(Component, <$plugin as $crate::Policy>::Settings);

            impl $crate::policy_world::exports::monprov::plugin::policy::Guest for Component {
                fn check(
                    settings: String,
                    alerts: Vec<$crate::Alert>,
                    stack: String,
                ) -> $crate::Result<Vec<$crate::Finding>> {
                    let settings = $crate::read("settings", &settings)?;
                    <$plugin as $crate::Policy>::check(settings, alerts, $crate::stack(stack)?)
                }
            }

    $crate::policy_world::export_policy!(Component with_types_in $crate::policy_world);
        };
    };
}

/// Exports [`Thresholds`] as the plugin of this package.
#[macro_export]
macro_rules! thresholds {
    ($plugin:ty) => {
        const _: () = {
            struct Component;

            $crate::meta!(Component, <$plugin as $crate::Thresholds>::Settings);

            impl $crate::threshold_world::exports::monprov::plugin::thresholds::Guest for Component {
                fn adjust(
                    settings: String,
                    alerts: Vec<$crate::Alert>,
                    seen: Vec<$crate::Observation>,
                    stack: String,
                ) -> $crate::Result<Vec<$crate::Change>> {
                    let settings = $crate::read("settings", &settings)?;
                    let stack = $crate::stack(stack)?;
                    <$plugin as $crate::Thresholds>::adjust(settings, alerts, seen, stack)
                }
            }

    $crate::threshold_world::export_threshold!(Component with_types_in $crate::threshold_world);
        };
    };
}
