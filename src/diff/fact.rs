//! What is known about a thing, by field: the one form in which everything is compared.

use std::collections::{BTreeMap, HashMap};

use crate::diagnostic::Path;
use crate::profile::text::Text;

use super::Field;

/// A value, as people write it, and the setting that says it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fact {
    pub field: String,
    pub text: String,
    pub path: Path,
}

/// All that is known about one thing, in the order in which it is told.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Facts {
    /// The setting of the thing itself.
    pub at: Path,
    pub list: Vec<Fact>,
    /// The place of all of it, where that is no setting: a rule of a rule file.
    pub origin: Option<String>,
}

impl Facts {
    pub(super) fn of(at: &Path) -> Self {
        Facts { at: at.clone(), ..Facts::default() }
    }

    /// A value that stands at `at.field`, where `field` may have dots.
    pub(super) fn add(&mut self, field: &str, text: impl ToString) {
        let path = field.split('.').fold(self.at.clone(), |path, step| path.join(step));
        self.add_at(field, text, path);
    }

    pub(super) fn add_at(&mut self, field: impl Into<String>, text: impl ToString, path: Path) {
        self.list.push(Fact { field: field.into(), text: text.to_string(), path });
    }

    pub(super) fn some<T: ToString>(&mut self, field: &str, value: Option<T>) {
        if let Some(value) = value {
            self.add(field, value);
        }
    }

    pub(super) fn list(&mut self, field: &str, items: &[String]) {
        if !items.is_empty() {
            self.add(field, items.join(", "));
        }
    }

    pub(super) fn flag(&mut self, field: &str, value: bool) {
        if value {
            self.add(field, "true");
        }
    }

    pub(super) fn table<T>(&mut self, field: &str, table: &BTreeMap<String, T>, text: impl Fn(&T) -> String) {
        for (key, value) in table {
            let path = field.split('.').fold(self.at.clone(), |path, step| path.join(step)).join(key);
            self.add_at(format!("{field}.{key}"), text(value), path);
        }
    }

    pub(super) fn texts(&mut self, field: &str, table: &BTreeMap<String, Text>) {
        self.table(field, table, Text::reference);
    }

    pub(super) fn get(&self, field: &str) -> Option<&str> {
        self.list.iter().find(|fact| fact.field == field).map(|fact| fact.text.as_str())
    }
}

/// The fields in which two things differ, in the order of the new one; what is gone comes last.
pub(super) fn fields(old: &Facts, new: &Facts, origin: &dyn Fn(&Path) -> Option<String>) -> Vec<Field> {
    let before: HashMap<&str, &Fact> = old.list.iter().map(|fact| (fact.field.as_str(), fact)).collect();
    let after: HashMap<&str, &Fact> = new.list.iter().map(|fact| (fact.field.as_str(), fact)).collect();
    let changed = new.list.iter().filter_map(|fact| {
        let old = before.get(fact.field.as_str()).map(|fact| &fact.text);
        (old != Some(&fact.text)).then(|| (fact, old.cloned(), Some(fact.text.clone())))
    });
    let gone = old.list.iter().filter(|fact| !after.contains_key(fact.field.as_str()));
    let gone = gone.map(|fact| (fact, Some(fact.text.clone()), None));
    let field = |(fact, old, new_text): (&Fact, _, _)| Field {
        field: fact.field.clone(),
        channel: None,
        old,
        new: new_text,
        origin: new.origin.clone().or_else(|| origin(&fact.path)),
    };
    changed.chain(gone).map(field).collect()
}
