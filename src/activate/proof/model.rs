//! Whether the configuration that a daemon prints is the one in the bundle.
//!
//! Daemons print what they have read: marshalled anew, with defaults, without comments and
//! secrets, and newer versions know more defaults. So everything of ours must be in theirs,
//! lists have the same length and order, and what theirs has beyond ours is a default, or a
//! setting that no bundle writes.

use std::str::FromStr as _;

use serde_json::{Map, Value};

use crate::profile::units::Duration;
use crate::stack::Matcher;

/// Settings that a bundle may write and may leave out, with what leaving them out means; an
/// empty value stands for "nothing". Only these could be left over from an older bundle.
const DEFAULTS: &[(&str, &[&str])] = &[
    // Prometheus
    ("honor_labels", &["false"]),
    ("metrics_path", &["/metrics"]),
    ("scheme", &["http"]),
    ("sample_limit", &["0"]),
    ("basic_auth", &[]),
    ("authorization", &[]),
    ("relabel_configs", &[]),
    ("metric_relabel_configs", &[]),
    ("source_labels", &[]),
    ("target_label", &[]),
    ("separator", &[";"]),
    ("regex", &["(.*)"]),
    ("replacement", &["$1"]),
    ("modulus", &["0"]),
    ("action", &["replace"]),
    ("rule_files", &[]),
    ("alerting", &[]),
    ("scrape_configs", &[]),
    ("static_configs", &[]),
    ("external_labels", &[]),
    ("labels", &[]),
    // Alertmanager
    ("smtp_smarthost", &[]),
    ("smtp_from", &[]),
    ("smtp_hello", &["localhost"]),
    ("smtp_auth_username", &[]),
    ("smtp_auth_password", &[]),
    ("smtp_auth_password_file", &[]),
    ("smtp_require_tls", &["true"]),
    ("routes", &[]),
    ("matchers", &[]),
    ("continue", &["false"]),
    ("group_by", &[]),
    ("group_wait", &[]),
    ("group_interval", &[]),
    ("repeat_interval", &[]),
    ("mute_time_intervals", &[]),
    ("active_time_intervals", &[]),
    ("inhibit_rules", &[]),
    ("source_matchers", &[]),
    ("target_matchers", &[]),
    ("equal", &[]),
    ("time_intervals", &[]),
    ("times", &[]),
    ("weekdays", &[]),
    ("days_of_month", &[]),
    ("months", &[]),
    ("years", &[]),
    ("location", &[]),
    ("templates", &[]),
];

/// Tables whose keys people choose: nothing is a default there.
const NAMED: &[&str] = &["labels", "external_labels", "annotations"];

/// What stands where a daemon hides a value.
const HIDDEN: &str = "<secret>";

/// Reads a document as values; YAML holds JSON.
pub(super) fn read(text: &str) -> Result<Value, String> {
    let options = serde_saphyr::options! { with_snippet: false, budget: None };
    serde_saphyr::from_str_with_options(text, options).map_err(|e| e.to_string())
}

/// The first difference, as `route.routes[2].receiver: "pager" is "mail"`; `None` where the
/// daemon runs ours.
pub(super) fn difference(ours: &Value, theirs: &Value) -> Option<String> {
    compare("", "", ours, theirs)
}

fn compare(path: &str, key: &str, ours: &Value, theirs: &Value) -> Option<String> {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => tables(path, key, ours, theirs),
        (Value::Array(ours), Value::Array(theirs)) => {
            if ours.len() != theirs.len() {
                return Some(format!("{path} has {} entries, {} run", ours.len(), theirs.len()));
            }
            let mut pairs = ours.iter().zip(theirs).enumerate();
            pairs.find_map(|(at, (a, b))| compare(&format!("{path}[{at}]"), key, a, b))
        }
        // The short form of a list of one.
        (one, Value::Array(many)) if !is_nothing(one) && many.len() == 1 => {
            many.first().and_then(|other| compare(path, key, one, other))
        }
        (a, b) if is_nothing(a) && is_nothing(b) => None,
        (a, b) if same(key, a, b) => None,
        (a, b) => Some(format!("{path} is {b} and should be {a}")),
    }
}

fn tables(path: &str, key: &str, ours: &Map<String, Value>, theirs: &Map<String, Value>) -> Option<String> {
    let inside = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let find = |name: &str| {
        // Alertmanager writes the names of mail headers its own way.
        let other = || theirs.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v);
        theirs.get(name).or_else(|| (key == "headers").then(other).flatten())
    };
    for (name, value) in ours {
        let difference = match find(name) {
            Some(other) => compare(&inside(name), name, value, other),
            None if is_nothing(value) || is_default(name, value) => None,
            None => Some(format!("{} is missing", inside(name))),
        };
        if difference.is_some() {
            return difference;
        }
    }
    theirs
        .iter()
        .filter(|(name, _)| !ours.contains_key(*name))
        .find(|(name, value)| {
            !is_nothing(value) && (NAMED.contains(&key) || (is_ours(name) && !is_default(name, value)))
        })
        .map(|(name, value)| format!("{} is {value} and should not be there", inside(name)))
}

fn is_ours(name: &str) -> bool {
    DEFAULTS.iter().any(|(known, _)| *known == name)
}

fn is_default(name: &str, value: &Value) -> bool {
    let defaults = DEFAULTS.iter().find(|(known, _)| *known == name).map(|(_, values)| *values);
    defaults.is_some_and(|values| values.iter().any(|d| text(value).as_deref() == Some(*d)))
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(table) => table.is_empty(),
        _ => false,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

/// Two ways to write one value.
fn same(key: &str, ours: &Value, theirs: &Value) -> bool {
    if let (Value::Number(a), Value::Number(b)) = (ours, theirs) {
        return a.as_f64() == b.as_f64();
    }
    let (Some(a), Some(b)) = (text(ours), text(theirs)) else { return ours == theirs };
    a == b
        || b == HIDDEN
        || matches!((Duration::from_str(&a), Duration::from_str(&b)), (Ok(a), Ok(b)) if a == b)
        || (key.ends_with("matchers")
            && matches!((Matcher::parse(&a), Matcher::parse(&b)), (Ok(a), Ok(b)) if a == b))
        || ((key.ends_with("_file") || key == "rule_files" || key == "templates") && same_file(&a, &b))
}

/// Daemons join relative paths to the folder of their configuration.
fn same_file(ours: &str, theirs: &str) -> bool {
    let mut ours = ours.trim_start_matches("./");
    while let Some(rest) = ours.strip_prefix("../") {
        ours = rest;
    }
    theirs.strip_suffix(ours).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "
global: { scrape_interval: 15s, external_labels: { environment: prod } }
route: { receiver: mail, routes: [{ receiver: pager, matchers: ['severity=\"critical\"'], continue: true }] }
receivers:
- name: mail
  email_configs: [{ to: a@b, headers: { subject: hi } }]
- name: pager
  webhook_configs: [{ url: 'https://pager.example.com' }]
rule_files: [rules/*.yml]
";

    /// As a daemon prints it: defaults, other spellings, a secret hidden.
    const THEIRS: &str = "
global: { scrape_interval: 15s, evaluation_interval: 1m, external_labels: { environment: prod }, smtp_hello: localhost }
route:
  receiver: mail
  continue: false
  routes: [{ receiver: pager, matchers: ['severity = \"critical\"'], continue: true }]
receivers:
- name: mail
  email_configs: [{ to: a@b, send_resolved: false, headers: { Subject: hi, To: a@b } }]
- name: pager
  webhook_configs: [{ url: <secret>, max_alerts: 0 }]
rule_files: [run/prod/live/prometheus/rules/*.yml]
new_in_a_later_version: { x: 1 }
";

    fn with(theirs: &str) -> Option<String> {
        difference(&read(OURS).unwrap(), &read(theirs).unwrap())
    }

    #[test]
    fn defaults_spellings_and_hidden_values_are_no_difference() {
        assert_eq!(with(THEIRS), None);
        assert_eq!(with(&THEIRS.replace("15s", "15000ms")), None);
    }

    #[test]
    fn every_lie_is_seen() {
        for (from, to, seen) in [
            ("scrape_interval: 15s", "scrape_interval: 30s", "global.scrape_interval"),
            ("environment: prod", "environment: prod, extra: x", "global.external_labels.extra"),
            ("environment: prod", "environment: dev", "global.external_labels.environment"),
            ("severity = \"critical\"", "severity=~\"critical\"", "route.routes[0].matchers[0]"),
            ("continue: true }]", "continue: true }, { receiver: pager }]", "route.routes has 1 entries"),
            ("continue: false", "continue: false\n  group_wait: 10s", "route.group_wait"),
            ("continue: true", "continue: true, mute_time_intervals: [night]", "mute_time_intervals"),
            ("continue: true", "continue: false", "route.routes[0].continue"),
            ("- name: pager", "- name: other", "receivers[1].name"),
            ("smtp_hello: localhost", "smtp_hello: elsewhere", "global.smtp_hello"),
            ("new_in", "inhibit_rules: [{ equal: [x] }]\nnew_in", "inhibit_rules"),
            ("rules/*.yml", "other/*.yml", "rule_files[0]"),
        ] {
            assert!(THEIRS.contains(from), "{from}");
            let found = with(&THEIRS.replace(from, to)).unwrap_or_default();
            assert!(found.contains(seen), "{to}: {found}");
        }
    }

    #[test]
    fn what_they_lost_is_seen() {
        let theirs = THEIRS.replace("rule_files: [run/prod/live/prometheus/rules/*.yml]", "");
        assert_eq!(with(&theirs).unwrap(), "rule_files is missing");
    }
}
