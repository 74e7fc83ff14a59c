//! Text → [`Profile`]: layers, merge, provenance of every value, diagnostics with spans.
//!
//! In the order of the flow: [`layers`] collects texts, [`validate`] holds each layer against
//! the language ([`settings`], compiled into [`shape`]), [`merge`] puts them over each other,
//! [`interpolate`] fills in variables, and what is left decodes into [`settings::Settings`].

pub mod codes;
pub mod interpolate;
pub mod layers;
pub mod matrix;
pub mod merge;
pub mod node;
pub mod provenance;
pub mod settings;
pub mod shape;
pub mod stored;
pub mod text;
pub mod units;
pub mod validate;

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{Finding, Path, Place};

use codes::{M003, M004};
use layers::{Source, Sources};
use node::{At, Node, Value};
use settings::{Runtime, Settings};
use shape::{Shape, ShapeRef, Shapes};

/// A profile: its layers merged, checked against the language and decoded.
#[derive(Debug)]
pub struct Profile {
    pub name: String,
    /// File names of the layers in merge order; the profile itself is last.
    pub files: Vec<String>,
    /// Names of the layers in the same order.
    pub layers: Vec<String>,
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

/// Reads a profile.
pub fn load(name: &str, source: &dyn Source, lookup: Lookup<'_>) -> Loaded {
    let (mut layers, mut findings, sources) = layers::collect(name, source);
    let complete = findings.is_empty();
    let shapes = Shapes::of_settings();
    let files: Vec<String> = layers.iter().map(|l| l.file.clone()).collect();
    let names: Vec<String> = layers.iter().map(|l| l.name.clone()).collect();

    let mut meant = vec![];
    for index in 0..layers.len() {
        let Some((earlier, [layer, ..])) = layers.split_at_mut_checked(index) else { break };
        renumber(&mut layer.root, u16::try_from(index).unwrap_or(u16::MAX));
        let mut report = validate::layer(&shapes, &layer.file, &mut layer.root);
        for (finding, path) in report.wrong {
            let inherited = earlier.iter().rev().find_map(|l| Some((l, find(&l.root, &path)?)));
            if let (Some((layer, node)), Some(finding)) = (inherited, report.findings.get_mut(finding)) {
                let place = Place::File { file: layer.file.clone(), range: node.at.range() };
                finding.related.push((place, format!("{} is inherited from here", node.value.kind())));
            }
        }
        findings.append(&mut report.findings);
        meant.append(&mut report.meant);
    }
    let sound = complete && !findings.iter().any(|f| f.code == &M003);

    let mut merger = merge::Merger::new(&shapes, &files);
    let mut root = Node::new(Value::Table(node::Table::default()), At::new(0, 0..0));
    for layer in layers {
        merger.merge(&mut root, layer.root, shapes.root);
    }
    // What a file says of itself is not inherited, and no part of what is built.
    if let Some(table) = root.table_mut() {
        table.entries.remove("profile");
    }
    findings.append(&mut merger.findings);
    let removed: BTreeMap<Path, At> = merge::prune(&shapes, &mut root).into_iter().collect();

    if sound {
        missing(&shapes, &root, shapes.root, &Path::root(), &meant, &mut findings);
    }
    let mut map = provenance::Map { root, files };
    if !sound {
        return Loaded { profile: None, findings, sources, map: Some(map) };
    }
    let (vars, descriptions) = variables(&map.root, lookup);
    let declared: BTreeSet<String> = keys(&map.root, "secrets").collect();
    let runtime = runtime(&map.root);
    let files_of: BTreeMap<String, BTreeSet<String>> = keys(&map.root, "services")
        .map(|service| {
            let files = map.root.get("services").and_then(|s| s.get(&service));
            let names = files.into_iter().flat_map(|s| keys(s, "secret_files")).collect();
            (service, names)
        })
        .collect();
    let secret_file = |service: &str, file: &str| {
        files_of.get(service)?.contains(file).then(|| runtime.secret_path(name, service, file))
    };
    let scope = interpolate::Scope {
        vars: &vars,
        descriptions: &descriptions,
        secrets: &declared,
        secret_file: &secret_file,
    };
    let mut outcome = interpolate::interpolate(&shapes, &mut map.root, &scope);
    findings.append(&mut outcome.findings);
    if crate::diagnostic::has_errors(&findings) && findings.iter().any(|f| f.code != &codes::M002) {
        return Loaded { profile: None, findings, sources, map: Some(map) };
    }
    let settings = match serde_json::from_value::<Settings>(map.root.to_json()) {
        Ok(settings) => settings,
        Err(error) => {
            findings.push(Finding::error(
                &M003,
                Place::Profile,
                format!("the merged profile does not decode: {error}"),
            ));
            return Loaded { profile: None, findings, sources, map: Some(map) };
        }
    };
    let used = vars.into_iter().filter(|(name, _)| outcome.vars.contains(name));
    let profile = Profile {
        name: name.to_owned(),
        files: map.files.clone(),
        layers: names,
        root: map.root.clone(),
        settings,
        removed,
        vars: used.filter_map(|(name, value)| Some((name, value?))).collect(),
        secrets: outcome.secrets,
    };
    Loaded { profile: Some(profile), findings, sources, map: Some(map) }
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
