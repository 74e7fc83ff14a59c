//! Whether the rules that Prometheus has loaded are those of the bundle.

use std::collections::BTreeMap;

use promql_parser::parser;
use serde::Deserialize;

use crate::activate::Bundle;
use crate::profile::units::Duration;

const FOLDER: &str = "prometheus/rules/";

/// A rule group as `/api/v1/rules` shows it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Group {
    name: String,
    file: String,
    interval: f64,
    #[serde(default)]
    limit: u64,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    name: String,
    query: String,
    r#type: String,
    #[serde(default)]
    duration: f64,
    #[serde(default)]
    keep_firing_for: f64,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// A rule file.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    groups: Vec<FileGroup>,
}

#[derive(Deserialize)]
struct FileGroup {
    name: String,
    interval: Option<Duration>,
    #[serde(default)]
    limit: u64,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    rules: Vec<FileRule>,
}

#[derive(Deserialize)]
struct FileRule {
    record: Option<String>,
    alert: Option<String>,
    expr: String,
    #[serde(default)]
    r#for: Duration,
    #[serde(default)]
    keep_firing_for: Duration,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// What comparing gave, where nothing differs.
#[derive(Debug)]
pub(super) struct Compared {
    pub count: usize,
    /// Rules whose expression nobody here can read; the rest of them is proved.
    pub unproved: Vec<String>,
}

/// `Err`: the first difference.
pub(super) fn compare(bundle: &Bundle, theirs: &[Group]) -> Result<Compared, String> {
    let key = |file: &str, group: &str| (base(file).to_owned(), group.to_owned());
    let mut running: BTreeMap<(String, String), &Group> =
        theirs.iter().map(|group| (key(&group.file, &group.name), group)).collect();
    let mut compared = Compared { count: 0, unproved: vec![] };
    for path in bundle.manifest.files.keys().filter(|path| path.starts_with(FOLDER)) {
        let text = bundle.text(path).map_err(|e| e.to_string())?;
        let options = serde_saphyr::options! { with_snippet: false, budget: None };
        let file: File =
            serde_saphyr::from_str_with_options(&text, options).map_err(|e| format!("{path}: {e}"))?;
        let name = base(path);
        for ours in &file.groups {
            let theirs = running
                .remove(&key(path, &ours.name))
                .ok_or_else(|| format!("the group {} of {name} is missing", ours.name))?;
            group(ours, theirs, &mut compared)?;
        }
    }
    match running.into_keys().next() {
        Some((file, name)) => Err(format!("the group {name} of {file} should not be there")),
        None => Ok(compared),
    }
}

fn group(ours: &FileGroup, theirs: &Group, compared: &mut Compared) -> Result<(), String> {
    let name = &ours.name;
    if let Some(interval) = ours.interval
        && interval.as_secs_f64() != theirs.interval
    {
        return Err(format!("the interval of {name} is {} s and should be {interval}", theirs.interval));
    }
    if ours.limit != theirs.limit || ours.rules.len() != theirs.rules.len() {
        let (a, b) = (theirs.rules.len(), ours.rules.len());
        return Err(format!(
            "the group {name} has {a} rules and a limit of {}, it should have {b} and {}",
            theirs.limit, ours.limit
        ));
    }
    for (a, b) in ours.rules.iter().zip(&theirs.rules) {
        compared.count += 1;
        rule(ours, a, b, compared).map_err(|what| format!("{what} in the group {name}"))?;
    }
    Ok(())
}

fn rule(group: &FileGroup, ours: &FileRule, theirs: &Rule, compared: &mut Compared) -> Result<(), String> {
    let name = ours.alert.as_ref().or(ours.record.as_ref()).map(String::as_str).unwrap_or_default();
    let kind = if ours.alert.is_some() { "alerting" } else { "recording" };
    if name != theirs.name || kind != theirs.r#type {
        return Err(format!("`{}` stands where `{name}` should", theirs.name));
    }
    let mut labels = group.labels.clone();
    labels.extend(ours.labels.clone());
    labels.retain(|_, value| !value.is_empty());
    let differs = [
        ("`for`", ours.r#for.as_secs_f64() != theirs.duration),
        // Versions before 2.42 don't show it.
        ("`keep_firing_for`", ours.keep_firing_for.as_secs_f64() != theirs.keep_firing_for),
        ("labels", labels != theirs.labels),
        ("annotations", ours.annotations != theirs.annotations),
    ];
    if let Some((what, _)) = differs.iter().find(|(_, differs)| *differs) {
        return Err(format!("`{name}` has other {what}"));
    }
    match same_expression(&ours.expr, &theirs.query) {
        Some(true) => Ok(()),
        Some(false) => Err(format!("`{name}` has the expression {}", one_line(&theirs.query))),
        None => {
            compared.unproved.push(name.to_owned());
            Ok(())
        }
    }
}

/// Prometheus prints what it has parsed: other spaces, numbers and durations, the same
/// meaning. `None` where the parser here knows less than Prometheus.
fn same_expression(ours: &str, theirs: &str) -> Option<bool> {
    if one_line(ours) == one_line(theirs) {
        return Some(true);
    }
    match (parser::parse(ours), parser::parse(theirs)) {
        (Ok(a), Ok(b)) => Some(a == b || a.to_string() == b.to_string()),
        _ => None,
    }
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::same_expression;

    #[test]
    fn expressions_are_compared_by_meaning() {
        for (ours, theirs) in [
            (
                "sum by (name) (rate(x[5m]))\n  / 1e3 > 0.10 or (absent(y))",
                "sum by (name) (rate(x[5m])) / 1000 > 0.1 or (absent(y))",
            ),
            ("sum(x) by (a)", "sum by (a) (x)"),
            ("avg_over_time(x{a=~'b|c'}[1h] offset 60m)", "avg_over_time(x{a=~\"b|c\"}[1h] offset 1h)"),
        ] {
            assert_eq!(same_expression(ours, theirs), Some(true), "{ours}");
        }
        for (ours, theirs) in [("x > 100", "x > 500"), ("rate(x[5m])", "rate(x[1m])"), ("x{a=\"b\"}", "x")] {
            assert_eq!(same_expression(ours, theirs), Some(false), "{ours}");
        }
        assert_eq!(same_expression("new_function(x)", "new_function( x )"), None);
    }
}
