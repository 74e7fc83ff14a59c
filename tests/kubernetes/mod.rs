//! The stack as resources of a cluster: what is rendered, and what activation does with it.

mod activation;
mod manifests;
mod operator;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::installed;
use crate::support::project::Project;

/// What the reference stack needs to be built for a cluster.
const ENVIRONMENT: [(&str, &str); 10] = [
    ("GRAFANA_ADMIN_PASSWORD", "correct horse battery"),
    ("REDIS_PASSWORD", "redis-secret-value"),
    ("SMTP_PASSWORD", "smtp-secret-value"),
    ("SMTP_HOST", "mail.example.com:587"),
    ("SMTP_FROM", "monitoring@example.com"),
    ("SMTP_USERNAME", "monitoring"),
    ("ALERT_EMAIL_TO", "all@example.com"),
    ("ALERT_EMAIL_CRITICAL", "critical@example.com"),
    ("ALERT_EMAIL_WARNING", "warning@example.com"),
    ("ALERT_EMAIL_CELERY", "celery@example.com"),
];

/// The reference stack, with a layer `cluster` above `prod`.
fn project(layer: &str) -> Project {
    let project = Project::reference();
    project.write("profiles/cluster.toml", layer);
    ENVIRONMENT.iter().fold(project, |project, (name, value)| project.env(name, value))
}

/// Builds a profile; its bundle.
#[track_caller]
fn build(project: &Project, profile: &str) -> PathBuf {
    let output = project.run(&format!("build {profile} --no-secrets --oracle off")).succeeds();
    PathBuf::from(output.last_line().replace("$PROJECT", &project.root().to_string_lossy()))
}

/// The resources of a bundle, file by file.
fn resources(bundle: &Path) -> Vec<Value> {
    let folder = bundle.join("kubernetes");
    let kustomization: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(folder.join("kustomization.yaml")).unwrap()).unwrap();
    let listed = kustomization["resources"].as_array().unwrap();
    let there = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(listed.len() + 1, there, "every file is listed");
    let read = |file: &Value| {
        let text = std::fs::read_to_string(folder.join(file.as_str().unwrap())).unwrap();
        serde_saphyr::from_multiple::<Value>(&text).unwrap()
    };
    listed.iter().flat_map(read).collect()
}

fn find<'a>(resources: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let named = resources.iter().find(|r| r["kind"] == kind && r["metadata"]["name"] == name);
    named.unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

fn of_kind<'a>(resources: &'a [Value], kind: &str) -> Vec<&'a Value> {
    resources.iter().filter(|resource| resource["kind"] == kind).collect()
}

/// The published schemas of three versions take every resource.
fn assert_schemas(resources: &[Value]) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("resources.json"), serde_json::to_vec(resources).unwrap()).unwrap();
    let output = Command::new(installed("kubernetes/bin/python"))
        .arg(crate::support::repository().join("tests/support/parts/kubernetes_schemas.py"))
        .arg("resources.json")
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

/// What the real kubectl makes of the folder.
fn kustomized(bundle: &Path) -> Vec<Value> {
    let output = Command::new(installed("kubernetes/bin/kubectl"))
        .arg("kustomize")
        .arg(bundle.join("kubernetes"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_saphyr::from_multiple(&String::from_utf8(output.stdout).unwrap()).unwrap()
}

/// The same resources, in whatever order.
fn assert_same(ours: &[Value], theirs: &[Value]) {
    let sorted = |all: &[Value]| {
        let mut texts: Vec<String> = all.iter().map(ToString::to_string).collect();
        texts.sort();
        texts
    };
    assert_eq!(sorted(ours), sorted(theirs));
}
