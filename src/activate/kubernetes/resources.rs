//! A bundle's resources, as they are applied: with today's secrets, and with what tells one pod
//! from the next.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::secrets;
use crate::activate::{Bundle, RuntimeError};
use crate::bundle::manifest::sha256;
use crate::render::kubernetes::{FOLDER, names, secret_name};

/// The annotation with the digest of all that a pod was made from, the names of its
/// configuration and secrets included.
pub(super) const TEMPLATE: &str = "monprov.template";

/// The annotation that a restart changes where nothing else does.
pub(super) const RESTARTED: &str = "monprov.restarted";

/// Kinds in the order in which they are applied: what others name comes first.
const ORDER: &[&str] = &[
    "Namespace",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "NetworkPolicy",
    "ConfigMap",
    "Secret",
    "PersistentVolumeClaim",
    "Service",
];

/// Kinds with pods, and where in them the annotations of these stand.
const TEMPLATES: &[(&str, &str)] = &[
    ("Deployment", "/spec/template/metadata/annotations"),
    ("StatefulSet", "/spec/template/metadata/annotations"),
    ("Prometheus", "/spec/podMetadata/annotations"),
    ("Alertmanager", "/spec/podMetadata/annotations"),
];

/// The resources of a bundle, as they stand in it.
pub(super) fn read(bundle: &Bundle) -> Result<Vec<Value>, RuntimeError> {
    let rejected =
        |file: &str, why: String| RuntimeError::Rejected { what: format!("{file}: {why}"), logs: None };
    let text = |file: &str| bundle.text(file).map_err(|error| rejected(file, error.to_string()));
    let list = format!("{FOLDER}/kustomization.yaml");
    let kustomization: Value =
        serde_saphyr::from_str(&text(&list)?).map_err(|error| rejected(&list, error.to_string()))?;
    let mut all = vec![];
    for file in kustomization.get("resources").and_then(Value::as_array).into_iter().flatten() {
        let file = format!("{FOLDER}/{}", file.as_str().unwrap_or_default());
        let resources: Vec<Value> =
            serde_saphyr::from_multiple(&text(&file)?).map_err(|error| rejected(&file, error.to_string()))?;
        all.extend(resources);
    }
    all.sort_by_key(|resource| {
        ORDER.iter().position(|kind| *kind == text_at(resource, "/kind")).unwrap_or(ORDER.len())
    });
    Ok(all)
}

/// What a restart has to know of what runs: by service, the digest of its pods and the mark of
/// its last restart.
#[derive(Debug, Default)]
pub(super) struct Marks(BTreeMap<String, BTreeMap<String, String>>);

impl Marks {
    pub(super) fn of(live: &[Value]) -> Self {
        let of_one = |resource: &Value| {
            let annotations = annotations(resource)?.as_object()?;
            let marks =
                annotations.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
            Some((service(resource)?.to_owned(), marks.collect()))
        };
        Marks(live.iter().filter_map(of_one).collect())
    }

    fn get(&self, service: &str, key: &str) -> Option<&str> {
        self.0.get(service)?.get(key).map(String::as_str)
    }
}

/// Puts the names of secrets and the marks of pods in, and the Secrets themselves before what
/// names them. `restarted`: services that have to start anew, and a mark that none had before.
pub(super) fn complete(
    mut resources: Vec<Value>,
    secrets: Vec<secrets::Named>,
    live: &Marks,
    restarted: (&BTreeSet<&str>, &str),
) -> Vec<Value> {
    let names: BTreeMap<String, String> =
        secrets.iter().map(|one| (secret_name(&one.service), one.name.clone())).collect();
    for resource in &mut resources {
        rename(resource, &names);
        let Some(service) = service(resource).map(str::to_owned) else { continue };
        let digest = sha256(resource.get("spec").map(Value::to_string).unwrap_or_default().as_bytes());
        let same = live.get(&service, TEMPLATE) == Some(&digest);
        // The operator gives its pods what is new itself, and no restart is needed.
        let restarts = same && text_at(resource, "/apiVersion") == "apps/v1";
        let mark = match restarts && restarted.0.contains(service.as_str()) {
            true => Some(restarted.1),
            false => live.get(&service, RESTARTED),
        };
        let mark = mark.map(str::to_owned);
        if let Some(Value::Object(annotations)) = annotations_mut(resource) {
            annotations.insert(TEMPLATE.into(), json!(digest));
            annotations.extend(mark.map(|mark| (RESTARTED.to_owned(), json!(mark))));
        }
    }
    let at = resources.iter().position(|one| text_at(one, "/kind") == "Service").unwrap_or(resources.len());
    let rest = resources.split_off(at);
    resources.extend(secrets.into_iter().map(|one| one.resource));
    resources.extend(rest);
    resources
}

/// References to Secrets: `secretName`, and `name` beside a `key`.
fn rename(value: &mut Value, names: &BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            let selects = fields.contains_key("key");
            for (key, value) in fields {
                match (key.as_str(), value.as_str().and_then(|name| names.get(name))) {
                    ("secretName", Some(name)) => *value = json!(name),
                    ("name", Some(name)) if selects => *value = json!(name),
                    _ => rename(value, names),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, names)),
        _ => {}
    }
}

pub(super) fn text_at<'a>(value: &'a Value, at: &str) -> &'a str {
    value.pointer(at).and_then(Value::as_str).unwrap_or_default()
}

/// The service that a resource is of.
pub(super) fn service(resource: &Value) -> Option<&str> {
    resource.get("metadata")?.get("labels")?.get(names::SERVICE)?.as_str()
}

fn place(resource: &Value) -> Option<&'static str> {
    let kind = resource.get("kind")?.as_str()?;
    TEMPLATES.iter().find(|(name, _)| *name == kind).map(|(_, place)| *place)
}

/// The annotations that its pods get.
pub(super) fn annotations(resource: &Value) -> Option<&Value> {
    resource.pointer(place(resource)?)
}

fn annotations_mut(resource: &mut Value) -> Option<&mut Value> {
    resource.pointer_mut(place(resource)?)
}

/// Kind and name, by which a resource is known within its namespace.
pub(super) fn identity(resource: &Value) -> (String, String) {
    (text_at(resource, "/kind").to_owned(), text_at(resource, "/metadata/name").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_references_to_secrets_are_renamed() {
        let names = BTreeMap::from([("a-secrets".to_owned(), "a-secrets-1".to_owned())]);
        let mut value = json!({
            "secret": { "secretName": "a-secrets" },
            "env": [{ "valueFrom": { "secretKeyRef": { "name": "a-secrets", "key": "K" } } }],
            "name": "a-secrets",
            "text": "a-secrets",
        });
        rename(&mut value, &names);
        let renamed = json!({
            "secret": { "secretName": "a-secrets-1" },
            "env": [{ "valueFrom": { "secretKeyRef": { "name": "a-secrets-1", "key": "K" } } }],
            "name": "a-secrets",
            "text": "a-secrets",
        });
        assert_eq!(value, renamed);
    }

    #[test]
    fn a_restart_marks_the_pod_only_where_nothing_else_is_new() {
        let set = |image: &str| {
            json!({
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "metadata": { "name": "p", "labels": { "monprov.service": "p" } },
                "spec": { "template": { "metadata": { "annotations": {} }, "image": image } },
            })
        };
        let marks = |all: &[Value]| Marks::of(all);
        let restart = BTreeSet::from(["p"]);
        let nothing = BTreeSet::new();
        let first = complete(vec![set("1")], vec![], &Marks::default(), (&restart, "t1"));
        assert_eq!(first[0].pointer("/spec/template/metadata/annotations/monprov.restarted"), None);
        let again = complete(vec![set("1")], vec![], &marks(&first), (&restart, "t2"));
        assert_eq!(text_at(&again[0], "/spec/template/metadata/annotations/monprov.restarted"), "t2");
        // Left alone, it stays as it is.
        assert_eq!(complete(vec![set("1")], vec![], &marks(&again), (&nothing, "t3")), again);
    }
}
