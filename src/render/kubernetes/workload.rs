//! What keeps a service's pod running: a StatefulSet where it has data, since of that there must
//! never be two pods at a time, and a Deployment, which starts the new pod beside the old one,
//! where it has none. Claims stand by themselves, so that they can grow and outlive both.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::config::ConfigMap;
use super::{pod, resource, selector, set};
use crate::render::command::Command;
use crate::render::compose::data_volumes;
use crate::stack::{Service, Stack};

pub(super) fn workload(
    stack: &Stack,
    service: &Service,
    command: &Command,
    digest: &str,
    maps: &[ConfigMap],
) -> Value {
    let volumes = data_volumes(service, command);
    let mut spec = json!({
        "replicas": 1,
        "revisionHistoryLimit": 2,
        "selector": { "matchLabels": selector(stack, &service.name) },
        "template": pod::template(stack, service, command, digest, maps),
    });
    let kind = if volumes.is_empty() {
        let update = json!({ "maxSurge": 1, "maxUnavailable": 0 });
        set(&mut spec, "strategy", json!({ "type": "RollingUpdate", "rollingUpdate": update }));
        "Deployment"
    } else {
        set(&mut spec, "serviceName", json!(service.name));
        // In order, a pod that never gets ready would hold up the way back.
        set(&mut spec, "podManagementPolicy", json!("Parallel"));
        "StatefulSet"
    };
    let mut resource = resource(stack, Some(service), "apps/v1", kind, &service.name);
    set(&mut resource, "spec", spec);
    resource
}

/// The claims of a service's volumes.
pub(super) fn claims(stack: &Stack, service: &Service, command: &Command) -> Vec<Value> {
    let volumes: BTreeMap<String, String> = data_volumes(service, command);
    let claim = |name: &String| {
        let mut claim =
            resource(stack, Some(service), "v1", "PersistentVolumeClaim", &pod::claim(service, name));
        set(&mut claim, "spec", claim_spec(stack, name));
        claim
    };
    volumes.keys().map(claim).collect()
}

pub(super) fn claim_spec(stack: &Stack, volume: &str) -> Value {
    let size = stack.kubernetes.volumes.get(volume).copied().unwrap_or(stack.kubernetes.storage);
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": { "requests": { "storage": pod::bytes(size) } },
    });
    if let Some(class) = &stack.kubernetes.storage_class {
        set(&mut spec, "storageClassName", json!(class));
    }
    spec
}
