//! Prometheus and Alertmanager as resources of the Prometheus operator (`flavor = "operator"`),
//! which makes the pods, their configuration and their reloads. Series, rules and routes are the
//! same as with the plain flavor: labels that the operator adds to targets are taken off again.
//!
//! What it can't express is refused by `check::kubernetes`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::names::{self, PROFILE, SERVICE};
use super::{alertmanager, fields, pod, secret_name, selector, set, workload};
use crate::bundle::manifest::sha256;
use crate::profile::text::Text;
use crate::render::command::Command;
use crate::render::prometheus::rule_groups;
use crate::stack::{Group, Relabel, Scheme, Scrape, Service, ServiceKind, Stack};

pub(super) const API: &str = "monitoring.coreos.com/v1";
pub(super) const ALPHA: &str = "monitoring.coreos.com/v1alpha1";

/// What the operator adds to each target.
const ADDED: &str = "namespace|service|pod|container|endpoint|node";

/// The values that resources take from the service's Secret, by key.
#[derive(Debug, Default)]
pub(super) struct Keys(pub(super) BTreeMap<String, Text>);

impl Keys {
    /// A selector of a key that holds this text.
    pub(super) fn select(&mut self, service: &Service, key: &str, text: &Text) -> Value {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
        let mut key: String = key.chars().map(plain).collect();
        while self.0.get(&key).is_some_and(|other| other != text) {
            key.push('_');
        }
        self.0.insert(key.clone(), text.clone());
        json!({ "name": secret_name(&service.name), "key": key })
    }
}

/// What a service's Secret has to hold for the operator.
pub(super) fn secret_files(stack: &Stack, service: &Service) -> BTreeMap<String, Text> {
    let mut keys = Keys::default();
    match service.kind {
        ServiceKind::Alertmanager => {
            alertmanager::config(stack, service, &mut keys);
            alertmanager::global(stack, service, &mut keys);
        }
        _ => stack.scrapes.values().for_each(|scrape| {
            access_fields(scrape, service, &mut keys);
        }),
    }
    keys.0
}

pub(super) fn resources(stack: &Stack, service: &Service, command: &Command, digest: &str) -> Vec<Value> {
    let mut all = vec![resource(stack, service, command, digest)];
    let mut keys = Keys::default();
    match service.kind {
        ServiceKind::Alertmanager => all.push(alertmanager::config(stack, service, &mut keys)),
        _ => {
            all.extend(stack.scrapes.values().map(|scrape| monitor(stack, service, scrape, &mut keys)));
            let mut files: BTreeMap<&str, Vec<&Group>> = BTreeMap::new();
            for group in &stack.groups {
                files.entry(&group.file).or_default().push(group);
            }
            all.extend(files.into_iter().map(|(file, groups)| rules(stack, service, file, groups)));
        }
    }
    all
}

/// The resource that the operator makes pods of.
pub(super) fn resource(stack: &Stack, service: &Service, command: &Command, digest: &str) -> Value {
    let annotations = json!({ names::DIGEST: digest });
    let labels = json!({ PROFILE: stack.name, SERVICE: service.name });
    let volume = service
        .volumes
        .iter()
        .find(|(_, path)| command.data.as_ref() == Some(path))
        .map_or_else(|| format!("{}-data", service.name), |(volume, _)| volume.clone());
    let storage = json!({ "volumeClaimTemplate": { "spec": workload::claim_spec(stack, &volume) } });
    let arguments: Vec<Value> = service.args.iter().filter_map(|arg| argument(arg)).collect();
    let pull: Vec<Value> = stack.kubernetes.pull_secrets.iter().map(|name| json!({ "name": name })).collect();
    let (kind, special) = match service.kind {
        ServiceKind::Alertmanager => ("Alertmanager", alertmanager_fields(stack, service)),
        _ => ("Prometheus", prometheus_fields(stack)),
    };
    let mut spec = fields([
        ("image", service.image.as_ref().map(|image| json!(image))),
        ("version", service.version.as_ref().map(|version| json!(format!("v{version}")))),
        ("replicas", Some(json!(1))),
        ("podMetadata", Some(json!({ "annotations": annotations, "labels": labels }))),
        ("resources", pod::resources(&service.limits)),
        ("securityContext", Some(pod::security(service))),
        ("storage", Some(storage)),
        ("additionalArgs", (!arguments.is_empty()).then_some(Value::Array(arguments))),
        ("imagePullSecrets", (!pull.is_empty()).then_some(Value::Array(pull))),
    ]);
    if let (Some(spec), Value::Object(special)) = (spec.as_object_mut(), special) {
        spec.extend(special);
    }
    let mut resource = super::resource(stack, Some(service), API, kind, &service.name);
    set(&mut resource, "spec", spec);
    resource
}

/// `--flag=value` and `--flag`.
fn argument(arg: &str) -> Option<Value> {
    let arg = arg.strip_prefix("--")?;
    Some(match arg.split_once('=') {
        Some((name, value)) => json!({ "name": name, "value": value }),
        None => json!({ "name": arg }),
    })
}

fn prometheus_fields(stack: &Stack) -> Value {
    let settings = &stack.prometheus;
    let ours = json!({ "matchLabels": { PROFILE: stack.name } });
    let alertmanagers: Vec<Value> = stack
        .services
        .values()
        .filter(|service| service.kind == ServiceKind::Alertmanager)
        .map(|service| {
            json!({
                "name": service.name, "namespace": stack.kubernetes.namespace, "port": "web",
                "apiVersion": "v2",
            })
        })
        .collect();
    fields([
        ("serviceAccountName", Some(json!(account(stack)))),
        ("scrapeInterval", Some(json!(settings.scrape_interval.to_string()))),
        ("scrapeTimeout", Some(json!(settings.scrape_timeout.to_string()))),
        ("evaluationInterval", Some(json!(settings.evaluation_interval.to_string()))),
        ("retention", Some(json!(settings.retention.to_string()))),
        ("externalLabels", (!settings.external_labels.is_empty()).then(|| json!(settings.external_labels))),
        // Not those that the operator would add.
        ("prometheusExternalLabelName", Some(json!(""))),
        ("replicaExternalLabelName", Some(json!(""))),
        ("serviceMonitorSelector", Some(ours.clone())),
        ("scrapeConfigSelector", Some(ours.clone())),
        ("ruleSelector", Some(ours)),
        ("alerting", (!alertmanagers.is_empty()).then(|| json!({ "alertmanagers": alertmanagers }))),
    ])
}

fn alertmanager_fields(stack: &Stack, service: &Service) -> Value {
    let global = alertmanager::global(stack, service, &mut Keys::default());
    json!({
        "automountServiceAccountToken": false,
        "serviceAccountName": names::account(stack),
        "alertmanagerConfiguration": { "name": service.name, "global": global },
    })
}

/// The account with which Prometheus finds the pods behind services.
fn account(stack: &Stack) -> String {
    format!("{}-prometheus", names::account(stack))
}

/// It may look at services and pods of the namespace, and at nothing else.
pub(super) fn access(stack: &Stack) -> Vec<Value> {
    let name = account(stack);
    let mut role = super::resource(stack, None, "rbac.authorization.k8s.io/v1", "Role", &name);
    let verbs = ["get", "list", "watch"];
    let rules = json!([
        { "apiGroups": [""], "resources": ["services", "endpoints", "pods"], "verbs": verbs },
        { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": verbs },
    ]);
    set(&mut role, "rules", rules);
    let mut binding = super::resource(stack, None, "rbac.authorization.k8s.io/v1", "RoleBinding", &name);
    let role_of = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name });
    set(&mut binding, "roleRef", role_of);
    let namespace = &stack.kubernetes.namespace;
    set(
        &mut binding,
        "subjects",
        json!([{ "kind": "ServiceAccount", "name": name, "namespace": namespace }]),
    );
    vec![super::resource(stack, None, "v1", "ServiceAccount", &name), role, binding]
}

/// A scrape: of a service of the stack, or of addresses.
fn monitor(stack: &Stack, service: &Service, scrape: &Scrape, keys: &mut Keys) -> Value {
    let (basic, authorization) = access_fields(scrape, service, keys);
    let name = format!("scrape-{}", slug(&scrape.name));
    let relabels = |relabels: &[Relabel]| relabels.iter().map(relabel).collect::<Vec<Value>>();
    let metrics = Some(relabels(&scrape.metric_relabel)).filter(|all| !all.is_empty());
    let honor = scrape.honor_labels.then_some(Value::Bool(true));
    let (kind, version, spec) = match &scrape.service {
        Some(scraped) => {
            let mut steps = vec![json!({ "action": "labeldrop", "regex": ADDED })];
            steps.push(fixed("job", &scrape.job));
            let mut labels = scrape.labels.clone();
            labels.entry("instance".into()).or_insert_with(|| scraped.clone());
            steps.extend(labels.iter().map(|(label, value)| fixed(label, value)));
            steps.extend(relabels(&scrape.relabel));
            let endpoint = fields([
                ("port", Some(json!("web"))),
                ("path", Some(json!(scrape.path))),
                ("scheme", (scrape.scheme == Scheme::Https).then(|| json!("https"))),
                ("interval", Some(json!(scrape.interval.to_string()))),
                ("scrapeTimeout", Some(json!(scrape.timeout.to_string()))),
                ("honorLabels", honor),
                ("basicAuth", basic),
                ("authorization", authorization),
                ("relabelings", Some(Value::Array(steps))),
                ("metricRelabelings", metrics.map(Value::Array)),
            ]);
            let spec = fields([
                ("selector", Some(json!({ "matchLabels": selector(stack, scraped) }))),
                ("sampleLimit", scrape.sample_limit.map(|limit| json!(limit))),
                ("endpoints", Some(json!([endpoint]))),
            ]);
            ("ServiceMonitor", API, spec)
        }
        None => {
            let targets: Vec<&str> = scrape.targets.iter().map(|target| target.address.as_str()).collect();
            let mut fixed_targets = json!({ "targets": targets });
            if !scrape.labels.is_empty() {
                set(&mut fixed_targets, "labels", json!(scrape.labels));
            }
            let steps = [vec![fixed("job", &scrape.job)], relabels(&scrape.relabel)].concat();
            let spec = fields([
                ("staticConfigs", Some(json!([fixed_targets]))),
                ("metricsPath", Some(json!(scrape.path))),
                ("scheme", (scrape.scheme == Scheme::Https).then(|| json!("HTTPS"))),
                ("scrapeInterval", Some(json!(scrape.interval.to_string()))),
                ("scrapeTimeout", Some(json!(scrape.timeout.to_string()))),
                ("honorLabels", honor),
                ("sampleLimit", scrape.sample_limit.map(|limit| json!(limit))),
                ("basicAuth", basic),
                ("authorization", authorization),
                ("relabelings", Some(Value::Array(steps))),
                ("metricRelabelings", metrics.map(Value::Array)),
            ]);
            ("ScrapeConfig", ALPHA, spec)
        }
    };
    let mut resource = super::resource(stack, Some(service), version, kind, &name);
    set(&mut resource, "spec", spec);
    resource
}

/// `basicAuth` and `authorization`.
fn access_fields(scrape: &Scrape, service: &Service, keys: &mut Keys) -> (Option<Value>, Option<Value>) {
    let mut select = |what: &str, text: &Text| {
        let key = format!("scrape-{}-{what}", scrape.name);
        keys.select(service, &key, text)
    };
    let basic = scrape.basic_auth.as_ref().map(|auth| {
        let username = select("username", &Text::plain(auth.username.clone()));
        json!({ "username": username, "password": select("password", &auth.password) })
    });
    let token = scrape.bearer_token.as_ref().map(|token| json!({ "credentials": select("token", token) }));
    (basic, token)
}

/// A label with one value.
fn fixed(label: &str, value: &str) -> Value {
    json!({ "action": "replace", "targetLabel": label, "replacement": value.replace('$', "$$") })
}

fn relabel(relabel: &Relabel) -> Value {
    let Ok(Value::Object(written)) = serde_json::to_value(relabel) else { return Value::Null };
    let renamed = written.into_iter().map(|(key, value)| match key.as_str() {
        "source_labels" => ("sourceLabels".to_owned(), value),
        "target_label" => ("targetLabel".to_owned(), value),
        _ => (key, value),
    });
    Value::Object(renamed.collect::<Map<_, _>>())
}

fn rules(stack: &Stack, service: &Service, file: &str, groups: Vec<&Group>) -> Value {
    let name = format!("rules-{}", slug(file.trim_end_matches(".yml")));
    let mut resource = super::resource(stack, Some(service), API, "PrometheusRule", &name);
    set(&mut resource, "spec", json!({ "groups": rule_groups(&groups) }));
    resource
}

/// A name of a resource; what had to be changed is told apart by its digest.
fn slug(name: &str) -> String {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let slug: String = name.chars().map(|c| if fits(c) { c } else { '-' }).collect();
    let short: String = slug.trim_matches('-').chars().take(40).collect();
    if short == name {
        return short;
    }
    let digest = sha256(name.as_bytes());
    format!("{}-{}", short.trim_matches('-'), digest.get(..6).unwrap_or(&digest)).trim_matches('-').to_owned()
}
