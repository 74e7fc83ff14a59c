//! What plugins change: a value that the manifest keeps, so that a bundle that is read back
//! gets the same changes again without running a plugin.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::diagnostic::Path;
use crate::profile::text::Text;
use crate::profile::units::{Duration, Threshold};

use super::{AlertRule, Group, Rule, RuleKind, Source, Stack, rulefile};

/// A change of one alert by one plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The plugin's name in the profile.
    pub plugin: String,
    /// The alert's id, see [`Editor::alerts`].
    pub alert: String,
    /// The alert's path in the profile, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    pub edit: Edit,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edit {
    Threshold { from: Threshold, to: Threshold },
    For { from: Duration, to: Duration },
    Label { name: String, from: Option<String>, to: Option<String> },
    Add(Added),
    Disable,
    Expr { from: Text, to: Text },
    Annotation { name: String, from: Option<String>, to: Option<String> },
    KeepFiringFor { from: Duration, to: Duration },
}

/// An alert that a plugin adds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Added {
    pub expr: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Threshold>,
    pub unit: String,
    pub r#for: Duration,
    #[serde(default, skip_serializing_if = "Duration::is_zero")]
    pub keep_firing_for: Duration,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

impl Edit {
    /// What it changes, named as in a profile.
    pub fn field(&self) -> String {
        match self {
            Edit::Threshold { .. } => "threshold".into(),
            Edit::For { .. } => "for".into(),
            Edit::Label { name, .. } if name == "severity" => "severity".into(),
            Edit::Label { name, .. } => format!("labels.{name}"),
            Edit::Add(_) | Edit::Disable => "enable".into(),
            Edit::Expr { .. } => "expr".into(),
            // As a profile most often writes them.
            Edit::Annotation { name, .. } => match name.as_str() {
                "summary" | "description" | "runbook_url" => name.clone(),
                _ => format!("annotations.{name}"),
            },
            Edit::KeepFiringFor { .. } => "keep_firing_for".into(),
        }
    }

    /// What the value is now, for people.
    pub fn value(&self) -> String {
        match self {
            Edit::Threshold { to, .. } => to.to_string(),
            Edit::For { to, .. } | Edit::KeepFiringFor { to, .. } => to.to_string(),
            Edit::Label { to, .. } | Edit::Annotation { to, .. } => match to {
                Some(to) => format!("{to:?}"),
                None => "removed".into(),
            },
            Edit::Expr { to, .. } => to.reference(),
            Edit::Add(_) => "added".into(),
            Edit::Disable => "disabled".into(),
        }
    }
}

/// `HighQueue: threshold 100 → 800`
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.alert)?;
        let absent = || "none".to_owned();
        match &self.edit {
            Edit::Threshold { from, .. } => write!(f, "threshold {from} → {}", self.edit.value()),
            Edit::For { from, .. } | Edit::KeepFiringFor { from, .. } => {
                write!(f, "{} {from} → {}", self.edit.field(), self.edit.value())
            }
            Edit::Expr { from, .. } => write!(f, "expr {} → {}", from.reference(), self.edit.value()),
            Edit::Label { from, to, .. } | Edit::Annotation { from, to, .. } => {
                let (from, to) = (from.clone().unwrap_or_else(absent), to.clone().unwrap_or_else(absent));
                write!(f, "{} {from} → {to}", self.edit.field())
            }
            Edit::Add(added) => write!(f, "added, {}", added.expr.reference()),
            Edit::Disable => f.write_str("disabled"),
        }
    }
}

impl Change {
    /// Whose it is, and the reason.
    pub fn why(&self) -> String {
        format!("plugin {}: {}", self.plugin, self.reason)
    }

    /// It adds the alert that has this path, as if it stood in the profile.
    pub fn adds(&self, path: &Path) -> bool {
        matches!(self.edit, Edit::Add(_)) && path.segments().eq(["alerts", &self.alert])
    }

    /// The path in the profile of the value that it changes.
    pub fn path(&self) -> Option<Path> {
        let alert = Path::parse(self.origin.as_deref()?);
        Some(self.edit.field().split('.').fold(alert, |path, step| path.join(step)))
    }
}

/// Id, group and rule by number, in the order of the stack, and where each id stands in that.
type Ids = (Vec<(String, usize, usize)>, HashMap<String, usize>);

/// The alerts of a stack with their ids: the name, or `name@group` where several rules have
/// one name.
fn ids(stack: &Stack) -> Ids {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for (_, rule) in stack.rules().filter(|(_, rule)| rule.alert().is_some()) {
        *counts.entry(&rule.name).or_default() += 1;
    }
    let mut alerts = vec![];
    let mut index = HashMap::new();
    for (g, group) in stack.groups.iter().enumerate() {
        for (r, rule) in group.rules.iter().enumerate().filter(|(_, rule)| rule.alert().is_some()) {
            let alone = counts.get(rule.name.as_str()) == Some(&1);
            let first = if alone { rule.name.clone() } else { format!("{}@{}", rule.name, group.name) };
            let mut id = first.clone();
            let mut n = 2;
            while index.contains_key(&id) {
                id = format!("{first}#{n}");
                n += 1;
            }
            index.insert(id.clone(), alerts.len());
            alerts.push((id, g, r));
        }
    }
    (alerts, index)
}

/// The alerts of a stack with their ids, see [`Editor::alerts`].
pub fn alerts(stack: &Stack) -> Vec<(String, &Group, &Rule)> {
    let found = |(id, g, r): (String, usize, usize)| {
        let group = stack.groups.get(g)?;
        Some((id, group, group.rules.get(r)?))
    };
    ids(stack).0.into_iter().filter_map(found).collect()
}

/// Changes a stack. Alerts keep their ids, whatever is done to them.
#[derive(Debug)]
pub struct Editor<'s> {
    stack: &'s mut Stack,
    /// Group and rule by number, in the order of the stack.
    alerts: Vec<(String, usize, usize)>,
    index: HashMap<String, usize>,
    disabled: BTreeSet<(usize, usize)>,
}

impl<'s> Editor<'s> {
    pub fn new(stack: &'s mut Stack) -> Self {
        let (alerts, index) = ids(stack);
        Editor { stack, alerts, index, disabled: BTreeSet::new() }
    }

    pub fn stack(&self) -> &Stack {
        self.stack
    }

    /// The alerts that are there, with their ids: the name, or `name@group` where several
    /// rules have one name.
    pub fn alerts(&self) -> impl Iterator<Item = (&str, &Group, &Rule)> {
        self.alerts.iter().filter(|(_, g, r)| !self.disabled.contains(&(*g, *r))).filter_map(|(id, g, r)| {
            let group = self.stack.groups.get(*g)?;
            Some((id.as_str(), group, group.rules.get(*r)?))
        })
    }

    pub fn alert(&self, id: &str) -> Option<&Rule> {
        let (_, g, r) = self.alerts.get(*self.index.get(id)?)?;
        if self.disabled.contains(&(*g, *r)) {
            return None;
        }
        self.stack.groups.get(*g)?.rules.get(*r)
    }

    /// Does what a change says. One of an alert that is not there does nothing.
    pub fn apply(&mut self, change: &Change) {
        if let Edit::Add(added) = &change.edit {
            self.add(change, added);
            return;
        }
        let Some((_, g, r)) = self.index.get(&change.alert).and_then(|at| self.alerts.get(*at)) else {
            return;
        };
        let (g, r) = (*g, *r);
        let Some(rule) = self.stack.groups.get_mut(g).and_then(|group| group.rules.get_mut(r)) else {
            return;
        };
        let RuleKind::Alert(alert) = &mut rule.kind else { return };
        match &change.edit {
            Edit::Threshold { to, .. } => alert.threshold = Some(*to),
            Edit::For { to, .. } => alert.r#for = *to,
            Edit::Label { name, to: Some(to), .. } => {
                rule.labels.insert(name.clone(), Text::plain(to));
            }
            Edit::Label { name, to: None, .. } => {
                rule.labels.remove(name);
            }
            Edit::Disable => {
                self.disabled.insert((g, r));
            }
            Edit::Expr { to, .. } => rule.expr = to.clone(),
            Edit::Annotation { name, to: Some(to), .. } => {
                alert.annotations.insert(name.clone(), Text::plain(to));
            }
            Edit::Annotation { name, to: None, .. } => {
                alert.annotations.remove(name);
            }
            Edit::KeepFiringFor { to, .. } => alert.keep_firing_for = *to,
            Edit::Add(_) => {}
        }
    }

    /// Into a group of the plugin's own, the last of all.
    fn add(&mut self, change: &Change, added: &Added) {
        let name = format!("plugin-{}", change.plugin);
        let source = Source::Setting(Path::new(["plugins", &change.plugin]));
        let texts = |table: &BTreeMap<String, String>| {
            table.iter().map(|(key, text)| (key.clone(), Text::plain(text))).collect()
        };
        let rule = Rule {
            kind: RuleKind::Alert(AlertRule {
                threshold: added.threshold,
                unit: added.unit.clone(),
                r#for: added.r#for,
                keep_firing_for: added.keep_firing_for,
                annotations: texts(&added.annotations),
            }),
            name: change.alert.clone(),
            expr: added.expr.clone(),
            labels: texts(&added.labels),
            source: source.clone(),
        };
        let own = |group: &Group| matches!(&group.source, Source::Setting(at) if at.segments().eq(["plugins", &change.plugin]));
        let g = self.stack.groups.iter().position(own).unwrap_or_else(|| {
            let mut taken = self.stack.groups.iter().map(|group| group.file.clone()).collect();
            self.stack.groups.push(Group {
                file: rulefile::file_name(&name, &mut taken),
                name,
                interval: None,
                query_offset: None,
                limit: None,
                labels: BTreeMap::new(),
                rules: vec![],
                source,
            });
            self.stack.groups.len() - 1
        });
        let Some(group) = self.stack.groups.get_mut(g) else { return };
        group.rules.push(rule);
        self.index.insert(change.alert.clone(), self.alerts.len());
        self.alerts.push((change.alert.clone(), g, group.rules.len() - 1));
    }

    /// Takes out what was disabled, and groups that are empty then.
    pub fn finish(self) {
        for (g, r) in self.disabled.iter().rev() {
            if let Some(group) = self.stack.groups.get_mut(*g) {
                group.rules.remove(*r);
            }
        }
        if !self.disabled.is_empty() {
            self.stack.groups.retain(|group| !group.rules.is_empty());
        }
    }
}

/// Changes that were recorded, once more.
pub fn replay(stack: &mut Stack, changes: &[Change]) {
    let mut editor = Editor::new(stack);
    changes.iter().for_each(|change| editor.apply(change));
    editor.finish();
}
