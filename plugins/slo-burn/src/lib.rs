//! `slo-burn`: alerts on how fast an objective burns its error budget, each over a long and a
//! short window, as chapter 5 of the Site Reliability Workbook recommends.

mod objective;
mod settings;

use std::collections::BTreeMap;

use monprov_plugin::{Alert, Change, Failure, Observation, Result, Stack, Thresholds};

use settings::Settings;

struct SloBurn;

impl Thresholds for SloBurn {
    type Settings = Settings;

    fn adjust(settings: Settings, _: Vec<Alert>, _: Vec<Observation>, _: Stack) -> Result<Vec<Change>> {
        let checked = settings.checked().map_err(Failure::Settings)?;
        // One alert a severity: of two windows that see the same trouble, only one pages.
        let mut severities: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for window in &checked.windows {
            severities.entry(&window.severity).or_default().push(window);
        }
        let mut changes = vec![];
        for objective in &checked.objectives {
            for (severity, windows) in &severities {
                changes.push(objective.alert(severity, windows, &checked.period));
            }
        }
        Ok(changes)
    }
}

monprov_plugin::thresholds!(SloBurn);
