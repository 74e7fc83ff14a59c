//! What the pods of a service say about it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::resources::{annotations, service, text_at};
use crate::activate::{Observed, Running, State};
use crate::render::kubernetes::names::DIGEST;

/// Why a container that waits will not start by itself.
const HOPELESS: &[&str] = &[
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
];

/// One that was ready and is not any more, or never was, is ill after that long.
const PATIENCE: Duration = Duration::from_secs(90);

/// What there is of a profile: what keeps pods running, and pods.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    pub(super) workloads: Vec<Value>,
    pods: Vec<Value>,
}

impl Cluster {
    pub(super) fn new(items: Vec<Value>) -> Self {
        let (pods, workloads) = items.into_iter().partition(|item| text_at(item, "/kind") == "Pod");
        Cluster { workloads, pods }
    }

    /// The pods of a service that are not on their way out.
    fn pods(&self, name: &str) -> Vec<&Value> {
        self.pods.iter().filter(|pod| service(pod) == Some(name) && !is_leaving(pod)).collect()
    }

    /// The newest pod of what a service is to be now.
    pub(super) fn pod(&self, name: &str) -> Option<&Value> {
        let wanted = self.workloads.iter().find(|one| service(one) == Some(name)).and_then(annotations);
        let current = |pod: &&Value| wanted.is_none_or(|wanted| has(pod, wanted));
        let newest = |pod: &&Value| text_at(pod, "/metadata/creationTimestamp").to_owned();
        self.pods(name).into_iter().filter(current).max_by_key(newest)
    }

    /// Whatever pod of a service there is, the newest first.
    pub(super) fn any_pod(&self, name: &str) -> Option<&Value> {
        let newest = |pod: &&Value| text_at(pod, "/metadata/creationTimestamp").to_owned();
        self.pod(name).or_else(|| self.pods(name).into_iter().max_by_key(newest))
    }

    /// Whether a service has pods of nothing but what it is to be now, and one that is there.
    pub(super) fn has_taken_over(&self, name: &str) -> bool {
        let Some(current) = self.pod(name) else { return false };
        let of_service = self.pods.iter().filter(|pod| service(pod) == Some(name));
        of_service.into_iter().all(|pod| text_at(pod, "/metadata/uid") == text_at(current, "/metadata/uid"))
    }

    /// Whether a service has pods, those on their way out included.
    pub(super) fn has_pods(&self, name: &str) -> bool {
        self.pods.iter().any(|pod| service(pod) == Some(name))
    }

    /// Whether a pod still reads a ConfigMap or Secret.
    pub(super) fn refers_to(&self, name: &str) -> bool {
        self.pods.iter().any(|pod| mentions(pod.get("spec").unwrap_or(&Value::Null), name))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    pub(super) fn observed(&self, now: SystemTime) -> Observed {
        let mut all = BTreeMap::new();
        for workload in &self.workloads {
            let Some(name) = service(workload) else { continue };
            // Something of a workload that is on its way out is of none that runs.
            if !is_leaving(workload) {
                all.insert(name.to_owned(), self.running(name, now));
            }
        }
        // Without what kept it running, as after a deletion by hand.
        for name in self.pods.iter().filter(|pod| !is_leaving(pod)).filter_map(service) {
            if !all.contains_key(name) {
                all.insert(name.to_owned(), self.running(name, now));
            }
        }
        Observed(all)
    }

    fn running(&self, name: &str, now: SystemTime) -> Running {
        let Some(pod) = self.pod(name) else {
            // An older one may still be there; what it is to be now is on its way.
            let definition = self.any_pod(name).and_then(digest);
            return Running { state: State::Starting, definition, since: None, restarts: 0 };
        };
        let container = pod.pointer("/status/containerStatuses/0").unwrap_or(&Value::Null);
        let since = time(text_at(container, "/state/running/startedAt"));
        let restarts = container.get("restartCount").and_then(Value::as_u64).unwrap_or_default();
        Running { state: state(pod, container, since, now), definition: digest(pod), since, restarts }
    }
}

fn digest(pod: &Value) -> Option<String> {
    let annotations = pod.get("metadata")?.get("annotations")?;
    annotations.get(DIGEST)?.as_str().map(str::to_owned)
}

fn state(pod: &Value, container: &Value, since: Option<SystemTime>, now: SystemTime) -> State {
    let flag = |key: &str| container.get(key).and_then(Value::as_bool);
    let waits = text_at(container, "/state/waiting/reason");
    if HOPELESS.contains(&waits) {
        return State::Failed(why(container));
    }
    match text_at(pod, "/status/phase") {
        "Failed" => return State::Failed(text_at(pod, "/status/message").to_owned()),
        "Running" if since.is_some() => {}
        // A container that has just ended is started again.
        "Running" if container.pointer("/state/terminated").is_some() => {
            return State::Failed(why(container));
        }
        _ => return State::Starting,
    }
    let has_probe = pod.pointer("/spec/containers/0/readinessProbe").is_some();
    if flag("ready") == Some(true) {
        return if has_probe { State::Healthy } else { State::Running };
    }
    let started = flag("started") != Some(false);
    let lasted = since.and_then(|since| now.duration_since(since).ok()).unwrap_or_default();
    match started && lasted > PATIENCE {
        true => State::Unhealthy("its readiness probe fails".into()),
        false => State::Starting,
    }
}

/// What is known about a container that does not run.
fn why(container: &Value) -> String {
    let message = text_at(container, "/state/waiting/message");
    let reason = text_at(container, "/state/waiting/reason");
    let ended = [container.pointer("/state/terminated"), container.pointer("/lastState/terminated")];
    let ended = ended.into_iter().flatten().next().map(|last| {
        let code = last.get("exitCode").and_then(Value::as_i64).unwrap_or_default();
        match text_at(last, "/reason") {
            "OOMKilled" => "it took more memory than its limit".to_owned(),
            _ => format!("it ended with exit code {code}"),
        }
    });
    let parts = [reason.to_owned(), message.to_owned(), ended.unwrap_or_default()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
}

/// Why a pod has no container yet, as far as the cluster says.
pub(super) fn conditions(pod: &Value) -> String {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let told = conditions
        .into_iter()
        .flatten()
        .filter(|condition| text_at(condition, "/status") == "False")
        .map(|condition| text_at(condition, "/message"))
        .filter(|message| !message.is_empty());
    let container = pod.pointer("/status/containerStatuses/0").map(why).filter(|why| !why.is_empty());
    told.map(str::to_owned).chain(container).collect::<Vec<_>>().join("\n")
}

fn is_leaving(resource: &Value) -> bool {
    resource.pointer("/metadata/deletionTimestamp").is_some()
}

/// Whether a pod has all annotations that its template gives it.
fn has(pod: &Value, wanted: &Value) -> bool {
    let own = pod.pointer("/metadata/annotations").unwrap_or(&Value::Null);
    wanted.as_object().into_iter().flatten().all(|(key, value)| own.get(key) == Some(value))
}

/// Whether a name stands anywhere in a document as a whole string.
fn mentions(value: &Value, name: &str) -> bool {
    match value {
        Value::String(text) => text == name,
        Value::Array(items) => items.iter().any(|item| mentions(item, name)),
        Value::Object(fields) => fields.values().any(|field| mentions(field, name)),
        _ => false,
    }
}

fn time(text: &str) -> Option<SystemTime> {
    let at = text.parse::<jiff::Timestamp>().ok()?.as_millisecond();
    Some(UNIX_EPOCH + Duration::from_millis(u64::try_from(at).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A pod of the service `p` with a status of its container.
    fn pod(name: &str, template: &str, container: Value) -> Value {
        let phase = if container.pointer("/state/waiting").is_some() { "Pending" } else { "Running" };
        json!({
            "kind": "Pod",
            "metadata": {
                "name": name, "uid": name, "labels": { "monprov.service": "p" }, "creationTimestamp": name,
                "annotations": { "monprov.digest": "d", "monprov.template": template },
            },
            "spec": { "containers": [{ "readinessProbe": {} }], "volumes": [{ "configMap": { "name": "c-1" } }] },
            "status": { "phase": phase, "containerStatuses": [container] },
        })
    }

    fn workload(template: &str) -> Value {
        let annotations = json!({ "monprov.digest": "d", "monprov.template": template });
        json!({
            "kind": "StatefulSet", "metadata": { "name": "p", "labels": { "monprov.service": "p" } },
            "spec": { "template": { "metadata": { "annotations": annotations } } },
        })
    }

    fn running(ready: bool) -> Value {
        json!({ "ready": ready, "started": true, "restartCount": 0, "state": { "running": { "startedAt": "2026-01-01T00:00:00Z" } } })
    }

    fn waiting(reason: &str) -> Value {
        let ended = json!({ "terminated": { "exitCode": 3, "reason": "Error" } });
        json!({ "restartCount": 2, "state": { "waiting": { "reason": reason, "message": "m" } }, "lastState": ended })
    }

    /// What is seen of `p` so many seconds after its container was started.
    fn seen(items: Vec<Value>, seconds: u64) -> State {
        let started = time("2026-01-01T00:00:00Z").unwrap();
        let observed = Cluster::new(items).observed(started + Duration::from_secs(seconds));
        observed.0["p"].state.clone()
    }

    #[test]
    fn a_service_is_what_its_newest_pod_of_the_wanted_template_is() {
        let cases = [
            (running(true), 1, State::Healthy),
            (running(false), 5, State::Starting),
            (running(false), 500, State::Unhealthy("its readiness probe fails".into())),
            (waiting("ContainerCreating"), 1, State::Starting),
            (
                waiting("CrashLoopBackOff"),
                1,
                State::Failed("CrashLoopBackOff: m: it ended with exit code 3".into()),
            ),
            (
                waiting("ImagePullBackOff"),
                1,
                State::Failed("ImagePullBackOff: m: it ended with exit code 3".into()),
            ),
        ];
        for (container, seconds, expected) in cases {
            let items = vec![workload("new"), pod("1", "old", running(true)), pod("2", "new", container)];
            assert_eq!(seen(items, seconds), expected);
        }
        let only_old = vec![workload("new"), pod("1", "old", running(true))];
        assert_eq!(seen(only_old, 500), State::Starting, "the new one is on its way");
    }

    #[test]
    fn a_pod_on_its_way_out_counts_for_nothing_but_what_it_reads() {
        let mut leaving = pod("1", "old", running(true));
        leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let cluster = Cluster::new(vec![workload("new"), leaving, pod("2", "new", running(true))]);
        assert_eq!(text_at(cluster.pod("p").unwrap(), "/metadata/name"), "2");
        assert!(!cluster.has_taken_over("p"));
        assert!(cluster.refers_to("c-1") && !cluster.refers_to("c"));
    }
}
