//! What a switch to the new bundle does to the running services.

use serde::Serialize;

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
        let list = match before.and_then(|manifest| manifest.services.get(name)) {
            None => &mut will.create,
            Some(before) if before.definition != after.definition => &mut will.restart,
            Some(before) if before.configuration != after.configuration => {
                if reloads(new, name) {
                    &mut will.reload
                } else {
                    &mut will.restart
                }
            }
            Some(_) => continue,
        };
        list.push(name.clone());
    }
    let gone = before.iter().flat_map(|manifest| manifest.services.keys());
    will.remove = gone.filter(|name| !new.manifest.services.contains_key(*name)).cloned().collect();
    Some(will)
}

/// Whether it can take over a new configuration while it runs.
fn reloads(side: &Side, name: &str) -> bool {
    side.stack.services.get(name).is_some_and(|service| service.kind != ServiceKind::Exporter)
}
