//! `kubernetes/`: the stack as resources of a cluster, one file a service, with a
//! `kustomization.yaml` that lists them, so that `kubectl kustomize` takes the folder as it is.
//!
//! A change of the configuration is a new ConfigMap, named by its content, and so a new pod: a
//! pod never runs with files of another bundle, and the former ones are still there to go back
//! to. Secrets are named by service here ([`secret_name`]); activation makes them from today's
//! values and puts their real names in. Files are where Compose has them, so that the
//! configuration of the tools is the same.
//!
//! `$(NAME)` is replaced by Kubernetes in arguments and variables, and written `$$(NAME)` here.

mod alertmanager;
mod config;
pub mod names;
mod network;
mod operator;
mod pod;
mod workload;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::command::Command;
use super::{Error, ServiceFiles, yaml};
use crate::bundle::Tree;
use crate::profile::text::Text;
use crate::stack::{Flavor, Service, ServiceKind, Stack};
use names::{PROFILE, SERVICE};

pub use config::LIMIT;
pub use names::secret_name;

/// What the operator takes from a service's Secret, by key.
pub fn secret_files(stack: &Stack, service: &Service) -> BTreeMap<String, Text> {
    operator::secret_files(stack, service)
}

/// Whether the operator can send through an integration.
pub fn operator_knows(integration: &str) -> bool {
    alertmanager::knows(integration)
}

/// The folder in a bundle.
pub const FOLDER: &str = "kubernetes";

/// What no service owns.
const COMMON: &str = "stack.yaml";

/// Adds the folder to a bundle that has everything else.
pub fn add(stack: &Stack, services: &BTreeMap<String, ServiceFiles>, tree: &mut Tree) -> Result<(), Error> {
    let mut files = BTreeMap::from([(COMMON.to_owned(), common(stack, services))]);
    for (name, service) in &stack.services {
        let Some(rendered) = services.get(name) else { continue };
        let maps = match by_operator(stack, service) {
            true => vec![],
            false => config::maps(stack, service, rendered, tree),
        };
        let mut resources = of_service(stack, service, rendered, &maps);
        resources.extend(maps.into_iter().map(|map| map.resource));
        files.insert(format!("{name}.yaml"), resources);
    }
    let names: Vec<&String> = files.keys().collect();
    let kustomization = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": names,
    });
    let head = yaml::head(stack, "Resources");
    tree.insert(format!("{FOLDER}/kustomization.yaml"), yaml::document(&head, &kustomization)?);
    for (file, resources) in files {
        let documents: Result<Vec<String>, Error> = resources.iter().map(yaml::body).collect();
        let head = yaml::document(&head, &resources.first())?;
        let rest = documents?.into_iter().skip(1).map(|text| format!("---\n{text}"));
        tree.insert(format!("{FOLDER}/{file}"), rest.fold(head, |all, one| all + &one));
    }
    Ok(())
}

/// What a service is started with, without the names of its configuration: a change restarts it.
pub fn definition(stack: &Stack, service: &Service, command: &Command) -> Result<String, Error> {
    let resource = match by_operator(stack, service) {
        true => operator::resource(stack, service, command, ""),
        false => workload::workload(stack, service, command, "", &[]),
    };
    Ok(serde_json::to_string(&resource)?)
}

/// Whether the Prometheus operator makes a service's pods.
pub fn by_operator(stack: &Stack, service: &Service) -> bool {
    stack.kubernetes.flavor == Flavor::Operator
        && matches!(service.kind, ServiceKind::Prometheus | ServiceKind::Alertmanager)
}

fn of_service(
    stack: &Stack,
    service: &Service,
    rendered: &ServiceFiles,
    maps: &[config::ConfigMap],
) -> Vec<Value> {
    let command = &rendered.command;
    let mut resources = match by_operator(stack, service) {
        true => operator::resources(stack, service, command, &rendered.definition),
        false => {
            let claims = workload::claims(stack, service, command);
            [vec![workload::workload(stack, service, command, &rendered.definition, maps)], claims].concat()
        }
    };
    resources.extend(network::service(stack, service));
    resources.extend(network::policy(stack, service));
    resources
}

/// The namespace, the account that may do nothing, and the policy that lets nobody in.
fn common(stack: &Stack, services: &BTreeMap<String, ServiceFiles>) -> Vec<Value> {
    let kubernetes = &stack.kubernetes;
    let mut resources = vec![];
    if kubernetes.create_namespace {
        let strict = services.keys().all(|name| stack.services.get(name).is_none_or(|s| !pod::is_root(s)));
        let level = if strict { "restricted" } else { "baseline" };
        let mut labels = names::labels(stack, None);
        labels.insert("pod-security.kubernetes.io/enforce".into(), json!(level));
        resources.push(json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": { "name": kubernetes.namespace, "labels": labels },
        }));
    }
    let mut account = resource(stack, None, "v1", "ServiceAccount", &names::account(stack));
    set(&mut account, "automountServiceAccountToken", json!(false));
    resources.push(account);
    if kubernetes.flavor == Flavor::Operator && stack.service_of(ServiceKind::Prometheus).is_some() {
        resources.extend(operator::access(stack));
    }
    resources.push(network::nobody(stack));
    resources
}

/// A resource of the stack, or of one of its services, without content.
fn resource(stack: &Stack, service: Option<&Service>, version: &str, kind: &str, name: &str) -> Value {
    json!({
        "apiVersion": version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": stack.kubernetes.namespace,
            "labels": names::labels(stack, service),
        },
    })
}

fn set(resource: &mut Value, key: &str, value: Value) {
    if let Some(fields) = resource.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
}

/// The labels by which the pods of a service are found.
fn selector(stack: &Stack, service: &str) -> Value {
    json!({ PROFILE: stack.name, SERVICE: service })
}

/// The fields that have a value.
fn fields<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let set = fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(set.collect::<Map<_, _>>())
}
