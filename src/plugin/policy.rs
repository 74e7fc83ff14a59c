//! Policy plugins: what they find, as findings of monprov's own.

use std::collections::HashMap;

use crate::diagnostic::{Finding, Path, Place, Severity};
use crate::profile::Profile;
use crate::stack::change::Editor;
use crate::stack::{Rule, Stack};

use super::abi::policy::{self, Level};
use super::codes::M707;
use super::{Plugin, Said, World, abi, ask, clean, document};

/// Lets every policy plugin judge a stack.
pub fn judge(plugins: &[&Plugin], profile: &Profile, stack: &Stack) -> Said {
    let plugins: Vec<&Plugin> = plugins.iter().copied().filter(|plugin| plugin.can(World::Policy)).collect();
    let mut said = Said::default();
    if plugins.is_empty() {
        return said;
    }
    // An editor knows the ids; the stack itself stays as it is.
    let mut copy = stack.clone();
    let editor = Editor::new(&mut copy);
    let alerts = document::alerts(&editor, profile);
    let text = document::stack(stack);
    let rules = by_origin(&editor);
    let answers = ask(&plugins, |linked, settings| {
        abi::check(linked, abi::Given { settings, alerts: &alerts, seen: &[], stack: &text })
    });
    for (plugin, answer) in plugins.iter().zip(answers) {
        match said.take(plugin, answer) {
            Some(Ok(found)) => {
                said.findings.extend(found.into_iter().map(|found| finding(plugin, found, &rules)));
            }
            Some(Err(failure)) => said.findings.extend(plugin.failed(failure)),
            None => {}
        }
    }
    said
}

fn finding(plugin: &Plugin, found: policy::Finding, rules: &HashMap<String, &Rule>) -> Finding {
    let severity = match found.level {
        Level::Advice => Severity::Advice,
        Level::Warning => Severity::Warning,
        Level::Error => Severity::Error,
    };
    let message = format!("{} ({}, {})", clean(&found.message), plugin.name, clean(&found.code));
    let finding = Finding::new(&M707, severity, place(&found.path, rules), message);
    match found.help.map(|help| clean(&help)).filter(|help| !help.is_empty()) {
        Some(help) => finding.note(help),
        None => finding,
    }
}

/// Alerts by their origin.
fn by_origin<'e>(editor: &'e Editor<'_>) -> HashMap<String, &'e Rule> {
    editor.alerts().map(|(id, _, rule)| (document::origin(id, rule), rule)).collect()
}

/// A path of the profile; of an alert, its origin and a field of it.
fn place(path: &str, rules: &HashMap<String, &Rule>) -> Place {
    if let Some(rule) = rules.get(path) {
        return rule.source.place("alert");
    }
    let ends = path.char_indices().filter(|(_, c)| *c == '.').map(|(at, _)| path.split_at(at));
    let of_alert = ends.rev().find_map(|(origin, field)| Some((rules.get(origin)?, field)));
    match of_alert {
        Some((rule, field)) => rule.source.place(field.trim_start_matches('.')),
        None => Place::setting(Path::parse(path)),
    }
}
