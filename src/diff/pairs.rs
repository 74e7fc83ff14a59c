//! Things by name: added, removed, renamed, changed.

use std::collections::HashMap;

use super::fact::{self, Facts};
use super::things::Things;
use super::{Change, Kind, Side};

/// Compares the things of one table. `side`: the new one, which says where it was written.
pub(super) fn compare(old: &Things, new: &Things, side: &Side) -> Vec<Change> {
    let renamed = renamed(old, new);
    let was_renamed = |name: &str| renamed.values().any(|old| *old == name);
    let written = |path: &crate::diagnostic::Path| side.origins.of_value(path);
    let mut changes = vec![];
    for (name, facts) in new {
        let (kind, was) = match (old.get(name), renamed.get(name.as_str())) {
            (Some(before), _) => {
                let fields = fact::fields(before, facts, &written);
                if !fields.is_empty() {
                    changes.push(Change {
                        name: name.clone(),
                        change: Kind::Changed,
                        was: None,
                        origin: None,
                        fields,
                    });
                }
                continue;
            }
            (None, Some(was)) => (Kind::Renamed, Some((*was).to_owned())),
            (None, None) => (Kind::Added, None),
        };
        let fields = if kind == Kind::Added { all(facts, true) } else { vec![] };
        let origin = facts.origin.clone().or_else(|| written(&facts.at));
        changes.push(Change { name: name.clone(), change: kind, was, origin, fields });
    }
    for (name, facts) in old.iter().filter(|(name, _)| !new.contains_key(*name) && !was_renamed(name)) {
        changes.push(Change {
            name: name.clone(),
            change: Kind::Removed,
            was: None,
            origin: side.origins.of_removal(&facts.at),
            fields: all(facts, false),
        });
    }
    changes.sort_by(|a, b| (&a.name, a.change).cmp(&(&b.name, b.change)));
    changes
}

/// All of a thing, as of one that is new or gone.
fn all(facts: &Facts, added: bool) -> Vec<super::Field> {
    let field = |fact: &fact::Fact| {
        let text = Some(fact.text.clone());
        let (old, new) = if added { (None, text) } else { (text, None) };
        super::Field { field: fact.field.clone(), channel: None, old, new, origin: None }
    };
    facts.list.iter().map(field).collect()
}

/// Things of which all but the name stayed, new name → old name. Two that are alike are
/// not told apart, so they count as added and removed.
fn renamed<'a>(old: &'a Things, new: &'a Things) -> HashMap<&'a str, &'a str> {
    type Alike<'a> = HashMap<Vec<(&'a str, &'a str)>, Vec<&'a str>>;
    let alike = |things: &'a Things, others: &Things| {
        let mut alike: Alike<'a> = HashMap::new();
        let only =
            things.iter().filter(|(name, facts)| !others.contains_key(*name) && !facts.list.is_empty());
        for (name, facts) in only {
            let key = facts.list.iter().map(|fact| (fact.field.as_str(), fact.text.as_str())).collect();
            alike.entry(key).or_default().push(name);
        }
        alike
    };
    let gone = alike(old, new);
    let pairs =
        alike(new, old).into_iter().filter_map(|(key, names)| match (names.as_slice(), gone.get(&key)) {
            ([name], Some(was)) => match was.as_slice() {
                [was] => Some((*name, *was)),
                _ => None,
            },
            _ => None,
        });
    pairs.collect()
}
