//! Which plugins run side by side, and which one counts as the later.

use std::collections::BTreeMap;

use crate::diagnostic::{Finding, Path, Place, nearest};
use crate::profile::codes::{M013, M016};
use crate::profile::settings::Plugin;

/// The names of plugins in stages; within one, in the order in which their results are
/// applied: `order`, then the name.
pub fn stages(plugins: &BTreeMap<String, Plugin>) -> (Vec<Vec<String>>, Vec<Finding>) {
    let mut findings = vec![];
    for (name, plugin) in plugins {
        for (index, after) in plugin.after.iter().enumerate().filter(|(_, a)| !plugins.contains_key(*a)) {
            let place = Place::setting(Path::new(["plugins", name, "after"]).join(index));
            let near = nearest(after, plugins.keys().map(String::as_str));
            let label = near.map_or(String::new(), |near| format!("did you mean `{near}`?"));
            findings.push(Finding::error(&M013, place, format!("there is no plugin `{after}`")).label(label));
        }
    }
    let mut waiting: Vec<(&String, &Plugin)> = plugins.iter().collect();
    waiting.sort_by_key(|(name, plugin)| (plugin.order.unwrap_or(0), *name));
    let mut stages: Vec<Vec<String>> = vec![];
    while !waiting.is_empty() {
        let (ready, later): (Vec<_>, Vec<_>) = waiting.iter().partition(|(_, plugin)| {
            !plugin.after.iter().any(|after| waiting.iter().any(|(w, _)| *w == after))
        });
        if ready.is_empty() {
            for (name, _) in &later {
                let place = Place::setting(Path::new(["plugins", name, "after"]));
                let message = format!("`{name}` comes after itself");
                findings.push(Finding::error(&M016, place, message).label("the chain is a circle"));
            }
            break;
        }
        stages.push(ready.into_iter().map(|(name, _)| (*name).clone()).collect());
        waiting = later;
    }
    (stages, findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(plugins: &[(&str, i64, &[&str])]) -> (Vec<Vec<String>>, Vec<Finding>) {
        let plugin = |(name, order, after): &(&str, i64, &[&str])| {
            let after = after.iter().map(|a| (*a).to_owned()).collect();
            ((*name).to_owned(), Plugin { order: Some(*order), after, ..Plugin::default() })
        };
        stages(&plugins.iter().map(plugin).collect())
    }

    #[test]
    fn order_then_name_within_a_stage_and_after_makes_a_later_one() {
        let (stages, findings) = of(&[("c", 0, &[]), ("b", 0, &[]), ("a", 5, &[]), ("z", -9, &["a"])]);
        assert_eq!(stages, [vec!["b", "c", "a"], vec!["z"]]);
        assert!(findings.is_empty());
    }

    #[test]
    fn circles_and_unknown_names_are_said() {
        let (_, findings) = of(&[("a", 0, &["b"]), ("b", 0, &["a"]), ("cc", 0, &["bb"])]);
        let codes: Vec<_> = findings.iter().map(|f| f.code.id).collect();
        assert_eq!(codes, ["M013", "M016", "M016"]);
    }
}
