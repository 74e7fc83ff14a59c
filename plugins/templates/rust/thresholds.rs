//! Nobody is paged within the first moments.

use monprov_plugin::{Alert, Change, Edit, Observation, Result, Stack, Thresholds};

/// What users write under `[plugins.PLUGIN_NAME.settings]`.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The shortest `for`, in seconds.
    #[serde(default = "minute")]
    minimum_seconds: f64,
}

fn minute() -> f64 {
    60.0
}

struct Plugin;

impl Thresholds for Plugin {
    type Settings = Settings;

    fn adjust(settings: Settings, alerts: Vec<Alert>, _: Vec<Observation>, _: Stack) -> Result<Vec<Change>> {
        let least = settings.minimum_seconds;
        let hasty = alerts.iter().filter(|alert| alert.pending_s < least);
        Ok(hasty
            .map(|alert| alert.change(Edit::PendingS(least), format!("nobody is paged within {least} seconds")))
            .collect())
    }
}

monprov_plugin::thresholds!(Plugin);
