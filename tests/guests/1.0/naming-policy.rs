//! `naming-policy`: which labels alerts must have, which severities there are, and which alerts
//! need a runbook.

use monprov_plugin::{Alert, Failure, Finding, Level, Policy, Problem, Result, Stack};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Labels that every alert must have.
    #[serde(default = "labels")]
    required_labels: Vec<String>,
    /// The severities that there are; empty: any.
    #[serde(default = "severities")]
    severities: Vec<String>,
    /// Severities whose alerts must have a runbook.
    #[serde(default = "runbook_for")]
    runbook_for: Vec<String>,
    /// What every runbook's address starts with; empty: anything.
    #[serde(default)]
    runbook_prefix: String,
    /// How much a breach weighs.
    #[serde(default)]
    level: Weight,
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
        Ok(alerts.iter().flat_map(|alert| judge(&settings, alert)).collect())
    }
}

fn judge(settings: &Settings, alert: &Alert) -> Vec<Finding> {
    let level = match settings.level {
        Weight::Advice => Level::Advice,
        Weight::Warning => Level::Warning,
        Weight::Error => Level::Error,
    };
    let mut findings = vec![];
    for label in &settings.required_labels {
        if alert.label(label).is_none_or(|value| value.trim().is_empty()) {
            let message = format!("the alert `{}` has no label `{label}`", alert.name);
            findings.push(alert.finding(level, "required-label", &format!("labels.{label}"), message));
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

monprov_plugin::policy!(NamingPolicy);
