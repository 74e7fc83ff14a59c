//! The stack as plugins see it: alerts as records, the rest as a JSON document whose members
//! only grow. Neither holds a secret, nor a name of one.

use serde_json::{Value as Json, json};

use std::collections::BTreeMap;

use crate::check::promql::threshold;
use crate::diagnostic::Path;
use crate::observe::Seen;
use crate::profile::Profile;
use crate::profile::node::Node;
use crate::profile::text::{Piece, Text};
use crate::stack::change::Edit;
use crate::stack::{Group, Rule, Source, Stack};

use super::abi::types::{Alert, Observation, Part, Side};

/// The document; plugins/README.md describes it.
pub(super) fn stack(stack: &Stack) -> String {
    let services = stack.services.values().map(|service| {
        let entry = json!({
            "kind": service.kind, "image": service.image, "version": service.version.map(|v| v.to_string()),
            "port": service.port, "catalog": service.catalog,
        });
        (service.name.clone(), entry)
    });
    let scrapes = stack.scrapes.values().map(|scrape| {
        let entry = json!({
            "job": scrape.job, "service": scrape.service, "interval_s": scrape.interval.as_secs_f64(),
            "labels": scrape.labels, "catalog": scrape.catalog,
        });
        (scrape.name.clone(), entry)
    });
    let channels = stack.receivers.values().map(|receiver| {
        let kinds: Vec<&str> = receiver.integrations.iter().map(|i| i.kind.as_str()).collect();
        (receiver.name.clone(), json!({ "kinds": kinds }))
    });
    let groups = stack.groups.iter().map(|group| {
        json!({
            "name": group.name, "rules": group.rules.len(),
            "interval_s": group.interval.unwrap_or(stack.prometheus.evaluation_interval).as_secs_f64(),
        })
    });
    let document = json!({
        "schema": 1,
        "profile": stack.name,
        "runtime": stack.runtime.name(),
        "services": services.collect::<serde_json::Map<_, _>>(),
        "scrapes": scrapes.collect::<serde_json::Map<_, _>>(),
        "channels": channels.collect::<serde_json::Map<_, _>>(),
        "groups": groups.collect::<Vec<Json>>(),
        "dashboards": stack.dashboards.keys().collect::<Vec<_>>(),
    });
    document.to_string()
}

/// Every alert that is there.
pub(super) fn alerts<'s>(
    all: impl Iterator<Item = (&'s str, &'s Group, &'s Rule)>,
    profile: &Profile,
) -> Vec<Alert> {
    all.map(|(id, group, rule)| alert(id, group, rule, profile)).collect()
}

fn alert(id: &str, group: &Group, rule: &Rule, profile: &Profile) -> Alert {
    let inner = rule.alert();
    let mut labels = group.labels.clone();
    labels.extend(rule.labels().into_iter().map(|(key, value)| (key.to_owned(), value)));
    let fill = |(key, text): (&String, &Text)| (key.clone(), rule.fill(text));
    Alert {
        id: id.to_owned(),
        name: rule.name.clone(),
        group: group.name.clone(),
        expr: rule.expr(),
        parts: parts(&rule.expr),
        threshold: inner.and_then(|alert| alert.threshold).map(|threshold| threshold.0),
        unit: inner.map(|alert| alert.unit.clone()).unwrap_or_default(),
        pending_s: inner.map(|alert| alert.r#for.as_secs_f64()).unwrap_or_default(),
        keep_firing_s: inner.map(|alert| alert.keep_firing_for.as_secs_f64()).unwrap_or_default(),
        severity: labels.get("severity").cloned().unwrap_or_default(),
        labels: labels.into_iter().collect(),
        annotations: inner.map(|alert| alert.annotations.iter().map(fill).collect()).unwrap_or_default(),
        origin: origin(id, rule),
        frozen: match &rule.source {
            Source::Setting(path) => frozen(profile, path),
            Source::File { .. } => vec![],
        },
    }
}

/// What was observed.
pub(super) fn seen(seen: &BTreeMap<String, Seen>) -> Vec<Observation> {
    let observation = |(alert, seen): (&String, &Seen)| Observation {
        alert: alert.clone(),
        fires: match seen.fires {
            threshold::Side::Above => Side::Above,
            threshold::Side::Below => Side::Below,
        },
        samples: seen.samples as f64,
        window_s: seen.window_s,
        max: seen.max,
        quantiles: seen.quantiles.clone(),
        would_fire: seen.would_fire.iter().map(|f| (f.threshold, f.times as f64, f.seconds)).collect(),
    };
    seen.iter().map(observation).collect()
}

/// An expression in parts. Rules hold no secrets.
fn parts(expr: &Text) -> Vec<Part> {
    let part = |piece: &Piece| match piece {
        Piece::Plain(text) => Some(Part::Text(text.clone())),
        Piece::Threshold => Some(Part::Threshold),
        Piece::Secret { .. } => None,
    };
    expr.0.iter().filter_map(part).collect()
}

/// Where an alert was written, without line: its path in the profile, or its file and id.
pub(super) fn origin(id: &str, rule: &Rule) -> String {
    match &rule.source {
        Source::Setting(path) => path.to_string(),
        Source::File { file, .. } => format!("{file}#{id}"),
    }
}

/// What the profile marked final about an alert, named as [`Edit::field`] names it.
fn frozen(profile: &Profile, alert: &Path) -> Vec<String> {
    let mut all = vec![];
    let mut here: Option<&Node> = Some(&profile.root);
    for step in alert.segments() {
        let Some(table) = here.and_then(Node::table) else { return all };
        if table.finals.contains_key(step) {
            return vec!["*".into()];
        }
        here = table.entries.get(step);
    }
    let Some(table) = here.and_then(Node::table) else { return all };
    for key in table.finals.keys() {
        all.push(match key.as_str() {
            "component" => "labels.component".to_owned(),
            "labels" => "labels.*".to_owned(),
            "annotations" => "annotations.*".to_owned(),
            "summary" | "description" | "runbook_url" => format!("annotations.{key}"),
            other => other.to_owned(),
        });
    }
    let labels = table.entries.get("labels").and_then(Node::table);
    all.extend(labels.into_iter().flat_map(|labels| labels.finals.keys()).map(|key| match key.as_str() {
        "severity" => key.clone(),
        other => format!("labels.{other}"),
    }));
    let annotations = table.entries.get("annotations").and_then(Node::table);
    let marks = annotations.into_iter().flat_map(|annotations| annotations.finals.keys());
    all.extend(marks.map(|key| format!("annotations.{key}")));
    all.sort();
    all
}

/// The mark that an edit runs against.
pub(super) fn frozen_by<'a>(marks: &'a [String], edit: &Edit) -> Option<&'a str> {
    let field = match edit {
        Edit::Annotation { name, .. } => format!("annotations.{name}"),
        _ => edit.field(),
    };
    let is_label = matches!(edit, Edit::Label { .. });
    let hit = |mark: &&String| match (mark.as_str(), edit) {
        ("*", _) => true,
        // Without the alert, nothing of it is left as it was.
        (_, Edit::Disable) => true,
        ("labels.*", _) => is_label,
        ("annotations.*", _) => matches!(edit, Edit::Annotation { .. }),
        (mark, _) => mark == field,
    };
    marks.iter().find(hit).map(String::as_str)
}
