//! What a switch does to each service. Decided by monprov's own digests and not by the engine:
//! Compose ignores changed contents of mounts and of its environment, and containers that failed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::{Observed, State};
use crate::bundle::manifest::{Manifest, Service};
use crate::secret::Changes;
use crate::stack::{ServiceKind, Uptake};

/// Where Grafana's dashboards are; it looks there again and again by itself.
const DASHBOARDS: &str = "grafana/dashboards/";

/// What happens to one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    Create,
    Restart,
    Reload,
    Remove,
    Keep,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Step::Create => "create",
            Step::Restart => "restart",
            Step::Reload => "reload",
            Step::Remove => "remove",
            Step::Keep => "keep",
        })
    }
}

/// A step for every service that runs or is to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Plan(pub BTreeMap<String, Step>);

impl Plan {
    /// `before`: the bundles that the running services may have read, the last one that was
    /// proved and any whose activation was cut short. `secrets`: what handing them over changes.
    /// `reloads`: see [`super::Runtime::reloads`].
    pub fn new(
        before: &[&Manifest],
        new: &Manifest,
        observed: &Observed,
        secrets: &Changes,
        reloads: bool,
    ) -> Plan {
        let step = |(name, service): (&String, &Service)| {
            let step = match observed.0.get(name) {
                None => Step::Create,
                Some(running) => {
                    let absent = matches!(running.state, State::Absent(_));
                    let same = running.definition.as_deref() == Some(service.definition.as_str());
                    match secrets.get(name).map(|change| change.needs) {
                        _ if !same || !(running.state.is_up() || absent) => Step::Restart,
                        _ if absent => Step::Keep,
                        Some(Uptake::Restart) => Step::Restart,
                        uptake => match (configuration(before, new, name, service), uptake) {
                            (Step::Keep, Some(Uptake::Reload)) => Step::Reload,
                            (step, _) => step,
                        },
                    }
                }
            };
            (name.clone(), if step == Step::Reload && !reloads { Step::Restart } else { step })
        };
        let mut steps: BTreeMap<_, _> = new.services.iter().map(step).collect();
        for name in observed.0.keys() {
            steps.entry(name.clone()).or_insert(Step::Remove);
        }
        Plan(steps)
    }

    /// Services that turned out to run another configuration than anybody thinks take over the
    /// new one.
    pub fn reload_also(&mut self, drifted: &BTreeSet<String>, reloads: bool) {
        for (name, step) in &mut self.0 {
            if *step == Step::Keep && drifted.contains(name) {
                *step = if reloads { Step::Reload } else { Step::Restart };
            }
        }
    }

    /// The services with that step.
    pub fn having(&self, step: Step) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(_, s)| **s == step).map(|(name, _)| name.as_str())
    }

    /// Nothing happens to any service.
    pub fn is_idle(&self) -> bool {
        self.0.values().all(|step| *step == Step::Keep)
    }
}

/// What a change of the files that a service reads asks for.
fn configuration(before: &[&Manifest], new: &Manifest, name: &str, service: &Service) -> Step {
    let known = |old: &&Manifest| {
        old.services.get(name).is_some_and(|old| old.configuration == service.configuration)
    };
    if !before.is_empty() && before.iter().all(known) {
        return Step::Keep;
    }
    match service.kind {
        ServiceKind::Prometheus | ServiceKind::Alertmanager => Step::Reload,
        ServiceKind::Grafana if !before.is_empty() && before.iter().all(|old| only_dashboards(old, new)) => {
            Step::Keep
        }
        // Data sources and the wrapper that puts secrets into the environment are read at the start.
        ServiceKind::Grafana | ServiceKind::Exporter => Step::Restart,
    }
}

/// Grafana's files differ in nothing but dashboards.
fn only_dashboards(old: &Manifest, new: &Manifest) -> bool {
    let rest = |manifest: &Manifest| -> Vec<_> {
        let read = |path: &str| path.starts_with("grafana/") && !path.starts_with(DASHBOARDS);
        let files = manifest.files.iter().filter(|(path, _)| read(path));
        files.map(|(path, file)| (path.clone(), file.sha256.clone())).collect()
    };
    rest(old) == rest(new)
}

/// `reload prometheus, alertmanager; restart nothing`
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = false;
        for step in [Step::Create, Step::Reload, Step::Restart, Step::Remove] {
            let names: Vec<_> = self.having(step).collect();
            if names.is_empty() && step != Step::Restart {
                continue;
            }
            let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
            write!(f, "{}{step} {names}", if said { "; " } else { "" })?;
            said = true;
        }
        Ok(())
    }
}
