//! Policy plugins: what they find, as findings of monprov's own.

use std::collections::HashMap;

use crate::diagnostic::{Finding, Path, Place, Severity};
use crate::profile::Profile;
use crate::stack::{Rule, Stack, change};

use super::abi::policy::{self, Level};
use super::codes::M707;
use super::{Plugin, Said, World, abi, ask, clean, document};

/// Lets every policy plugin judge a stack, while something else looks at it.
pub fn judge<T>(
    plugins: &[&Plugin],
    profile: &Profile,
    stack: &Stack,
    beside: impl FnOnce() -> T,
) -> (Said, T) {
    let plugins: Vec<&Plugin> = plugins.iter().copied().filter(|plugin| plugin.can(World::Policy)).collect();
    let mut said = Said::default();
    if plugins.is_empty() {
        return (said, beside());
    }
    let known = change::alerts(stack);
    let alerts =
        document::alerts(known.iter().map(|(id, group, rule)| (id.as_str(), *group, *rule)), profile);
    let text = document::stack(stack);
    // By their origin.
    let rules = known.iter().map(|(id, _, rule)| (document::origin(id, rule), *rule)).collect();
    let check = |linked: &_, settings: &_| {
        abi::check(linked, abi::Given { settings, alerts: &alerts, seen: &[], stack: &text })
    };
    let (answers, beside) = ask(&plugins, check, beside);
    for (plugin, answer) in plugins.iter().zip(answers) {
        match said.take(plugin, answer) {
            Some(Ok(found)) => {
                said.findings.extend(found.into_iter().map(|found| finding(plugin, found, &rules)));
            }
            Some(Err(failure)) => said.findings.extend(plugin.failed(failure)),
            None => {}
        }
    }
    (said, beside)
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
