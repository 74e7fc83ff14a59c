//! Threshold plugins: what they want changed, held against what the profile grants.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::diagnostic::{Finding, Place};
use crate::observe::Seen;
use crate::profile::Profile;
use crate::profile::settings::Grant;
use crate::profile::text::{Piece, Text};
use crate::profile::units::{Duration, Threshold};
use crate::stack::change::{Added, Change, Edit, Editor};
use crate::stack::{Rule, Source, Stack};

use super::abi::thresholds::{self, Edit as Wanted};
use super::abi::types::{Alert, Part};
use super::codes::{M705, M706};
use super::{Plugin, Said, World, abi, ask, clean, document};

/// Lets the threshold plugins of all stages change a stack. The changes come back in the order
/// in which they were made.
pub fn adjust(
    stages: &[Vec<&Plugin>],
    profile: &Profile,
    seen: &BTreeMap<String, Seen>,
    stack: &mut Stack,
) -> (Vec<Change>, Said) {
    let seen = document::seen(seen);
    let mut said = Said::default();
    let mut changes = vec![];
    let mut editor = Editor::new(stack);
    for stage in stages {
        let plugins: Vec<&Plugin> =
            stage.iter().copied().filter(|plugin| plugin.can(World::Thresholds)).collect();
        if plugins.is_empty() {
            continue;
        }
        let alerts = document::alerts(editor.alerts(), profile);
        let text = document::stack(editor.stack());
        let adjust = |linked: &_, settings: &_| {
            abi::adjust(linked, abi::Given { settings, alerts: &alerts, seen: &seen, stack: &text })
        };
        let (answers, ()) = ask(&plugins, adjust, || ());
        let mut judge = Judge {
            alerts: alerts.iter().map(|a| (a.id.as_str(), a)).collect(),
            made: BTreeMap::new(),
            findings: vec![],
        };
        for (plugin, answer) in plugins.iter().zip(answers) {
            match said.take(plugin, answer) {
                Some(Ok(wanted)) => {
                    for wanted in wanted {
                        if let Some(change) = judge.judge(plugin, wanted, &editor) {
                            editor.apply(&change);
                            changes.push(change);
                        }
                    }
                }
                Some(Err(failure)) => said.findings.extend(plugin.failed(failure)),
                None => {}
            }
        }
        said.findings.append(&mut judge.findings);
    }
    editor.finish();
    (changes, said)
}

/// The field that [`Edit::Disable`] changes.
const ENABLE: &str = "enable";

/// Holds the changes of one stage against grants, marks and each other.
struct Judge<'a> {
    /// As every plugin of the stage saw them.
    alerts: HashMap<&'a str, &'a Alert>,
    /// Who changed what to which value, by alert and field.
    made: BTreeMap<(String, String), (String, String)>,
    findings: Vec<Finding>,
}

impl Judge<'_> {
    fn refuse(&mut self, plugin: &Plugin, alert: &str, why: &str, note: String) {
        let message = format!("the plugin `{}` may not change `{}`: {why}", plugin.name, clean(alert));
        let finding = Finding::error(&M705, Place::Key(plugin.at()), message);
        self.findings.push(if note.is_empty() { finding } else { finding.note(note) });
    }

    /// The change to make; `None` where it is refused, or changes nothing.
    fn judge(&mut self, plugin: &Plugin, wanted: thresholds::Change, editor: &Editor<'_>) -> Option<Change> {
        let id = wanted.alert;
        let grant = grant(&wanted.edit);
        let Some(grant) = grant else {
            let note = "take a newer monprov, or an older release of the plugin".to_owned();
            self.refuse(plugin, &id, "it asks for an edit that this release does not know", note);
            return None;
        };
        if !plugin.may.contains(&grant) {
            let granted: Vec<_> =
                plugin.may.iter().chain([&grant]).map(|g| format!("\"{}\"", g.name())).collect();
            let note = format!("if it may: `may = [{}]` in `plugins.{}`", granted.join(", "), plugin.name);
            self.refuse(plugin, &id, &format!("`{}` is not granted", grant.name()), note);
            return None;
        }
        let reason = clean(&wanted.reason);
        if reason.is_empty() {
            self.refuse(plugin, &id, "it gives no reason", "every change needs one".into());
            return None;
        }
        let known = self.alerts.contains_key(id.as_str());
        if let Wanted::Add(alert) = wanted.edit {
            if known || editor.alert(&id).is_some() {
                self.refuse(plugin, &id, "there is an alert of this name already", String::new());
                return None;
            }
            return match added(&id, alert) {
                Ok(added) => self.made(plugin, id, None, Edit::Add(added), reason),
                Err(why) => {
                    self.refuse(plugin, &id, &why, String::new());
                    None
                }
            };
        }
        let Some(rule) = editor.alert(&id) else {
            if let Some((other, _)) = self.made.get(&(id.clone(), ENABLE.to_owned())).cloned() {
                self.disabled(plugin, &id, &other, &plugin.name);
            } else if !known {
                let names = self.alerts.keys().copied();
                let near = crate::diagnostic::nearest(&id, names);
                let note = near.map_or(String::new(), |near| format!("did it mean `{near}`?"));
                self.refuse(plugin, &id, "there is no such alert", note);
            }
            return None;
        };
        let edit = match edit(rule, wanted.edit) {
            Ok(edit) => edit?,
            Err(why) => {
                self.refuse(plugin, &id, &why, String::new());
                return None;
            }
        };
        let marks = self.alerts.get(id.as_str()).map_or(&[][..], |alert| &alert.frozen);
        if let Some(mark) = document::frozen_by(marks, &edit) {
            let what = if mark == "*" { "all of it" } else { mark };
            self.refuse(plugin, &id, &format!("the profile marked {what} `final`"), String::new());
            return None;
        }
        let origin = match &rule.source {
            Source::Setting(path) => Some(path.to_string()),
            Source::File { .. } => None,
        };
        self.made(plugin, id, origin, edit, reason)
    }

    /// Notes a change, and a conflict with another plugin's of the same stage.
    fn made(
        &mut self,
        plugin: &Plugin,
        alert: String,
        origin: Option<String>,
        edit: Edit,
        reason: String,
    ) -> Option<Change> {
        let (field, value) = (edit.field(), edit.value());
        if let Edit::Disable = edit {
            let of_alert = self.made.iter().filter(|((id, field), _)| *id == alert && field != ENABLE);
            let others: BTreeSet<String> = of_alert.map(|(_, (other, _))| other.clone()).collect();
            others.iter().for_each(|other| self.disabled(plugin, &alert, &plugin.name, other));
        }
        let before = self.made.insert((alert.clone(), field.clone()), (plugin.name.clone(), value.clone()));
        if let Some((other, old)) = before.filter(|(other, old)| *other != plugin.name && *old != value) {
            let message = format!(
                "the plugins `{other}` and `{}` both change `{field}` of `{alert}`: {value} counts, not {old}",
                plugin.name
            );
            let note =
                format!("if one builds on the other: `after = [\"{other}\"]` in `plugins.{}`", plugin.name);
            self.findings.push(Finding::warning(&M706, Place::Key(plugin.at()), message).note(note));
        }
        Some(Change { plugin: plugin.name.clone(), alert, origin, edit, reason })
    }

    /// A conflict: one takes an alert out, and the other changes it.
    fn disabled(&mut self, at: &Plugin, alert: &str, by: &str, changed: &str) {
        if by != changed {
            let message =
                format!("the plugin `{by}` disables `{alert}`, which `{changed}` changes: it stays out");
            self.findings.push(Finding::warning(&M706, Place::Key(at.at()), message));
        }
    }
}

fn grant(wanted: &Wanted) -> Option<Grant> {
    Some(match wanted {
        Wanted::Threshold(_) => Grant::Threshold,
        Wanted::PendingS(_) => Grant::For,
        Wanted::Label((name, _)) if name == "severity" => Grant::Severity,
        Wanted::Label(_) => Grant::Label,
        Wanted::Add(_) => Grant::Add,
        Wanted::Disable => Grant::Disable,
        Wanted::Expr(_) => Grant::Expr,
        Wanted::Annotation(_) => Grant::Annotation,
        Wanted::KeepFiringS(_) => Grant::KeepFiringFor,
        Wanted::Other(_) => return None,
    })
}

/// What a guest wants, as an edit; `None` where it is so already.
fn edit(rule: &Rule, wanted: Wanted) -> Result<Option<Edit>, String> {
    let alert = rule.alert().ok_or("it is no alert")?;
    Ok(match wanted {
        Wanted::Threshold(to) => {
            let from =
                alert.threshold.ok_or("its number is written into the expression, so it has no threshold")?;
            if !to.is_finite() {
                return Err(format!("{to} is no threshold"));
            }
            (from.0 != to).then_some(Edit::Threshold { from, to: Threshold(to) })
        }
        Wanted::PendingS(to) => {
            let (from, to) = (alert.r#for, seconds("for", to)?);
            (from != to).then_some(Edit::For { from, to })
        }
        Wanted::Label((name, to)) => {
            label_name(&name)?;
            let from = rule.labels.get(&name).map(|text| rule.fill(text));
            let to = Some(to).filter(|to| !to.is_empty());
            (from != to).then_some(Edit::Label { name, from, to })
        }
        Wanted::Disable => Some(Edit::Disable),
        Wanted::Expr(parts) => {
            let to = expr(parts, alert.threshold.is_some())?;
            let from = rule.expr.clone();
            (from != to).then_some(Edit::Expr { from, to })
        }
        Wanted::Annotation((name, to)) => {
            label_name(&name)?;
            let from = alert.annotations.get(&name).map(|text| rule.fill(text));
            let to = Some(to).filter(|to| !to.is_empty());
            (from != to).then_some(Edit::Annotation { name, from, to })
        }
        Wanted::KeepFiringS(to) => {
            let (from, to) = (alert.keep_firing_for, seconds("keep_firing_for", to)?);
            (from != to).then_some(Edit::KeepFiringFor { from, to })
        }
        Wanted::Add(_) | Wanted::Other(_) => None,
    })
}

/// Seconds as Prometheus' whole milliseconds.
fn seconds(what: &str, seconds: f64) -> Result<Duration, String> {
    const LONGEST: f64 = 365.0 * 24.0 * 3600.0;
    if (0.0..=LONGEST).contains(&seconds) {
        return Ok(Duration((seconds * 1000.0).round() as u64));
    }
    Err(format!("`{what}` can't be {seconds} seconds"))
}

/// An expression of its parts.
fn expr(parts: Vec<Part>, has_threshold: bool) -> Result<Text, String> {
    let mut pieces: Vec<Piece> = vec![];
    for part in parts {
        match (part, pieces.last_mut()) {
            (Part::Threshold, _) if !has_threshold => {
                return Err("its expression has a threshold, and the alert has none".into());
            }
            (Part::Threshold, _) => pieces.push(Piece::Threshold),
            // So that the same text is the same expression, however it was cut.
            (Part::Text(text), Some(Piece::Plain(before))) => before.push_str(&text),
            (Part::Text(text), _) => pieces.push(Piece::Plain(text)),
        }
    }
    let blank = |piece: &Piece| matches!(piece, Piece::Plain(text) if text.trim().is_empty());
    if pieces.iter().all(blank) {
        return Err("its expression is empty".into());
    }
    Ok(Text(pieces))
}

fn label_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let well_formed = name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit());
    if name.is_empty() || !well_formed || name.starts_with("__") || name == "alertname" {
        return Err(format!("`{}` is no name for a label", clean(name)));
    }
    Ok(())
}

fn added(id: &str, alert: Alert) -> Result<Added, String> {
    if id.is_empty() || clean(id) != id {
        return Err("an alert needs a name, of one line".into());
    }
    let mut labels: BTreeMap<String, String> = alert.labels.into_iter().collect();
    if !alert.severity.is_empty() {
        labels.insert("severity".into(), alert.severity);
    }
    labels.keys().try_for_each(|name| label_name(name))?;
    if alert.threshold.is_some_and(|threshold| !threshold.is_finite()) {
        return Err("its threshold is no number".into());
    }
    let parts = if alert.parts.is_empty() { vec![Part::Text(alert.expr)] } else { alert.parts };
    Ok(Added {
        expr: expr(parts, alert.threshold.is_some())?,
        threshold: alert.threshold.map(Threshold),
        unit: clean(&alert.unit),
        r#for: seconds("for", alert.pending_s)?,
        keep_firing_for: seconds("keep_firing_for", alert.keep_firing_s)?,
        labels,
        annotations: alert.annotations.into_iter().collect(),
    })
}
