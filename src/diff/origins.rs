//! Where a bundle's values were written. It stands in the record beside the bundle and not in
//! it, so that a comment that moves a line does not change the bundle.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::diagnostic::Path;
use crate::profile::Profile;
use crate::profile::layers::Sources;
use crate::profile::node::{Node, Value};
use crate::stack::change::Change;
use crate::stack::{Source, Stack};

/// The lines of all values of a bundle.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Origins {
    /// The layers in merge order; places name them by number.
    files: Vec<String>,
    /// The merged settings, with its place instead of each value.
    lines: Lines,
    /// What `enable = false` took out, by path, and where that is said.
    removed: BTreeMap<String, At>,
    /// The line of each rule of a rule file, in its order.
    rules: BTreeMap<String, Vec<u32>>,
    /// The plugin that a value is from, and why, by path: the manifest has these.
    #[serde(skip)]
    plugins: BTreeMap<String, String>,
}

/// A layer and a line in it.
type At = (u16, u32);

/// The key under which a table's own place stands: no key of the language is empty.
const OWN: &str = "";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Lines {
    Value(At),
    Table(BTreeMap<String, Lines>),
}

impl Default for Lines {
    fn default() -> Self {
        Lines::Table(BTreeMap::new())
    }
}

impl Lines {
    fn own(&self) -> Option<At> {
        match self {
            Lines::Value(at) => Some(*at),
            Lines::Table(entries) => entries.get(OWN)?.own(),
        }
    }

    fn get(&self, key: &str) -> Option<&Lines> {
        match self {
            Lines::Value(_) => None,
            Lines::Table(entries) => entries.get(key),
        }
    }
}

impl Origins {
    /// `sources`: the texts of the layers and rule files.
    pub fn of(profile: &Profile, stack: &Stack, sources: &Sources) -> Self {
        let starts: BTreeMap<&str, Vec<usize>> =
            sources.iter().map(|(file, text)| (file.as_str(), line_starts(text))).collect();
        let line = |file: &str, byte: usize| {
            let before = starts.get(file).map_or(0, |starts| starts.partition_point(|start| *start <= byte));
            u32::try_from(before).unwrap_or(u32::MAX)
        };
        let place = |at: &crate::profile::node::At| {
            let file = profile.files.get(usize::from(at.layer)).map_or("", String::as_str);
            (at.layer, line(file, at.range().start))
        };
        let mut rules: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for (_, rule) in stack.rules() {
            if let Source::File { file, range, .. } = &rule.source {
                rules.entry(file.clone()).or_default().push(line(file, range.start));
            }
        }
        Origins {
            files: profile.files.clone(),
            lines: lines(&profile.root, &place),
            removed: profile.removed.iter().map(|(path, at)| (path.to_string(), place(at))).collect(),
            rules,
            plugins: BTreeMap::new(),
        }
    }

    /// Values that plugins changed are theirs; the last one counts.
    pub(super) fn note_plugins(&mut self, changes: &[Change]) {
        let noted = changes.iter().filter_map(|change| Some((change.path()?.to_string(), change.why())));
        self.plugins = noted.collect();
    }

    /// Where the value was written, or else the nearest table around it that was.
    pub fn of_value(&self, path: &Path) -> Option<String> {
        if let Some(plugin) = self.plugins.get(&path.to_string()) {
            return Some(plugin.clone());
        }
        let mut here = &self.lines;
        let mut found = here.own();
        for step in path.segments() {
            // A label or annotation may have been written by its shortcut.
            let Some(next) = here.get(step).or_else(|| {
                let table = match step {
                    "severity" | "component" => "labels",
                    "summary" | "description" | "runbook_url" => "annotations",
                    _ => return None,
                };
                here.get(table)?.get(step)
            }) else {
                break;
            };
            here = next;
            found = here.own().or(found);
        }
        self.show(found?)
    }

    /// Where a thing was switched off.
    pub fn of_removal(&self, path: &Path) -> Option<String> {
        self.show(*self.removed.get(&path.to_string())?)
    }

    /// Where the nth rule of a rule file stands.
    pub fn of_rule(&self, file: &str, nth: usize) -> Option<String> {
        Some(format!("{file}:{}", self.rules.get(file)?.get(nth)?))
    }

    fn show(&self, (layer, line): At) -> Option<String> {
        Some(format!("{}:{line}", self.files.get(usize::from(layer))?))
    }
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1)).collect()
}

fn lines(node: &Node, place: &dyn Fn(&crate::profile::node::At) -> At) -> Lines {
    let Value::Table(table) = &node.value else { return Lines::Value(place(&node.at)) };
    let mut entries: BTreeMap<String, Lines> =
        table.entries.iter().map(|(key, child)| (key.clone(), lines(child, place))).collect();
    if let Some(key) = &node.key {
        entries.insert(OWN.to_owned(), Lines::Value(place(key)));
    }
    Lines::Table(entries)
}
