//! Dashboards exported from Grafana. Values that findings point to are read as they are
//! written, so that their places in the file are known.

use std::ops::Range;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{M402, M403};
use crate::check::metrics::Sources;
use crate::check::promql;
use crate::diagnostic::{Finding, Place};
use crate::render::grafana::DATA_SOURCE;

/// What is looked at of the classic model; everything else is Grafana's affair.
#[derive(Deserialize)]
struct Model<'a> {
    #[serde(borrow)]
    title: Option<&'a RawValue>,
    #[serde(borrow)]
    uid: Option<&'a RawValue>,
    #[serde(borrow)]
    panels: Option<Vec<Panel<'a>>>,
    templating: Option<Templating>,
    #[serde(rename = "__inputs")]
    inputs: Option<Vec<Input>>,
    /// What the API wraps around a model.
    dashboard: Option<IgnoredAny>,
    /// What the resources of schema v2 have.
    #[serde(rename = "apiVersion")]
    api_version: Option<IgnoredAny>,
    spec: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Panel<'a> {
    title: Option<String>,
    #[serde(borrow)]
    datasource: Option<&'a RawValue>,
    #[serde(borrow)]
    targets: Option<Vec<Target<'a>>>,
    /// Those of a collapsed row.
    #[serde(borrow)]
    panels: Option<Vec<Panel<'a>>>,
}

#[derive(Deserialize)]
struct Target<'a> {
    #[serde(borrow)]
    datasource: Option<&'a RawValue>,
    #[serde(borrow)]
    expr: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Templating {
    list: Option<Vec<Variable>>,
}

#[derive(Deserialize)]
struct Variable {
    name: Option<String>,
    r#type: Option<String>,
}

#[derive(Deserialize)]
struct Input {
    name: Option<String>,
}

/// Names by which Grafana knows its own sources, and the stack's.
const SOURCES: [&str; 7] =
    [DATA_SOURCE, "Prometheus", "default", "-- Grafana --", "-- Mixed --", "-- Dashboard --", "grafana"];

/// A dashboard's name for Grafana and for people, each with its place.
pub(super) struct Identity {
    pub(super) uid: Option<(String, Place)>,
    pub(super) title: (String, Place),
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    variables: Vec<String>,
    /// Placeholders that were reported already, where they are declared.
    inputs: Vec<String>,
}

/// Who a dashboard is; `None` where it is none, which is said in `findings`.
pub(super) fn check(
    file: &str,
    text: &str,
    sources: &Sources<'_>,
    findings: &mut Vec<Finding>,
) -> Option<Identity> {
    let mut reader = Reader { file, text, variables: vec![], inputs: vec![] };
    let model: Model<'_> = match serde_json::from_str(text) {
        Ok(model) => model,
        Err(error) => {
            let what = if error.is_data() { "not a dashboard" } else { "not JSON" };
            findings.push(Finding::error(&M402, reader.at(&error), format!("{what}: {error}")));
            return None;
        }
    };
    let whole = || Place::File { file: file.to_owned(), range: 0..text.len().min(1) };
    if model.dashboard.is_some() && model.panels.is_none() {
        let finding = Finding::error(&M402, whole(), "this is what the API returns, not a dashboard");
        findings.push(finding.label("keep only what stands in `dashboard`"));
        return None;
    }
    if model.api_version.is_some() && model.spec.is_some() {
        let message = "this is a dashboard resource (schema v2), which file provisioning does not read";
        findings.push(Finding::error(&M402, whole(), message).label("export it in the classic model"));
        return None;
    }
    let (Some(panels), Some(title)) = (&model.panels, model.title.and_then(|t| reader.string(t))) else {
        let message = "not a dashboard: it has no `title` or no `panels`";
        findings.push(Finding::error(&M402, whole(), message));
        return None;
    };
    for name in model.inputs.iter().flatten().filter_map(|i| i.name.as_ref()) {
        let hole = format!("${{{name}}}");
        if let Some(start) = text.find(&hole) {
            let place = Place::File { file: file.to_owned(), range: start..start + hole.len() };
            findings.push(
                Finding::error(&M402, place, format!("`{hole}` is filled in only by an import by hand"))
                    .label(format!("export without `share externally`, or write the uid `{DATA_SOURCE}`")),
            );
            reader.inputs.push(name.clone());
        }
    }
    let variables = model.templating.unwrap_or_default().list.unwrap_or_default();
    let source = |v: Variable| v.name.filter(|_| v.r#type.as_deref() == Some("datasource"));
    reader.variables = variables.into_iter().filter_map(source).collect();
    reader.panels(panels, sources, findings);
    Some(Identity { uid: model.uid.and_then(|uid| reader.string(uid)), title })
}

impl Reader<'_> {
    fn panels(&self, panels: &[Panel<'_>], sources: &Sources<'_>, findings: &mut Vec<Finding>) {
        for panel in panels {
            let title = panel.title.as_deref().unwrap_or("without title");
            if self.source(title, panel.datasource, findings) {
                for target in panel.targets.iter().flatten() {
                    self.target(title, target, sources, findings);
                }
            }
            self.panels(panel.panels.as_deref().unwrap_or_default(), sources, findings);
        }
    }

    fn target(&self, title: &str, target: &Target<'_>, sources: &Sources<'_>, findings: &mut Vec<Finding>) {
        if !self.source(title, target.datasource, findings) {
            return;
        }
        let Some(raw) = target.expr else { return };
        let Some((expr, place)) = self.string(raw).filter(|(expr, _)| !expr.is_empty()) else { return };
        // The check counts in the query as it reads, the file has it with JSON's escapes.
        let read = Place::File { file: self.file.to_owned(), range: 0..expr.len() };
        for mut finding in promql::check_query(&expr, &read, sources) {
            finding.place = match finding.place {
                Place::File { range, .. } => place.clone().within(written(raw.get(), &range)),
                other => other,
            };
            finding.message = format!("panel `{title}`: {}", finding.message);
            findings.push(finding);
        }
    }

    /// True if the source can be the stack's Prometheus; a foreign one is a finding.
    fn source(&self, title: &str, source: Option<&RawValue>, findings: &mut Vec<Finding>) -> bool {
        let Some(raw) = source else { return true };
        let value: Value = serde_json::from_str(raw.get()).unwrap_or_default();
        let kind = value.get("type").and_then(Value::as_str);
        let Some(uid) = value.get("uid").unwrap_or(&value).as_str() else {
            return kind.is_none_or(|kind| kind == "prometheus");
        };
        let variable = uid.strip_prefix('$').map(|name| name.trim_matches(['{', '}']));
        let known = match variable {
            Some(name) => self.variables.iter().chain(&self.inputs).any(|known| known == name),
            None => SOURCES.contains(&uid),
        };
        if !known {
            let message =
                format!("the panel `{title}` asks the data source `{uid}`, which the stack does not have");
            let finding = Finding::error(&M403, self.place(raw), message);
            findings.push(finding.label(format!("the stack's is `{DATA_SOURCE}`")));
            return false;
        }
        kind.is_none_or(|kind| kind == "prometheus" || kind == "datasource")
    }

    /// A string with the place of what stands between its quotes.
    fn string(&self, raw: &RawValue) -> Option<(String, Place)> {
        let text: String = serde_json::from_str(raw.get()).ok()?;
        let length = raw.get().len();
        Some((text, self.place(raw).within(1..length.saturating_sub(1))))
    }

    /// A raw value is a slice of the file's text.
    fn place(&self, raw: &RawValue) -> Place {
        let start = (raw.get().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        Place::File { file: self.file.to_owned(), range: start..start + raw.get().len() }
    }

    fn at(&self, error: &serde_json::Error) -> Place {
        let before: usize =
            self.text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
        let start = (before + error.column().saturating_sub(1)).min(self.text.len());
        Place::File { file: self.file.to_owned(), range: start..(start + 1).min(self.text.len()) }
    }
}

/// Bytes of a JSON string's value as bytes between its quotes in `raw`.
fn written(raw: &str, value: &Range<usize>) -> Range<usize> {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    let (mut read, mut at) = (0, 0);
    let mut range = None;
    while at < inner.len() {
        if range.is_none() && read >= value.start {
            range = Some(at..at);
        }
        if read >= value.end {
            break;
        }
        let rest = inner.get(at..).unwrap_or_default();
        let (value_bytes, raw_bytes) = character(rest);
        read += value_bytes;
        at += raw_bytes;
    }
    let start = range.map_or(at, |r| r.start);
    start..at.max(start)
}

/// The lengths of the first character of a JSON string: what it means, how it is written.
fn character(rest: &str) -> (usize, usize) {
    let Some(escape) = rest.strip_prefix('\\') else {
        let length = rest.chars().next().map_or(1, char::len_utf8);
        return (length, length);
    };
    let unit = |text: &str| u32::from_str_radix(text.get(1..5)?, 16).ok();
    match unit(escape).filter(|_| escape.starts_with('u')) {
        None => (1, 2),
        // The first half of a pair; the second follows, escaped as well.
        Some(0xD800..=0xDBFF) => (4, 12),
        Some(code) => (char::from_u32(code).map_or(3, char::len_utf8), 6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_a_value_are_found_behind_its_escapes() {
        let raw = r#""a{b=\"é\u00e9\ud83d\ude00\n\"} + foo""#;
        let value: String = serde_json::from_str(raw).unwrap();
        for word in ["a{", "b=", "\"", "é", "é\u{1f600}", "\n", "} ", "foo", "+ foo"] {
            let start = value.find(word).unwrap();
            let found = written(raw, &(start..start + word.len()));
            let again: String = serde_json::from_str(&format!("\"{}\"", &raw[1..][found])).unwrap();
            assert_eq!(again, word);
        }
        assert_eq!(written(raw, &(value.len()..value.len())), raw.len() - 2..raw.len() - 2);
    }
}
