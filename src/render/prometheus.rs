//! `prometheus/prometheus.yml` and `prometheus/rules/*.yml`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::bundle::Tree;
use crate::profile::text::Text;
use crate::stack::{Group, Relabel, RuleKind, Scheme, Scrape, ServiceKind, Stack};

use super::{Error, yaml};

#[derive(Serialize)]
struct Config<'a> {
    global: Global<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rule_files: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alerting: Option<Alerting>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scrape_configs: Vec<ScrapeConfig<'a>>,
}

#[derive(Serialize)]
struct Global<'a> {
    scrape_interval: String,
    scrape_timeout: String,
    evaluation_interval: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    external_labels: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Alerting {
    alertmanagers: Vec<Alertmanagers>,
}

#[derive(Serialize)]
struct Alertmanagers {
    static_configs: Vec<StaticConfig>,
}

#[derive(Serialize)]
struct StaticConfig {
    targets: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct ScrapeConfig<'a> {
    job_name: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    honor_labels: bool,
    scrape_interval: String,
    scrape_timeout: String,
    #[serde(skip_serializing_if = "is_default_path")]
    metrics_path: &'a str,
    #[serde(skip_serializing_if = "is_http")]
    scheme: Scheme,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample_limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    basic_auth: Option<BasicAuth<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization: Option<Authorization>,
    static_configs: Vec<StaticConfig>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    relabel_configs: &'a [Relabel],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    metric_relabel_configs: &'a [Relabel],
}

fn is_default_path(path: &&str) -> bool {
    *path == "/metrics"
}

fn is_http(scheme: &Scheme) -> bool {
    *scheme == Scheme::Http
}

#[derive(Serialize)]
struct BasicAuth<'a> {
    username: &'a str,
    password_file: String,
}

#[derive(Serialize)]
struct Authorization {
    credentials_file: String,
}

#[derive(Serialize)]
struct RuleFile<'a> {
    groups: Vec<RuleGroup<'a>>,
}

#[derive(Serialize)]
struct RuleGroup<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    query_offset: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
    rules: Vec<Rule<'a>>,
}

#[derive(Serialize)]
struct Rule<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<&'a str>,
    expr: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#for: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_firing_for: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'a str, String>,
}

/// The files of Prometheus, and the secrets that it reads from files of its own.
#[derive(Debug, Default)]
pub struct Rendered {
    pub files: Tree,
    pub secret_files: BTreeMap<String, Text>,
}

/// Nothing, where the stack has no Prometheus.
pub fn render(stack: &Stack) -> Result<Rendered, Error> {
    let Some(service) = stack.service_of(ServiceKind::Prometheus) else { return Ok(Rendered::default()) };
    let mut secret_files = BTreeMap::new();
    let mut secret = |file: String, text: &Text| {
        let path = stack.runtime.secret_path_from_prometheus(&stack.name, &service.name, &file);
        secret_files.insert(file, text.clone());
        path
    };
    let scrapes = stack.scrapes.values().map(|scrape| scrape_config(scrape, &mut secret)).collect();
    let alertmanagers: Vec<String> = stack
        .services
        .values()
        .filter(|s| s.kind == ServiceKind::Alertmanager)
        .filter_map(|s| s.address(stack.runtime))
        .collect();
    let config = Config {
        global: Global {
            scrape_interval: stack.prometheus.scrape_interval.to_string(),
            scrape_timeout: stack.prometheus.scrape_timeout.to_string(),
            evaluation_interval: stack.prometheus.evaluation_interval.to_string(),
            external_labels: &stack.prometheus.external_labels,
        },
        rule_files: if stack.groups.is_empty() { vec![] } else { vec!["rules/*.yml"] },
        alerting: (!alertmanagers.is_empty()).then(|| Alerting {
            alertmanagers: vec![Alertmanagers {
                static_configs: vec![StaticConfig { targets: alertmanagers, labels: BTreeMap::new() }],
            }],
        }),
        scrape_configs: scrapes,
    };
    let mut files = Tree::new();
    files.insert("prometheus/prometheus.yml", yaml::document(&yaml::head(stack, "Prometheus"), &config)?);
    let mut rule_files: BTreeMap<&str, Vec<&Group>> = BTreeMap::new();
    for group in &stack.groups {
        rule_files.entry(&group.file).or_default().push(group);
    }
    for (file, groups) in rule_files {
        let content = RuleFile { groups: groups.into_iter().map(rule_group).collect() };
        files.insert(
            format!("prometheus/rules/{file}"),
            yaml::document(&yaml::head(stack, "Rules"), &content)?,
        );
    }
    Ok(Rendered { files, secret_files })
}

fn scrape_config<'a>(
    scrape: &'a Scrape,
    secret: &mut dyn FnMut(String, &Text) -> String,
) -> ScrapeConfig<'a> {
    let static_configs = scrape.targets.iter().map(|target| {
        let mut labels = scrape.labels.clone();
        if let Some(instance) = &target.instance {
            labels.entry("instance".into()).or_insert_with(|| instance.clone());
        }
        StaticConfig { targets: vec![target.address.clone()], labels }
    });
    ScrapeConfig {
        job_name: &scrape.job,
        honor_labels: scrape.honor_labels,
        scrape_interval: scrape.interval.to_string(),
        scrape_timeout: scrape.timeout.to_string(),
        metrics_path: &scrape.path,
        scheme: scrape.scheme,
        sample_limit: scrape.sample_limit,
        basic_auth: scrape.basic_auth.as_ref().map(|auth| BasicAuth {
            username: &auth.username,
            password_file: secret(format!("scrape-{}-password", scrape.name), &auth.password),
        }),
        authorization: scrape.bearer_token.as_ref().map(|token| Authorization {
            credentials_file: secret(format!("scrape-{}-token", scrape.name), token),
        }),
        static_configs: static_configs.collect(),
        relabel_configs: &scrape.relabel,
        metric_relabel_configs: &scrape.metric_relabel,
    }
}

/// Groups, with the fields of a rule file.
pub(super) fn rule_groups(groups: &[&Group]) -> serde_json::Value {
    let groups: Vec<RuleGroup<'_>> = groups.iter().map(|group| rule_group(group)).collect();
    // Nothing but strings and numbers, with strings for keys.
    serde_json::to_value(groups).unwrap_or_default()
}

fn rule_group(group: &Group) -> RuleGroup<'_> {
    let text = |duration: crate::profile::units::Duration| duration.to_string();
    RuleGroup {
        name: &group.name,
        interval: group.interval.map(text),
        query_offset: group.query_offset.map(text),
        limit: group.limit,
        labels: &group.labels,
        rules: group
            .rules
            .iter()
            .map(|rule| {
                let alert = rule.alert();
                let positive = |d: crate::profile::units::Duration| (d.0 > 0).then(|| d.to_string());
                let annotations = alert.into_iter().flat_map(|a| &a.annotations);
                Rule {
                    record: matches!(rule.kind, RuleKind::Record).then_some(rule.name.as_str()),
                    alert: alert.map(|_| rule.name.as_str()),
                    expr: rule.expr(),
                    r#for: alert.and_then(|a| positive(a.r#for)),
                    keep_firing_for: alert.and_then(|a| positive(a.keep_firing_for)),
                    labels: rule.labels(),
                    annotations: annotations.map(|(k, v)| (k.as_str(), rule.fill(v))).collect(),
                }
            })
            .collect(),
    }
}
