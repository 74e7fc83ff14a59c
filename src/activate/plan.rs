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
                        // Its files are pinned to a container, secrets too.
                        Some(_) if !reloads => Step::Restart,
                        Some(Uptake::Restart) => Step::Restart,
                        uptake => match (configuration(before, new, name, service, reloads), uptake) {
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
fn configuration(before: &[&Manifest], new: &Manifest, name: &str, service: &Service, reloads: bool) -> Step {
    let known = |old: &&Manifest| {
        old.services.get(name).is_some_and(|old| old.configuration == service.configuration)
    };
    if !before.is_empty() && before.iter().all(known) {
        return Step::Keep;
    }
    match service.kind {
        ServiceKind::Prometheus | ServiceKind::Alertmanager | ServiceKind::Relay => Step::Reload,
        ServiceKind::Grafana
            if reloads && !before.is_empty() && before.iter().all(|old| only_dashboards(old, new)) =>
        {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activate::Running;
    use crate::bundle::manifest::{self, File};
    use crate::secret::Change;

    fn manifest(services: &[(&str, ServiceKind, &str, &str)], dashboards: &str) -> Manifest {
        let service = |(name, kind, definition, configuration): &(&str, ServiceKind, &str, &str)| {
            let service = Service {
                kind: *kind,
                port: None,
                image: None,
                definition: (*definition).into(),
                configuration: (*configuration).into(),
                user: None,
                reload: None,
                secrets: BTreeMap::new(),
                open_secrets: BTreeMap::new(),
            };
            ((*name).to_owned(), service)
        };
        let file = |sha256: &str| File { sha256: sha256.into(), size: 1, executable: false };
        let files = [("grafana/dashboards/a.json", dashboards), ("grafana/provisioning/x.yml", "same")];
        Manifest {
            schema: manifest::SCHEMA,
            profile: "prod".into(),
            runtime: "compose".into(),
            layers: vec![],
            settings: serde_json::Value::Null,
            vars: BTreeMap::new(),
            secrets: Default::default(),
            services: services.iter().map(service).collect(),
            plugins: BTreeMap::new(),
            receivers: BTreeMap::new(),
            changes: vec![],
            verdicts: vec![],
            inputs: BTreeMap::new(),
            files: files.iter().map(|(path, sha256)| ((*path).to_owned(), file(sha256))).collect(),
        }
    }

    fn observed(services: &[(&str, &str, State)]) -> Observed {
        let running = |(name, definition, state): &(&str, &str, State)| {
            let definition = Some((*definition).to_owned());
            ((*name).to_owned(), Running { state: state.clone(), definition, since: None, restarts: 0 })
        };
        Observed(services.iter().map(running).collect())
    }

    use ServiceKind::{Alertmanager, Exporter, Grafana, Prometheus};

    #[test]
    fn each_service_gets_the_least_that_its_change_needs() {
        let old = manifest(
            &[
                ("alertmanager", Alertmanager, "d", "c"),
                ("exporter", Exporter, "d", "c"),
                ("grafana", Grafana, "d", "c"),
                ("gone", Exporter, "d", "c"),
                ("prometheus", Prometheus, "d", "c"),
                ("wrapped", Exporter, "d", "c"),
            ],
            "one",
        );
        let new = manifest(
            &[
                ("alertmanager", Alertmanager, "d", "c"),
                ("exporter", Exporter, "d2", "c"),
                // Its dashboards are others, nothing else.
                ("grafana", Grafana, "d", "c2"),
                ("new", Exporter, "d", "c"),
                ("prometheus", Prometheus, "d", "c2"),
                ("wrapped", Exporter, "d", "c2"),
            ],
            "two",
        );
        let well = |name| (name, "d", State::Healthy);
        let runs =
            observed(&["alertmanager", "exporter", "grafana", "gone", "prometheus", "wrapped"].map(well));
        let plan = Plan::new(&[&old], &new, &runs, &Changes::new(), true);
        assert_eq!(plan.to_string(), "create new; reload prometheus; restart exporter, wrapped; remove gone");
        assert_eq!(plan.having(Step::Keep).collect::<Vec<_>>(), ["alertmanager", "grafana"]);

        // Swarm and Kubernetes pin configuration to a container, dashboards too.
        let plan = Plan::new(&[&old], &new, &runs, &Changes::new(), false);
        assert!(plan.to_string().contains("restart exporter, grafana, prometheus, wrapped"));

        // Where a killed run may have shown another bundle to a service, that counts too.
        let plan = Plan::new(&[&new, &old], &new, &runs, &Changes::new(), true);
        assert_eq!(plan.0.get("prometheus"), Some(&Step::Reload));
    }

    #[test]
    fn what_has_ended_is_started_and_what_runs_as_it_should_is_left_alone() {
        let bundle = manifest(&[("a", Exporter, "d", "c"), ("b", Exporter, "d", "c")], "");
        let plan = |state: State| {
            let runs = observed(&[("a", "d", state), ("b", "d", State::Healthy)]);
            Plan::new(&[&bundle], &bundle, &runs, &Changes::new(), true)
        };
        assert_eq!(plan(State::Failed("exit code 1".into())).to_string(), "restart a");
        for state in [State::Running, State::Unhealthy("slow".into()), State::Absent("no program".into())] {
            assert!(plan(state).is_idle());
        }
    }

    #[test]
    fn secrets_are_taken_over_as_their_files_are_read() {
        let bundle = manifest(&[("a", Exporter, "d", "c")], "");
        let step_where = |reloads: bool, needs: Uptake| {
            let change = Change { files: BTreeSet::new(), secrets: BTreeSet::new(), needs };
            let changes = Changes::from([("a".to_owned(), change)]);
            let runs = observed(&[("a", "d", State::Healthy)]);
            Plan::new(&[&bundle], &bundle, &runs, &changes, reloads).0.get("a").copied().unwrap()
        };
        let step = |needs| step_where(true, needs);
        assert_eq!(step(Uptake::Nothing), Step::Keep);
        assert_eq!(step(Uptake::Reload), Step::Reload);
        assert_eq!(step(Uptake::Restart), Step::Restart);
        // What is pinned to a container can't be read again.
        assert_eq!(step_where(false, Uptake::Nothing), Step::Restart);
    }
}
