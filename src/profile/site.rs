//! A site: a last layer over its profile, and maybe layers in between that only some sites have.
//! What layers say of it stands in `[matrix.sites.NAME]`, and is kept apart until a profile is
//! merged: then it may change, unset and append like any layer.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diagnostic::{Finding, Place, nearest};

use super::codes::{M003, M013, M014};
use super::layers::{self, Layer, Source, Sources};
use super::node::{Node, Table, Value};
use super::reading::Found;
use super::renumber;
use super::shape::Shapes;

/// What layers say of a site.
#[derive(Debug)]
pub(super) struct Site {
    /// Its tables, in the order of the layers that they stand in.
    pub(super) parts: Vec<Node>,
    files: Vec<String>,
    pub(super) found: Found,
    pub(super) declared: Place,
    pub(super) enabled: bool,
    /// What it extends, beyond what its profile does.
    pub(super) group: Arc<Group>,
}

/// Layers between a profile and a site: those of a region, say. Sites that extend the same share them.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// In merge order.
    pub(super) parts: Vec<Node>,
    pub(super) layers: Vec<String>,
    pub(super) found: Found,
}

/// Takes the tables of sites out of a layer. What is no table stays, to be reported with it.
pub(super) fn take(root: &mut Node, file: &str, sites: &mut BTreeMap<String, Site>) {
    let Some(table) = root
        .table_mut()
        .and_then(|root| root.entries.get_mut("matrix")?.table_mut()?.entries.get_mut("sites")?.table_mut())
    else {
        return;
    };
    let (tables, rest) =
        std::mem::take(&mut table.entries).into_iter().partition(|(_, n)| n.table().is_some());
    table.entries = rest;
    for (name, part) in tables {
        let at = part.key.as_ref().unwrap_or(&part.at).range();
        let site = sites.entry(name).or_insert_with(|| Site {
            parts: vec![],
            files: vec![],
            found: Found::default(),
            declared: Place::File { file: file.to_owned(), range: at },
            enabled: true,
            group: Arc::default(),
        });
        site.parts.push(part);
        site.files.push(file.to_owned());
    }
}

impl Site {
    /// Holds it against the language of a layer.
    pub(super) fn validate(&mut self, shapes: &Shapes, layers: &[Layer]) {
        for (part, file) in self.parts.iter_mut().zip(&self.files) {
            self.found.validate(shapes, (part, shapes.site), file, layers);
            if let Some(table) = part.table_mut()
                && let Some(enable) = table.entries.remove("enable")
            {
                self.enabled = !matches!(enable.value, Value::Bool(false));
            }
        }
    }

    /// Takes out what it extends: the names, and where they stand.
    pub(super) fn take_extends(&mut self) -> Option<(Node, String)> {
        let take = |part: &mut Node| part.table_mut()?.entries.remove("extends");
        let all = self
            .parts
            .iter_mut()
            .zip(&self.files)
            .filter_map(|(part, file)| Some((take(part)?, file.clone())));
        all.last()
    }

    /// Checks what can be checked only against the whole profile.
    pub(super) fn look_up(&mut self, name: &str, root: &Node) {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || !name.chars().all(legal) || name.starts_with('-') || name.ends_with('-') {
            let message = format!("`{name}` can't be the name of a site");
            let finding = Finding::error(&M014, self.declared.clone(), message);
            self.found.findings.push(finding.label("small letters, digits and dashes"));
        }
        let declared: Vec<&str> = names(root);
        for (part, file) in self.parts.iter().zip(&self.files) {
            for (var, node) in part.get("vars").and_then(Node::table).into_iter().flat_map(|t| &t.entries) {
                if declared.contains(&var.as_str()) || node.table().is_some() {
                    continue;
                }
                let at = node.key.as_ref().unwrap_or(&node.at).range();
                let place = Place::File { file: file.clone(), range: at };
                let label = match nearest(var, declared.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("declare it for all sites: [vars] {var} = {{}}"),
                };
                let message = format!("the profile of the site `{name}` declares no variable `{var}`");
                self.found.findings.push(Finding::error(&M013, place, message).label(label));
            }
        }
    }
}

/// The declared variables.
fn names(root: &Node) -> Vec<&str> {
    let vars = root.get("vars").and_then(Node::table);
    vars.into_iter().flat_map(|table| table.entries.keys().map(String::as_str)).collect()
}

/// Reads what sites extend, the same list once.
#[derive(Debug)]
pub(super) struct Groups<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) shapes: &'a Shapes,
    /// The layers of the profile.
    pub(super) layers: &'a [Layer],
    /// The files of all layers, by their number, and their texts.
    pub(super) files: &'a mut Vec<String>,
    pub(super) sources: &'a mut Sources,
    pub(super) known: BTreeMap<Vec<String>, Arc<Group>>,
}

impl Groups<'_> {
    pub(super) fn get(&mut self, extends: Node, file: &str) -> Arc<Group> {
        let Value::Array(items) = &extends.value else { return Arc::default() };
        let names: Vec<String> = items.iter().filter_map(Node::as_str).map(str::to_owned).collect();
        if let Some(group) = self.known.get(&names) {
            return group.clone();
        }
        let group = Arc::new(self.read(extends, file));
        self.known.insert(names, group.clone());
        group
    }

    fn read(&mut self, extends: Node, file: &str) -> Group {
        let at = extends.at.clone();
        let table = Table { entries: BTreeMap::from([("extends".to_owned(), extends)]), ..Table::default() };
        let known = self.layers.iter().map(|layer| layer.name.clone()).collect();
        let (layers, findings, sources) =
            layers::beyond(&Node::new(Value::Table(table), at), file, known, self.source);
        let mut group = Group { found: Found::of(findings), ..Group::default() };
        for mut layer in layers {
            let number = self.files.iter().position(|known| *known == layer.file).unwrap_or(self.files.len());
            if number == self.files.len() {
                self.files.push(layer.file.clone());
            }
            renumber(&mut layer.root, u16::try_from(number).unwrap_or(u16::MAX));
            let found = &mut group.found;
            found.validate(self.shapes, (&mut layer.root, self.shapes.root), &layer.file, self.layers);
            if let Some(table) = layer.root.table_mut() {
                table.entries.remove("extends");
                table.entries.remove("profile");
                if let Some(matrix) = table.entries.remove("matrix") {
                    let range = matrix.key.as_ref().unwrap_or(&matrix.at).range();
                    let place = Place::File { file: layer.file.clone(), range };
                    let message = format!("`{}` is a layer of a site, and has sites of its own", layer.name);
                    let finding = Finding::error(&M003, place, message);
                    found.findings.push(finding.label("only layers of the profile itself declare sites"));
                }
            }
            group.parts.push(layer.root);
            group.layers.push(layer.name);
        }
        for (file, text) in sources {
            if !self.sources.iter().any(|(known, _)| *known == file) {
                self.sources.push((file, text));
            }
        }
        group
    }
}
