//! Where services are reached, and by whom: Prometheus reaches what it scrapes and Alertmanager,
//! Grafana reaches Prometheus, Alertmanager the relay. What services reach outside the stack is
//! known to nobody here, so what goes out is not limited.

use serde_json::{Value, json};

use super::{names, resource, selector, set};
use crate::stack::{Service, ServiceKind, Stack};

/// The name by which the others find it. Also while it is ill: what watches must reach it then.
pub(super) fn service(stack: &Stack, service: &Service) -> Option<Value> {
    let port = service.port?;
    let mut resource = resource(stack, Some(service), "v1", "Service", &service.name);
    let spec = json!({
        "type": "ClusterIP",
        "selector": selector(stack, &service.name),
        "publishNotReadyAddresses": true,
        "ports": [{ "name": "web", "port": port, "protocol": "TCP", "targetPort": "web" }],
    });
    set(&mut resource, "spec", spec);
    Some(resource)
}

/// Nobody reaches a pod of the stack, but where a policy of its service says so.
pub(super) fn nobody(stack: &Stack) -> Value {
    let name = format!("monprov-{}", stack.name);
    let mut resource = resource(stack, None, "networking.k8s.io/v1", "NetworkPolicy", &name);
    let pods = json!({ "matchLabels": { names::PROFILE: stack.name } });
    set(&mut resource, "spec", json!({ "podSelector": pods, "policyTypes": ["Ingress"] }));
    resource
}

pub(super) fn policy(stack: &Stack, service: &Service) -> Option<Value> {
    service.port?;
    let mut from: Vec<Value> = callers(stack, service)
        .into_iter()
        .map(|caller| json!({ "podSelector": { "matchLabels": selector(stack, &caller.name) } }))
        .collect();
    if !stack.kubernetes.allow_from.is_empty() {
        let named = json!({
            "key": "kubernetes.io/metadata.name", "operator": "In", "values": stack.kubernetes.allow_from,
        });
        from.push(json!({ "namespaceSelector": { "matchExpressions": [named] } }));
    }
    if from.is_empty() {
        return None;
    }
    let mut resource = resource(stack, Some(service), "networking.k8s.io/v1", "NetworkPolicy", &service.name);
    let spec = json!({
        "podSelector": { "matchLabels": selector(stack, &service.name) },
        "policyTypes": ["Ingress"],
        "ingress": [{ "from": from, "ports": [{ "port": "web", "protocol": "TCP" }] }],
    });
    set(&mut resource, "spec", spec);
    Some(resource)
}

fn callers<'a>(stack: &'a Stack, service: &Service) -> Vec<&'a Service> {
    let scraped = stack.scrapes.values().any(|s| s.service.as_deref() == Some(&service.name));
    let calls = |caller: &Service| match caller.kind {
        ServiceKind::Prometheus => scraped || service.kind == ServiceKind::Alertmanager,
        ServiceKind::Grafana => service.kind == ServiceKind::Prometheus,
        ServiceKind::Alertmanager => service.kind == ServiceKind::Relay,
        ServiceKind::Relay | ServiceKind::Exporter => false,
    };
    stack.services.values().filter(|caller| calls(caller)).collect()
}
