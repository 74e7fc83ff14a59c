//! A service's pod: no token of the cluster, no root, no capabilities, no writable root, and
//! probes that the kubelet makes itself, so that no image needs a shell.

use serde_json::{Map, Value, json};

use super::config::ConfigMap;
use super::{fields, names, secret_name};
use crate::profile::units::{Bytes, Duration};
use crate::render::command::Command;
use crate::render::compose::data_volumes;
use crate::stack::{Health, Limits, Service, ServiceKind, Stack};

/// `nobody`: the group of files where nobody said a user.
const NOBODY: u32 = 65534;

/// A Prometheus may read its write-ahead log for that long before it is ready.
const REPLAYS: Duration = Duration::seconds(15 * 60);

pub(super) fn template(
    stack: &Stack,
    service: &Service,
    command: &Command,
    digest: &str,
    maps: &[ConfigMap],
) -> Value {
    let (mounts, volumes) = volumes(stack, service, command, maps);
    let health = Probes::of(service, command);
    let container = fields([
        ("name", Some(json!(service.name))),
        ("image", service.image.as_ref().map(|image| json!(image))),
        ("args", (!command.args.is_empty()).then(|| json!(literals(&command.args)))),
        ("env", environment(service, command)),
        (
            "ports",
            service.port.map(|port| json!([{ "name": "web", "containerPort": port, "protocol": "TCP" }])),
        ),
        ("resources", resources(&service.limits)),
        ("startupProbe", health.as_ref().map(Probes::startup)),
        ("readinessProbe", health.as_ref().map(Probes::readiness)),
        ("livenessProbe", health.as_ref().and_then(Probes::liveness)),
        ("securityContext", Some(container_security())),
        ("volumeMounts", (!mounts.is_empty()).then_some(Value::Array(mounts))),
    ]);
    let pull: Vec<Value> = stack.kubernetes.pull_secrets.iter().map(|name| json!({ "name": name })).collect();
    let spec = fields([
        ("automountServiceAccountToken", Some(json!(false))),
        ("containers", Some(json!([container]))),
        // Otherwise each service of the namespace adds variables, and some tools read those.
        ("enableServiceLinks", Some(json!(false))),
        ("imagePullSecrets", (!pull.is_empty()).then_some(Value::Array(pull))),
        ("securityContext", Some(security(service))),
        ("serviceAccountName", Some(json!(names::account(stack)))),
        // Prometheus writes out its head block.
        ("terminationGracePeriodSeconds", (service.kind == ServiceKind::Prometheus).then(|| json!(120))),
        ("volumes", (!volumes.is_empty()).then_some(Value::Array(volumes))),
    ]);
    let annotations = json!({ names::DIGEST: digest });
    json!({
        "metadata": { "labels": names::labels(stack, Some(service)), "annotations": annotations },
        "spec": spec,
    })
}

/// The name of a volume's claim. Services may call volumes by the same name.
pub(super) fn claim(service: &Service, volume: &str) -> String {
    match volume == service.name || volume.starts_with(&format!("{}-", service.name)) {
        true => volume.to_owned(),
        false => format!("{}-{volume}", service.name),
    }
}

/// Whether it runs as root, as far as anybody said.
pub(super) fn is_root(service: &Service) -> bool {
    service.container_user().and_then(|user| ids(&user)).is_some_and(|(uid, _)| uid == 0)
}

/// `uid` or `uid:gid`; the group is the user's number where nothing is said.
fn ids(user: &str) -> Option<(u32, u32)> {
    match user.split_once(':') {
        Some((uid, gid)) => Some((uid.parse().ok()?, gid.parse().ok()?)),
        None => user.parse().ok().map(|uid| (uid, uid)),
    }
}

pub(super) fn security(service: &Service) -> Value {
    let user = service.container_user().and_then(|user| ids(&user));
    fields([
        ("runAsNonRoot", Some(json!(!is_root(service)))),
        ("runAsUser", user.map(|(uid, _)| json!(uid))),
        ("runAsGroup", user.map(|(_, gid)| json!(gid))),
        // Secrets and volumes are of this group.
        ("fsGroup", Some(json!(user.map_or(NOBODY, |(_, gid)| gid)))),
        ("fsGroupChangePolicy", Some(json!("OnRootMismatch"))),
        ("seccompProfile", Some(json!({ "type": "RuntimeDefault" }))),
    ])
}

fn container_security() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] },
        "readOnlyRootFilesystem": true,
    })
}

/// Kubernetes replaces `$(NAME)` here, and takes `$$` for a `$`.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

fn literals(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| literal(text)).collect()
}

fn environment(service: &Service, command: &Command) -> Option<Value> {
    let plain =
        command.environment.iter().map(|(name, value)| json!({ "name": name, "value": literal(value) }));
    let secret = command.secret_environment.keys().map(|name| {
        let key = json!({ "name": secret_name(&service.name), "key": name });
        json!({ "name": name, "valueFrom": { "secretKeyRef": key } })
    });
    let all: Vec<Value> = plain.chain(secret).collect();
    (!all.is_empty()).then_some(Value::Array(all))
}

/// What may be used is also what is asked for, so that no pod is ended for another's sake.
pub(super) fn resources(limits: &Limits) -> Option<Value> {
    let mut all = Map::new();
    if let Some(cpus) = limits.cpus.as_deref().and_then(|cpus| cpus.parse::<f64>().ok()) {
        all.insert("cpu".into(), json!(format!("{}m", (cpus * 1000.0).ceil())));
    }
    if let Some(memory) = limits.memory {
        all.insert("memory".into(), json!(bytes(memory)));
    }
    (!all.is_empty()).then(|| json!({ "limits": all, "requests": all }))
}

pub(super) fn bytes(bytes: Bytes) -> String {
    for (unit, shift) in [("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)] {
        if bytes.0 != 0 && bytes.0.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes.0 >> shift);
        }
    }
    bytes.0.to_string()
}

/// Mounts of the container, and what they mount.
fn volumes(
    stack: &Stack,
    service: &Service,
    command: &Command,
    maps: &[ConfigMap],
) -> (Vec<Value>, Vec<Value>) {
    let (mut mounts, mut volumes) = (vec![], vec![]);
    if !maps.is_empty() {
        let sources: Vec<Value> = maps.iter().map(source).collect();
        volumes.push(json!({ "name": "config", "projected": { "defaultMode": 0o444, "sources": sources } }));
        let path = stack.runtime.bundle_path(&stack.name, "");
        mounts.push(json!({
            "name": "config", "mountPath": path.trim_end_matches('/'), "readOnly": true,
        }));
    }
    let in_files = |name: &&String| !command.secret_environment.contains_key(*name);
    let files: Vec<Value> = command
        .secret_files
        .keys()
        .filter(in_files)
        .map(|name| json!({ "key": name, "path": name }))
        .collect();
    if !files.is_empty() {
        let secret =
            json!({ "secretName": secret_name(&service.name), "defaultMode": 0o440, "items": files });
        volumes.push(json!({ "name": "secrets", "secret": secret }));
        mounts.push(json!({ "name": "secrets", "mountPath": "/run/monprov/secrets", "readOnly": true }));
    }
    for (index, (volume, path)) in data_volumes(service, command).iter().enumerate() {
        let name = format!("data-{index}");
        let claim = json!({ "claimName": claim(service, volume) });
        volumes.push(json!({ "name": name, "persistentVolumeClaim": claim }));
        mounts.push(json!({ "name": name, "mountPath": path }));
    }
    let grafana = (service.kind == ServiceKind::Grafana).then_some(("log", "/var/log/grafana"));
    for (name, path) in [("tmp", "/tmp")].into_iter().chain(grafana) {
        volumes.push(json!({ "name": name, "emptyDir": {} }));
        mounts.push(json!({ "name": name, "mountPath": path }));
    }
    (mounts, volumes)
}

fn source(map: &ConfigMap) -> Value {
    let items: Vec<Value> = map.items.iter().map(|(key, path)| json!({ "key": key, "path": path })).collect();
    json!({ "configMap": { "name": map.name, "items": items } })
}

/// How the kubelet sees that a service is well.
struct Probes<'a> {
    service: &'a Service,
    /// Ready to serve.
    ready: Value,
    /// Alive, though it may not serve.
    alive: Option<Value>,
}

impl<'a> Probes<'a> {
    fn of(service: &'a Service, command: &Command) -> Option<Self> {
        let get = |path: &str| json!({ "httpGet": { "path": path, "port": service.port } });
        let known = match service.kind {
            ServiceKind::Prometheus | ServiceKind::Alertmanager => Some(("/-/ready", "/-/healthy")),
            ServiceKind::Relay => Some(("/-/healthy", "/-/healthy")),
            ServiceKind::Grafana => Some(("/api/health", "/api/health")),
            // It may be ill because of what it watches; starting it anew would help nobody.
            ServiceKind::Exporter => None,
        };
        let alive = known.map(|(_, alive)| get(service.health.http.as_deref().unwrap_or(alive)));
        match (&service.health.http, known) {
            (Some(path), _) => Some(Probes { service, ready: get(path), alive }),
            (None, _) if !service.health.command.is_empty() => {
                let ready = json!({ "exec": { "command": service.health.command } });
                Some(Probes { service, ready, alive })
            }
            (None, Some((ready, _))) if command.health.is_some() => {
                Some(Probes { service, ready: get(ready), alive })
            }
            _ => None,
        }
    }

    fn startup(&self) -> Value {
        let Health { start_period, timeout, .. } = &self.service.health;
        let wait = start_period.unwrap_or(Duration::seconds(60));
        let wait = if self.service.kind == ServiceKind::Prometheus { wait.max(REPLAYS) } else { wait };
        probe(&self.ready, Duration::seconds(5), *timeout, seconds(wait).div_ceil(5))
    }

    fn readiness(&self) -> Value {
        let Health { interval, timeout, retries, .. } = &self.service.health;
        let interval = interval.unwrap_or(Duration::seconds(15));
        probe(&self.ready, interval, *timeout, u64::from(retries.unwrap_or(3)))
    }

    fn liveness(&self) -> Option<Value> {
        let Health { interval, timeout, retries, .. } = &self.service.health;
        let interval = interval.unwrap_or(Duration::seconds(15));
        // Later than readiness: a pod that is only busy is not started anew.
        self.alive.as_ref().map(|alive| probe(alive, interval, *timeout, 2 * u64::from(retries.unwrap_or(3))))
    }
}

fn probe(check: &Value, interval: Duration, timeout: Option<Duration>, failures: u64) -> Value {
    let mut probe = check.clone();
    for (key, value) in [
        ("periodSeconds", seconds(interval)),
        ("timeoutSeconds", seconds(timeout.unwrap_or(Duration::seconds(5)))),
        ("failureThreshold", failures.max(1)),
    ] {
        super::set(&mut probe, key, json!(value));
    }
    probe
}

/// At least one.
fn seconds(duration: Duration) -> u64 {
    duration.0.div_ceil(1000).max(1)
}
