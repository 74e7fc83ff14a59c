//! What a switch to the new bundle does to the running services.

use serde::Serialize;

use crate::bundle::File;
use crate::bundle::manifest::Manifest;
use crate::stack::ServiceKind;

use super::Side;

/// Services by what happens to them, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Will {
    pub create: Vec<String>,
    pub restart: Vec<String>,
    pub reload: Vec<String>,
    pub remove: Vec<String>,
}

/// `None` where the sides are not of one profile and runtime: nothing is switched then.
pub(super) fn will(old: Option<&Side>, new: &Side) -> Option<Will> {
    let before = old.map(|old| &old.manifest);
    let same = |manifest: &Manifest| {
        (&manifest.profile, &manifest.runtime) == (&new.manifest.profile, &new.manifest.runtime)
    };
    if !before.is_none_or(same) {
        return None;
    }
    let mut will = Will::default();
    for (name, after) in &new.manifest.services {
        let Some((old, before)) = old.and_then(|old| Some((old, old.manifest.services.get(name)?))) else {
            will.create.push(name.clone());
            continue;
        };
        let configured = before.configuration != after.configuration;
        let secret = before.secrets != after.secrets;
        if before.definition != after.definition {
            will.restart.push(name.clone());
            continue;
        }
        match new.stack.services.get(name).map(|service| service.kind) {
            Some(ServiceKind::Prometheus | ServiceKind::Alertmanager) => {
                if configured || secret {
                    will.reload.push(name.clone());
                }
            }
            // It looks for dashboards by itself; all else it reads when it starts.
            Some(ServiceKind::Grafana) => {
                if secret || provisioning(old) != provisioning(new) {
                    will.restart.push(name.clone());
                }
            }
            Some(ServiceKind::Exporter) | None => {
                if configured || secret {
                    will.restart.push(name.clone());
                }
            }
        }
    }
    let gone = before.iter().flat_map(|manifest| manifest.services.keys());
    will.remove = gone.filter(|name| !new.manifest.services.contains_key(*name)).cloned().collect();
    Some(will)
}

/// Grafana's files but the dashboards.
fn provisioning(side: &Side) -> Vec<(&str, &File)> {
    let files = side.tree.iter().filter(|(path, _)| path.starts_with("grafana/"));
    files.filter(|(path, _)| !path.starts_with("grafana/dashboards/")).collect()
}
