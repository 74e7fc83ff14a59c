//! Layers, one over the other: tables merge, everything else is replaced.

use crate::diagnostic::{Finding, Path, Place};

use super::codes::{M008, M009};
use super::node::{At, Node, Table, Value};
use super::shape::{ShapeRef, Shapes};

/// Merges layers into one tree.
#[derive(Debug)]
pub struct Merger<'a> {
    pub shapes: &'a Shapes,
    /// File names by layer number, for the places of findings.
    pub files: &'a [String],
    pub findings: Vec<Finding>,
    path: Vec<String>,
}

impl<'a> Merger<'a> {
    pub fn new(shapes: &'a Shapes, files: &'a [String]) -> Self {
        Merger { shapes, files, findings: vec![], path: vec![] }
    }

    fn place(&self, at: &At) -> Place {
        let file = self.files.get(usize::from(at.layer)).cloned().unwrap_or_default();
        Place::File { file, range: at.range() }
    }

    /// Puts `over` on `base`.
    pub fn merge(&mut self, base: &mut Node, over: Node, shape: ShapeRef) {
        match (&mut base.value, over.value) {
            (Value::Table(old), Value::Table(new)) if !self.shapes.is_atomic(shape) => {
                self.tables(old, new, shape);
                if over.at.span.start != over.at.span.end {
                    base.at = over.at;
                    base.key = over.key.or(base.key.take());
                }
            }
            (_, value) => {
                let new = Node { value, at: over.at, key: over.key, past: vec![] };
                let mut old = std::mem::replace(base, new);
                base.past = std::mem::take(&mut old.past);
                base.past.push(old);
            }
        }
    }

    fn tables(&mut self, old: &mut Table, mut new: Table, shape: ShapeRef) {
        let unset = new.entries.remove("unset");
        let finals = new.entries.remove("final");
        for name in names(unset.as_ref()) {
            self.unset(old, name);
        }
        for (key, node) in new.entries {
            if let Some(list) = key
                .strip_suffix("_append")
                .filter(|k| self.shapes.field(shape, &key).is_none() && self.shapes.field(shape, k).is_some())
            {
                if self.may_change(old, list, &node) {
                    self.append(old, list, node);
                }
                continue;
            }
            if !self.may_change(old, &key, &node) {
                continue;
            }
            let Some(inner) = self.shapes.field(shape, &key) else { continue };
            self.path.push(key.clone());
            match old.entries.get_mut(&key) {
                Some(base) => self.merge(base, node, inner),
                None => {
                    let node = self.fresh(node, inner);
                    old.entries.insert(key, node);
                }
            }
            self.path.pop();
        }
        for name in names(finals.as_ref()) {
            if let (Some(key), at) = (name.as_str(), name.at.clone()) {
                old.finals.insert(key.to_owned(), at);
            }
        }
    }

    /// A table that replaces nothing may still hold `final` and `unset`.
    fn fresh(&mut self, mut node: Node, shape: ShapeRef) -> Node {
        if let Value::Table(table) = &mut node.value
            && !self.shapes.is_atomic(shape)
        {
            let mut empty = Table::default();
            self.tables(&mut empty, std::mem::take(table), shape);
            node.value = Value::Table(empty);
        }
        node
    }

    fn may_change(&mut self, table: &Table, key: &str, node: &Node) -> bool {
        let Some(said) = table.finals.get(key) else { return true };
        let place = self.place(node.key.as_ref().unwrap_or(&node.at));
        let said = self.place(said);
        self.findings.push(
            Finding::error(&M009, place, format!("`{}` is final", self.name(key)))
                .label("may not be changed here")
                .related(said, "declared final here"),
        );
        false
    }

    fn name(&self, key: &str) -> String {
        self.path.iter().fold(Path::root(), |p, s| p.join(s)).join(key).to_string()
    }

    fn append(&mut self, table: &mut Table, key: &str, node: Node) {
        let Value::Array(items) = node.value else { return };
        let Some(base) = table.entries.get_mut(key) else {
            let place = self.place(node.key.as_ref().unwrap_or(&node.at));
            let name = self.name(key);
            self.findings.push(
                Finding::error(&M008, place, format!("no earlier layer has the list `{name}`"))
                    .label(format!("write `{key}` to set it")),
            );
            return;
        };
        let old = base.clone();
        match &mut base.value {
            Value::Array(list) => list.extend(items),
            // One of a thing, where a list is allowed too.
            _ => {
                base.value =
                    Value::Array([vec![Node::new(old.value.clone(), old.at.clone())], items].concat())
            }
        }
        base.past.push(Node { past: vec![], ..old });
        base.at = node.at;
    }

    fn unset(&mut self, table: &mut Table, name: &Node) {
        let Some(text) = name.as_str() else { return };
        let path = Path::parse(text);
        let mut steps = path.segments().peekable();
        let mut here = table;
        while let Some(step) = steps.next() {
            if steps.peek().is_none() {
                if !self.may_change(here, step, name) || here.entries.remove(step).is_some() {
                    return;
                }
                break;
            }
            match here.entries.get_mut(step).and_then(Node::table_mut) {
                Some(inner) => here = inner,
                None => break,
            }
        }
        let place = self.place(&name.at);
        let full = self.path.iter().map(String::as_str).chain([text]).collect::<Vec<_>>().join(".");
        self.findings.push(
            Finding::error(&M008, place, format!("no earlier layer has `{full}`")).label("nothing to delete"),
        );
    }
}

fn names(list: Option<&Node>) -> &[Node] {
    match list.map(|l| &l.value) {
        Some(Value::Array(items)) => items,
        _ => &[],
    }
}

/// Takes out what is switched off; returns where each thing was switched off.
pub fn prune(shapes: &Shapes, root: &mut Node) -> Vec<(Path, At)> {
    let mut removed = vec![];
    prune_in(shapes, root, shapes.root, &Path::root(), &mut removed);
    removed
}

fn prune_in(shapes: &Shapes, node: &mut Node, shape: ShapeRef, path: &Path, removed: &mut Vec<(Path, At)>) {
    match &mut node.value {
        Value::Table(table) => table.entries.retain(|key, child| {
            let Some(inner) = shapes.field(shape, key) else { return true };
            if !matches!(child.value, Value::Table(_) | Value::Array(_)) {
                return true;
            }
            let path = path.join(key);
            if let Some(at) = switched_off(child) {
                removed.push((path, at));
                return false;
            }
            prune_in(shapes, child, inner, &path, removed);
            true
        }),
        Value::Array(items) => {
            if let Some(inner) = shapes.item(shape) {
                items.retain(|item| switched_off(item).is_none());
                for (index, item) in items.iter_mut().enumerate() {
                    prune_in(shapes, item, inner, &path.join(index), removed);
                }
            }
        }
        _ => {}
    }
}

fn switched_off(node: &Node) -> Option<At> {
    let enable = node.table()?.entries.get("enable")?;
    matches!(enable.value, Value::Bool(false)).then(|| enable.at.clone())
}
