//! `naming-policy`: how alerts are called, which labels and annotations they must have and may
//! not have, which values labels take, and which alerts need a runbook.

use std::collections::BTreeMap;

use monprov_plugin::{Alert, Failure, Finding, Level, Policy, Problem, Result, Stack};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// How alerts are called.
    #[serde(default)]
    names: Style,
    /// Labels that every alert must have.
    #[serde(default = "labels")]
    required_labels: Vec<String>,
    /// Labels that no alert may have.
    #[serde(default)]
    forbidden_labels: Vec<String>,
    /// The values that a label takes where it is there; `*` stands for any text.
    #[serde(default)]
    label_values: BTreeMap<String, Vec<String>>,
    /// Annotations that every alert must have.
    #[serde(default)]
    required_annotations: Vec<String>,
    /// The severities that there are; empty: any.
    #[serde(default = "severities")]
    severities: Vec<String>,
    /// Severities whose alerts must have a runbook.
    #[serde(default = "runbook_for")]
    runbook_for: Vec<String>,
    /// What every runbook's address starts with; empty: anything.
    #[serde(default)]
    runbook_prefix: String,
    /// Alerts that are not judged, by name; `*` stands for any text.
    #[serde(default)]
    exempt: Vec<String>,
    /// How much a breach weighs.
    #[serde(default)]
    level: Weight,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema, serde::Serialize)]
enum Style {
    #[default]
    #[serde(rename = "any")]
    Any,
    PascalCase,
    #[serde(rename = "snake_case")]
    SnakeCase,
    #[serde(rename = "kebab-case")]
    KebabCase,
}

impl Style {
    fn name(self) -> &'static str {
        match self {
            Style::Any => "any",
            Style::PascalCase => "PascalCase",
            Style::SnakeCase => "snake_case",
            Style::KebabCase => "kebab-case",
        }
    }

    fn fits(self, name: &str) -> bool {
        let small = |joint: char| {
            let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            name.chars().all(|c| word(c) || c == joint) && name.starts_with(|c: char| c.is_ascii_lowercase())
        };
        match self {
            Style::Any => true,
            Style::PascalCase => {
                name.starts_with(|c: char| c.is_ascii_uppercase())
                    && name.chars().all(|c| c.is_ascii_alphanumeric())
            }
            Style::SnakeCase => small('_'),
            Style::KebabCase => small('-'),
        }
    }
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Weight {
    Advice,
    Warning,
    #[default]
    Error,
}

fn labels() -> Vec<String> {
    vec!["severity".into()]
}

fn severities() -> Vec<String> {
    ["critical", "warning", "info"].map(Into::into).into()
}

fn runbook_for() -> Vec<String> {
    vec!["critical".into()]
}

struct NamingPolicy;

impl Policy for NamingPolicy {
    type Settings = Settings;

    fn check(settings: Settings, alerts: Vec<Alert>, _: Stack) -> Result<Vec<Finding>> {
        if !settings.severities.is_empty() {
            let unknown = |severity: &&String| !settings.severities.contains(severity);
            let problem = |severity: &String| Problem {
                pointer: "/runbook_for".into(),
                message: format!("`{severity}` is none of `severities`"),
            };
            let problems: Vec<_> = settings.runbook_for.iter().filter(unknown).map(problem).collect();
            if !problems.is_empty() {
                return Err(Failure::Settings(problems));
            }
        }
        let judged = |alert: &&Alert| !settings.exempt.iter().any(|pattern| matches(pattern, &alert.name));
        Ok(alerts.iter().filter(judged).flat_map(|alert| judge(&settings, alert)).collect())
    }
}

fn judge(settings: &Settings, alert: &Alert) -> Vec<Finding> {
    let level = match settings.level {
        Weight::Advice => Level::Advice,
        Weight::Warning => Level::Warning,
        Weight::Error => Level::Error,
    };
    let mut findings = vec![];
    if !settings.names.fits(&alert.name) {
        let message = format!("the name `{}` is not in {}", alert.name, settings.names.name());
        findings.push(alert.finding(level, "name", "", message));
    }
    for label in &settings.required_labels {
        if alert.label(label).is_none_or(|value| value.trim().is_empty()) {
            let message = format!("the alert `{}` has no label `{label}`", alert.name);
            findings.push(alert.finding(level, "required-label", &format!("labels.{label}"), message));
        }
    }
    for label in settings.forbidden_labels.iter().filter(|label| alert.label(label).is_some()) {
        let message = format!("the alert `{}` has the label `{label}`", alert.name);
        let finding = alert.finding(level, "forbidden-label", &format!("labels.{label}"), message);
        findings.push(finding.help("no alert may have it"));
    }
    for (label, allowed) in &settings.label_values {
        let Some(value) = alert.label(label) else { continue };
        if !allowed.iter().any(|pattern| matches(pattern, value)) {
            let message = format!("the alert `{}` has the {label} `{value}`", alert.name);
            let finding = alert.finding(level, "label-value", &format!("labels.{label}"), message);
            findings.push(finding.help(format!("there are: {}", allowed.join(", "))));
        }
    }
    for annotation in &settings.required_annotations {
        if alert.annotation(annotation).is_none_or(|text| text.trim().is_empty()) {
            let message = format!("the alert `{}` has no annotation `{annotation}`", alert.name);
            let field = format!("annotations.{annotation}");
            findings.push(alert.finding(level, "required-annotation", &field, message));
        }
    }
    let severity = &alert.severity;
    if !severity.is_empty() && !settings.severities.is_empty() && !settings.severities.contains(severity) {
        let message = format!("the alert `{}` has the severity `{severity}`", alert.name);
        let finding = alert.finding(level, "severity", "labels.severity", message);
        findings.push(finding.help(format!("there are: {}", settings.severities.join(", "))));
    }
    match alert.annotation("runbook_url") {
        None if settings.runbook_for.contains(severity) => {
            let message = format!("the alert `{}` is {severity} and has no runbook", alert.name);
            let finding = alert.finding(level, "runbook", "annotations.runbook_url", message);
            findings.push(finding.help("write `runbook_url`"));
        }
        Some(url) if !url.starts_with(&settings.runbook_prefix) => {
            let message = format!("the runbook of `{}` is somewhere else", alert.name);
            let finding = alert.finding(level, "runbook", "annotations.runbook_url", message);
            findings.push(finding.help(format!("runbooks lie at {}", settings.runbook_prefix)));
        }
        _ => {}
    }
    findings
}

/// Whether a text is as a pattern says, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some((_, after)) = text.split_once(part) else { return false };
        text = after;
    }
    text.ends_with(last)
}

monprov_plugin::policy!(NamingPolicy);
