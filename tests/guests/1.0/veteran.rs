//! A threshold plugin that uses all that version 1.0 of the ABI has: every edit, and a reason
//! that tells every field of the alert. `veteran.wasm` beside this was built once, with the SDK
//! of 1.0, and stays as it is.

use monprov_plugin::{Alert, Change, Edit, Observation, Result, Stack, Thresholds};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// What thresholds are multiplied with.
    #[serde(default = "twice")]
    factor: f64,
    /// An alert to be taken out.
    #[serde(default)]
    without: Option<String>,
}

fn twice() -> f64 {
    2.0
}

struct Veteran;

impl Thresholds for Veteran {
    type Settings = Settings;

    fn adjust(settings: Settings, alerts: Vec<Alert>, seen: Vec<Observation>, stack: Stack) -> Result<Vec<Change>> {
        let mut changes = vec![];
        for alert in &alerts {
            if settings.without.as_ref() == Some(&alert.name) {
                changes.push(alert.change(Edit::Disable, "it is not wanted"));
                continue;
            }
            if let Some(threshold) = alert.threshold {
                changes.push(alert.change(Edit::Threshold(threshold * settings.factor), format!("{alert:?}")));
            }
            changes.push(alert.change(Edit::PendingS(alert.pending_s + 60.0), "a minute more"));
            let label = Edit::Label(("seen".into(), seen.len().to_string()));
            changes.push(alert.change(label, format!("of {} on {}", stack.profile, stack.runtime)));
        }
        if let Some(first) = alerts.into_iter().next() {
            let copy = Alert { name: "Copy".into(), ..first };
            changes.push(Change { alert: "Copy".into(), edit: Edit::Add(copy), reason: "the first one again".into() });
        }
        Ok(changes)
    }
}

monprov_plugin::thresholds!(Veteran);
