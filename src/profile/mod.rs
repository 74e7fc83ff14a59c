//! Text → [`Profile`]: layers, merge, provenance of every value, diagnostics with spans.
//!
//! In the order of the flow: [`matrix`] says what there is, [`layers`] collects texts, [`validate`]
//! holds each layer against the language ([`settings`], compiled into [`shape`]), [`merge`] puts
//! them over each other ([`reading`] has the sequence), [`interpolate`] fills in variables, and
//! what is left decodes into [`settings::Settings`].

pub mod codes;
pub mod interpolate;
pub mod layers;
pub mod matrix;
pub mod merge;
pub mod node;
pub mod provenance;
pub mod reading;
pub mod settings;
pub mod shape;
mod site;
pub mod stored;
pub mod text;
pub mod units;
pub mod validate;

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{Finding, Path, Place};

use codes::M004;
use layers::{Source, Sources};
use matrix::Profiles;
use node::{At, Node, Value};
use settings::{Runtime, Settings};
use shape::{Shape, ShapeRef, Shapes};

/// A profile: its layers merged, checked against the language and decoded.
#[derive(Debug)]
pub struct Profile {
    pub name: String,
    /// File names of the layers by their number: in merge order, then those of other sites.
    pub files: Vec<String>,
    /// Names of the layers in merge order; the profile itself is last, or the site.
    pub layers: Vec<String>,
    /// The site that it is for, where it has a matrix.
    pub site: Option<String>,
    /// The merged tree, for places and provenance.
    pub root: Node,
    pub settings: Settings,
    /// What `enable = false` took out, and where that is said.
    pub removed: BTreeMap<Path, At>,
    /// The variables that are used, with their values.
    pub vars: BTreeMap<String, String>,
    /// The secrets that are used.
    pub secrets: BTreeSet<String>,
}

/// A profile as far as it could be read. `profile` is `None` where the findings are such that
/// nothing more can be said.
#[derive(Debug)]
pub struct Loaded {
    pub profile: Option<Profile>,
    pub findings: Vec<Finding>,
    /// The text of every layer by file name.
    pub sources: Sources,
    /// The merged tree and its files, for places, as far as it came to be.
    pub map: Option<provenance::Map>,
}

/// The value of a variable from outside, by name.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads a profile, or a site of one.
pub fn load(name: &str, source: &dyn Source, lookup: Lookup<'_>) -> Loaded {
    Profiles::new(source).load(name, lookup)
}

fn renumber(node: &mut Node, layer: u16) {
    node.at.layer = layer;
    if let Some(key) = &mut node.key {
        key.layer = layer;
    }
    match &mut node.value {
        Value::Table(table) => table.entries.values_mut().for_each(|n| renumber(n, layer)),
        Value::Array(items) => items.iter_mut().for_each(|n| renumber(n, layer)),
        _ => {}
    }
}

fn find<'a>(root: &'a Node, path: &[String]) -> Option<&'a Node> {
    path.iter().try_fold(root, |node, step| node.get(step))
}

fn keys(node: &Node, table: &str) -> impl Iterator<Item = String> {
    node.get(table).and_then(Node::table).into_iter().flat_map(|t| t.entries.keys().cloned())
}

fn runtime(root: &Node) -> Runtime {
    match root.get("stack").and_then(|s| s.get("runtime")).and_then(Node::as_str) {
        Some("process") => Runtime::Process,
        Some("swarm") => Runtime::Swarm,
        Some("kubernetes") => Runtime::Kubernetes,
        _ => Runtime::Compose,
    }
}

type Variables = (BTreeMap<String, Option<String>>, BTreeMap<String, String>);

fn variables(root: &Node, lookup: Lookup<'_>) -> Variables {
    let mut values = BTreeMap::new();
    let mut descriptions = BTreeMap::new();
    for (name, var) in root.get("vars").and_then(Node::table).into_iter().flat_map(|t| &t.entries) {
        if let Some(fixed) = var.as_str() {
            values.insert(name.clone(), Some(fixed.to_owned()));
            continue;
        }
        let text = |key: &str| var.get(key).and_then(Node::as_str).map(str::to_owned);
        values.insert(name.clone(), lookup(name).or_else(|| text("default")));
        if let Some(description) = text("description") {
            descriptions.insert(name.clone(), description);
        }
    }
    (values, descriptions)
}

/// Required keys that no layer sets.
fn missing(
    shapes: &Shapes,
    node: &Node,
    shape: ShapeRef,
    path: &Path,
    meant: &[Vec<String>],
    findings: &mut Vec<Finding>,
) {
    match (&node.value, shapes.get(shape)) {
        (Value::Table(table), Shape::Table(fields)) => {
            for key in fields.required.iter().filter(|k| !table.entries.contains_key(*k)) {
                let full = path.join(key);
                if meant.iter().any(|m| m.iter().map(String::as_str).eq(full.segments())) {
                    continue;
                }
                findings.push(
                    Finding::error(&M004, Place::Key(path.clone()), format!("`{path}` has no `{key}`"))
                        .label(format!("`{key}` is required")),
                );
            }
            for (key, child) in &table.entries {
                if matches!(child.value, Value::Table(_) | Value::Array(_))
                    && let Some(inner) = shapes.field(shape, key)
                {
                    missing(shapes, child, inner, &path.join(key), meant, findings);
                }
            }
        }
        (Value::Table(table), Shape::Named(inner)) => {
            for (key, child) in &table.entries {
                if matches!(child.value, Value::Table(_) | Value::Array(_)) {
                    missing(shapes, child, *inner, &path.join(key), meant, findings);
                }
            }
        }
        (Value::Array(items), Shape::List(inner)) => {
            for (index, child) in items.iter().enumerate() {
                missing(shapes, child, *inner, &path.join(index), meant, findings);
            }
        }
        (_, Shape::Either(forms)) => {
            let fitting = forms.iter().find(|f| {
                matches!(
                    (&node.value, shapes.get(**f)),
                    (Value::Table(_), Shape::Table(_) | Shape::Named(_) | Shape::Either(_))
                        | (Value::Array(_), Shape::List(_) | Shape::Either(_))
                )
            });
            if let Some(form) = fitting {
                missing(shapes, node, *form, path, meant, findings);
            }
        }
        _ => {}
    }
}
