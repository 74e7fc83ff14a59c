//! Every alert says whose it is.

use monprov_plugin::{Alert, Finding, Policy, Result, Stack};

/// What users write under `[plugins.PLUGIN_NAME.settings]`.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The label that every alert must have.
    #[serde(default = "team")]
    label: String,
}

fn team() -> String {
    "team".to_owned()
}

struct Plugin;

impl Policy for Plugin {
    type Settings = Settings;

    fn check(settings: Settings, alerts: Vec<Alert>, _: Stack) -> Result<Vec<Finding>> {
        let label = &settings.label;
        let nobodys = alerts.iter().filter(|alert| alert.label(label).is_none());
        Ok(nobodys
            .map(|alert| {
                let message = format!("the alert `{}` has no label `{label}`", alert.name);
                alert.warning("required-label", &format!("labels.{label}"), message).help("say whose it is")
            })
            .collect())
    }
}

monprov_plugin::policy!(Plugin);
