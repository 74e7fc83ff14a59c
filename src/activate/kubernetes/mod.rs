//! Kubernetes, through `kubectl`: applied server-side, read back from the pods.
//!
//! What is in a bundle is applied as it is, but for two things: Secrets, which are made here, and
//! annotations of pods. Another configuration or secret has another name, so the cluster itself
//! starts the pods that have to be started anew. What a former generation had and this one has
//! not is removed once no pod reads it any more; going back applies the former bundle again. Claims
//! and the namespace are never removed: they hold the data.

mod forward;
mod kubectl;
mod pods;
mod resources;
mod secrets;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::{Bundle, Observed, Plan, Runtime, RuntimeError, Step, Target};
use crate::render::kubernetes::names::{MANAGER, PROFILE};
use forward::Forward;
use kubectl::Kubectl;
use pods::Cluster;
use resources::{Marks, identity, text_at};

/// What keeps pods running, and pods.
const RUNS: &str = "deployments.apps,statefulsets.apps,pods";

/// The same of the Prometheus operator.
const OPERATED: &str = "prometheuses.monitoring.coreos.com,alertmanagers.monitoring.coreos.com";

/// What is removed once nobody needs it: all but claims and the namespace.
const REMOVED: &str = "deployments.apps,statefulsets.apps,services,networkpolicies.networking.k8s.io,configmaps,\
                       secrets,serviceaccounts";

/// The same of the Prometheus operator, and of the account that Prometheus has then.
const OPERATED_REMOVED: &str = "prometheuses.monitoring.coreos.com,alertmanagers.monitoring.coreos.com,\
                                servicemonitors.monitoring.coreos.com,scrapeconfigs.monitoring.coreos.com,\
                                prometheusrules.monitoring.coreos.com,alertmanagerconfigs.monitoring.coreos.com,\
                                roles.rbac.authorization.k8s.io,rolebindings.rbac.authorization.k8s.io";

/// The cluster has replaced pods within this, or the proof says what is wrong.
const TAKES_OVER: Duration = Duration::from_secs(90);

/// Pods end within this.
const ENDS: Duration = Duration::from_secs(180);

const BETWEEN_LOOKS: Duration = Duration::from_millis(300);

/// The pods of a profile.
#[derive(Debug)]
pub struct Kubernetes {
    kubectl: Kubectl,
    profile: String,
    operator: bool,
    state: PathBuf,
    /// What the last look gave, for addresses; nothing after a change.
    seen: RefCell<Option<Cluster>>,
    forwards: RefCell<BTreeMap<(String, u16), Forward>>,
}

/// Where the stack of a bundle runs: context, where the profile names one, and namespace.
pub fn place(bundle: &Bundle) -> (Option<String>, String) {
    let setting = |key: &str| {
        let at = format!("/kubernetes/{key}");
        bundle.manifest.settings.pointer(&at).and_then(Value::as_str).map(str::to_owned)
    };
    let namespace = setting("namespace").unwrap_or_else(|| format!("monprov-{}", bundle.manifest.profile));
    (setting("context"), namespace)
}

/// Whether the Prometheus operator carries Prometheus and Alertmanager of a bundle.
pub fn by_operator(bundle: &Bundle) -> bool {
    bundle.manifest.runtime == crate::stack::Runtime::Kubernetes.name()
        && bundle.manifest.settings.pointer("/kubernetes/flavor").and_then(Value::as_str) == Some("operator")
}

impl Kubernetes {
    /// `others`: bundles that may still run, at the same place.
    pub fn new(state: &Path, bundle: &Bundle, others: &[Bundle]) -> Self {
        let (context, namespace) = place(bundle);
        Kubernetes {
            kubectl: Kubectl { context, namespace },
            profile: bundle.manifest.profile.clone(),
            operator: by_operator(bundle) || others.iter().any(by_operator),
            state: state.to_owned(),
            seen: RefCell::default(),
            forwards: RefCell::default(),
        }
    }

    fn ours(&self) -> String {
        format!("{PROFILE}={}", self.profile)
    }

    fn kinds(&self, own: &str, operated: &str) -> String {
        if self.operator { format!("{own},{operated}") } else { own.to_owned() }
    }

    fn look(&self) -> Result<Cluster, RuntimeError> {
        let kinds = self.kinds(RUNS, OPERATED);
        Ok(Cluster::new(self.kubectl.list(&["get", &kinds, "--selector", &self.ours()])?))
    }

    /// The cluster, as it was seen last.
    fn with<T>(&self, read: impl FnOnce(&Cluster) -> T) -> Result<T, RuntimeError> {
        if self.seen.borrow().is_none() {
            let seen = self.look()?;
            self.seen.replace(Some(seen));
        }
        Ok(read(self.seen.borrow().as_ref().unwrap_or(&Cluster::default())))
    }

    fn send(&self, resources: &[Value], dry: bool) -> Result<(), RuntimeError> {
        let manager = format!("--field-manager={MANAGER}");
        let mut args = vec!["apply", "--server-side", "--force-conflicts", &manager, "--filename", "-"];
        if dry {
            args.push("--dry-run=server");
        }
        self.kubectl.feed(&args, resources)
    }

    /// What has a name that the bundle wants, and is of somebody else.
    fn foreign(&self, resources: &[Value]) -> Result<Option<String>, RuntimeError> {
        let wanted: BTreeSet<(String, String)> = resources.iter().map(identity).collect();
        let kinds = "services,deployments.apps,statefulsets.apps,persistentvolumeclaims";
        let there = self.kubectl.list(&["get", kinds])?;
        let foreign =
            there.iter().filter(|one| self.is_foreign(one)).map(identity).find(|one| wanted.contains(one));
        Ok(foreign.map(|(kind, name)| format!("{kind} {name}")))
    }

    fn is_foreign(&self, resource: &Value) -> bool {
        let labels = resource.pointer("/metadata/labels");
        labels.and_then(|labels| labels.get(PROFILE)).and_then(Value::as_str) != Some(&self.profile)
    }

    /// Waits until no pod of what was before is left, and none of what is removed, as far as the
    /// cluster gets there by itself.
    #[expect(clippy::disallowed_methods, reason = "waits for pods")]
    fn settle(&self, services: &[&str], removed: &[&str]) -> Result<(), RuntimeError> {
        let start = Instant::now();
        loop {
            let cluster = self.look()?;
            let observed = cluster.observed(SystemTime::now());
            let hopeless = |name: &&str| {
                observed.0.get(*name).is_some_and(|running| {
                    running.restarts > 1 || matches!(running.state, super::State::Failed(_))
                })
            };
            let settled = services.iter().all(|name| cluster.has_taken_over(name))
                && !removed.iter().any(|name| cluster.has_pods(name));
            if settled || services.iter().any(hopeless) || start.elapsed() > TAKES_OVER {
                return Ok(());
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// Removes what is neither in the bundle nor read by a pod.
    fn prune(&self, kept: &[(String, String)]) -> Result<(), RuntimeError> {
        let kinds = self.kinds(REMOVED, OPERATED_REMOVED);
        let there = self.kubectl.list(&["get", &kinds, "--selector", &self.ours()])?;
        let cluster = self.look()?;
        let read = |kind: &str, name: &str| matches!(kind, "ConfigMap" | "Secret") && cluster.refers_to(name);
        // What the cluster made of another resource goes with that one.
        let made = |one: &Value| one.pointer("/metadata/ownerReferences").is_some();
        let mut gone = vec![];
        for resource in there.iter().filter(|one| !made(one)) {
            let (kind, name) = identity(resource);
            if !read(&kind, &name) && !kept.contains(&(kind.clone(), name.clone())) {
                let group = text_at(resource, "/apiVersion").split_once('/').map(|(group, _)| group);
                let group = group.map(|group| format!(".{group}")).unwrap_or_default();
                gone.push(format!("{}{group}/{name}", kind.to_lowercase()));
            }
        }
        if gone.is_empty() {
            return Ok(());
        }
        let mut args = vec!["delete", "--ignore-not-found", "--wait=false"];
        args.extend(gone.iter().map(String::as_str));
        self.kubectl.run(&args).map(|_| ())
    }
}

impl Runtime for Kubernetes {
    fn name(&self) -> &'static str {
        "kubernetes"
    }

    #[expect(clippy::disallowed_methods, reason = "how long a pod runs")]
    fn observe(&self) -> Result<Observed, RuntimeError> {
        self.seen.replace(Some(self.look()?));
        self.with(|cluster| cluster.observed(SystemTime::now()))
    }

    fn check(&self, target: &Target<'_>, _: &Plan) -> Result<(), RuntimeError> {
        let resources = resources::read(target.bundle)?;
        let namespace = &self.kubectl.namespace;
        let there = self.kubectl.list(&["get", "namespace", namespace])?;
        let makes = resources.iter().any(|one| text_at(one, "/kind") == "Namespace");
        if makes && there.iter().any(|one| self.is_foreign(one)) {
            return Err(RuntimeError::unavailable(
                format!("the namespace `{namespace}` is there and not of the profile `{}`", self.profile),
                "set `kubernetes.create_namespace = false`, so that it stays as it is",
            ));
        }
        if there.is_empty() {
            if makes {
                // The rest can't be tried before it is there.
                return Ok(());
            }
            return Err(RuntimeError::unavailable(
                format!("the namespace `{namespace}` does not exist"),
                "create it, or leave `kubernetes.create_namespace` out of the profile",
            ));
        }
        if let Some(foreign) = self.foreign(&resources)? {
            return Err(RuntimeError::unavailable(
                format!("{foreign} in `{namespace}` is there and not of the profile `{}`", self.profile),
                "take another `kubernetes.namespace`, or remove what is there",
            ));
        }
        self.send(&resources, true)
    }

    fn apply(&self, target: &Target<'_>, plan: &Plan) -> Result<(), RuntimeError> {
        let resources = resources::read(target.bundle)?;
        let secrets = secrets::of(target.bundle, &self.state, &self.kubectl.namespace)?;
        let marks = self.with(|cluster| Marks::of(&cluster.workloads))?;
        self.seen.replace(None);
        let restarted: BTreeSet<&str> = plan.having(Step::Restart).collect();
        let now = jiff::Timestamp::now().to_string();
        let resources = resources::complete(resources, secrets, &marks, (&restarted, &now));
        let kept: Vec<(String, String)> = resources.iter().map(identity).collect();
        self.send(&resources, false)?;
        let services: Vec<&str> = plan.having(Step::Create).chain(plan.having(Step::Restart)).collect();
        let removed: Vec<&str> = plan.having(Step::Remove).collect();
        if !removed.is_empty() {
            // First what keeps pods running, then what these have read.
            self.prune(&kept)?;
        }
        self.settle(&services, &removed)?;
        self.prune(&kept)
    }

    /// A pod keeps the files that it was started with.
    fn reloads(&self) -> bool {
        crate::stack::Runtime::Kubernetes.reloads()
    }

    fn address(&self, service: &str, port: u16) -> Result<Option<String>, RuntimeError> {
        let pod = self.with(|cluster| {
            let pod = cluster.pod(service)?;
            let runs = text_at(pod, "/status/phase") == "Running";
            let text = |at: &str| text_at(pod, at).to_owned();
            runs.then(|| (text("/metadata/name"), text("/metadata/uid")))
        })?;
        let mut forwards = self.forwards.borrow_mut();
        let key = (service.to_owned(), port);
        let Some((name, uid)) = pod else {
            forwards.remove(&key);
            return Ok(None);
        };
        if let Some(forward) = forwards.get_mut(&key)
            && forward.pod == uid
            && forward.is_open()
        {
            return Ok(Some(forward.address.clone()));
        }
        forwards.remove(&key);
        let forward = Forward::open(&self.kubectl, &name, &uid, port);
        let address = forward.as_ref().map(|forward| forward.address.clone());
        forwards.extend(forward.map(|forward| (key, forward)));
        Ok(address)
    }

    fn logs(&self, service: &str, lines: usize) -> String {
        let found = self.look().ok().and_then(|cluster| {
            let pod = cluster.any_pod(service)?;
            Some((text_at(pod, "/metadata/name").to_owned(), pods::conditions(pod)))
        });
        let Some((pod, conditions)) = found else { return String::new() };
        let said = [false, true].into_iter().map(|previous| self.kubectl.logs(&pod, lines, previous));
        said.into_iter().find(|text| !text.is_empty()).unwrap_or(conditions)
    }

    #[expect(clippy::disallowed_methods, reason = "waits for pods")]
    fn stop(&self) -> Result<(), RuntimeError> {
        self.seen.replace(None);
        self.forwards.borrow_mut().clear();
        self.prune(&[])?;
        let start = Instant::now();
        while !self.look()?.is_empty() && start.elapsed() < ENDS {
            std::thread::sleep(BETWEEN_LOOKS);
        }
        // What pods still read when they were told to end.
        self.prune(&[])
    }
}
