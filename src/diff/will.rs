//! What a switch to the new bundle does to the running services.

use serde::Serialize;

use crate::bundle::File;
use crate::bundle::manifest::{Manifest, Service};
use crate::stack::{ServiceKind, Uptake};

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
        let known = old.and_then(|old| Some((old, old.manifest.services.get(name)?)));
        let list = match known.map(|(old, before)| uptake(old, before, new, after)) {
            None => &mut will.create,
            Some(Uptake::Restart) => &mut will.restart,
            Some(Uptake::Reload) => &mut will.reload,
            Some(Uptake::Nothing) => continue,
        };
        list.push(name.clone());
    }
    let gone = before.iter().flat_map(|manifest| manifest.services.keys());
    will.remove = gone.filter(|name| !new.manifest.services.contains_key(*name)).cloned().collect();
    Some(will)
}

/// What a service does to take over what is new for it.
fn uptake(old: &Side, before: &Service, new: &Side, after: &Service) -> Uptake {
    if before.definition != after.definition || before.open_secrets != after.open_secrets {
        return Uptake::Restart;
    }
    if !new.stack.runtime.reloads() {
        let same = before.configuration == after.configuration && before.secrets == after.secrets;
        return if same { Uptake::Nothing } else { Uptake::Restart };
    }
    let files = match after.kind {
        _ if before.configuration == after.configuration => Uptake::Nothing,
        ServiceKind::Prometheus | ServiceKind::Alertmanager | ServiceKind::Relay => Uptake::Reload,
        // It looks for dashboards by itself; all else it reads when it starts.
        ServiceKind::Grafana if provisioning(old) == provisioning(new) => Uptake::Nothing,
        ServiceKind::Grafana | ServiceKind::Exporter => Uptake::Restart,
    };
    let changed = after.secrets.iter().filter(|(file, secret)| before.secrets.get(*file) != Some(secret));
    changed.map(|(_, secret)| secret.on_change).max().unwrap_or(Uptake::Nothing).max(files)
}

/// Grafana's files but the dashboards.
fn provisioning(side: &Side) -> Vec<(&str, &File)> {
    let files = side.tree.iter().filter(|(path, _)| path.starts_with("grafana/"));
    files.filter(|(path, _)| !path.starts_with("grafana/dashboards/")).collect()
}
