//! A profile's layers, put over each other: what all its sites share is read, checked and merged
//! once. A site is then a last layer of its own.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{Finding, Path, Place, has_errors};

use super::codes::{M002, M003, M017, M019};
use super::layers::{self, Layer, Source, Sources};
use super::matrix;
use super::node::{At, Node, Table, Value};
use super::provenance::Map;
use super::settings::Settings;
use super::shape::{ShapeRef, Shapes};
use super::site::{self, Groups, Site};
use super::{Loaded, Lookup, Profile, find, interpolate, keys, merge, missing, renumber, validate};

/// A profile, read and merged, as far as that went.
#[derive(Debug)]
pub struct Reading {
    name: String,
    shapes: Shapes,
    /// File names of the layers in merge order, then those that only sites extend.
    files: Vec<String>,
    /// The names of its own.
    layers: Vec<String>,
    sources: Sources,
    root: Node,
    found: Found,
    /// Whether the profile is one of sites, and those by name.
    matrix: bool,
    sites: BTreeMap<String, Site>,
}

/// What was found in some layers.
#[derive(Debug, Default, Clone)]
pub(super) struct Found {
    pub(super) findings: Vec<Finding>,
    /// Keys that were most likely meant.
    meant: Vec<Vec<String>>,
    /// Something could not be read, or had to be taken out.
    unsound: bool,
}

impl Found {
    /// What reading layers gave.
    pub(super) fn of(findings: Vec<Finding>) -> Self {
        Found { unsound: !findings.is_empty(), findings, ..Found::default() }
    }

    fn extend(&mut self, other: &Found) {
        self.findings.extend(other.findings.iter().cloned());
        self.meant.extend(other.meant.iter().cloned());
        self.unsound |= other.unsound;
    }

    /// Holds a layer, or what a layer says of a site, against the language.
    pub(super) fn validate(
        &mut self,
        shapes: &Shapes,
        (node, shape): (&mut Node, ShapeRef),
        file: &str,
        earlier: &[Layer],
    ) {
        let mut report = validate::part(shapes, file, node, shape);
        for (finding, path) in report.wrong {
            let inherited = earlier.iter().rev().find_map(|l| Some((l, find(&l.root, &path)?)));
            if let (Some((layer, node)), Some(finding)) = (inherited, report.findings.get_mut(finding)) {
                let place = Place::File { file: layer.file.clone(), range: node.at.range() };
                finding.related.push((place, format!("{} is inherited from here", node.value.kind())));
            }
        }
        self.unsound |= report.findings.iter().any(|f| f.code == &M003);
        self.findings.append(&mut report.findings);
        self.meant.append(&mut report.meant);
    }
}

impl Reading {
    /// Reads a profile and all that it extends.
    pub fn of(name: &str, source: &dyn Source) -> Self {
        let (mut layers, findings, mut sources) = layers::collect(name, source);
        let mut found = Found::of(findings);
        let shapes = Shapes::of_settings();
        let mut sites: BTreeMap<String, Site> = BTreeMap::new();
        let mut is_matrix = false;
        for index in 0..layers.len() {
            let Some((earlier, [layer, ..])) = layers.split_at_mut_checked(index) else { break };
            renumber(&mut layer.root, u16::try_from(index).unwrap_or(u16::MAX));
            is_matrix |= layer.root.get("matrix").is_some();
            site::take(&mut layer.root, &layer.file, &mut sites);
            found.validate(&shapes, (&mut layer.root, shapes.root), &layer.file, earlier);
        }
        let mut files: Vec<String> = layers.iter().map(|l| l.file.clone()).collect();
        let known = BTreeMap::new();
        let mut groups = Groups {
            source,
            shapes: &shapes,
            layers: &layers,
            files: &mut files,
            sources: &mut sources,
            known,
        };
        for site in sites.values_mut() {
            site.validate(&shapes, &layers);
            if let Some((extends, file)) = site.take_extends() {
                site.group = groups.get(extends, &file);
            }
        }
        let names: Vec<String> = layers.iter().map(|l| l.name.clone()).collect();
        let mut merger = merge::Merger::new(&shapes, &files);
        let mut root = Node::new(Value::Table(Table::default()), At::new(0, 0..0));
        for layer in layers {
            merger.merge(&mut root, layer.root, shapes.root);
        }
        found.findings.append(&mut merger.findings);
        // What a file says of itself is not inherited, and no part of what is built.
        if let Some(table) = root.table_mut() {
            table.entries.remove("profile");
            table.entries.remove("matrix");
        }
        sites.retain(|_, site| site.enabled);
        for (name, site) in &mut sites {
            site.look_up(name, &root);
        }
        let (name, layers) = (name.to_owned(), names);
        Reading { name, shapes, files, layers, sources, root, found, matrix: is_matrix, sites }
    }

    /// The names of its sites; `None` where it is a profile of its own.
    pub fn sites(&self) -> Option<impl Iterator<Item = &str>> {
        self.matrix.then(|| self.sites.keys().map(String::as_str))
    }

    /// Where a site is declared first.
    pub(super) fn declared(&self, site: &str) -> Option<Place> {
        Some(self.sites.get(site)?.declared.clone())
    }

    /// Whether what all sites share is wrong.
    pub fn is_broken(&self) -> bool {
        self.found.unsound || has_errors(&self.found.findings)
    }

    /// The profile, or one of its sites.
    pub fn load(&self, site: Option<&str>, lookup: Lookup<'_>) -> Loaded {
        let shapes = &self.shapes;
        let mut found = self.found.clone();
        let mut root = self.root.clone();
        let mut name = self.name.clone();
        let mut layers = self.layers.clone();
        if let Some((site, this)) = site.and_then(|site| Some((site, self.sites.get(site)?))) {
            name = matrix::name(&self.name, site);
            layers.extend(this.group.layers.iter().cloned().chain([name.clone()]));
            found.extend(&this.group.found);
            found.extend(&this.found);
            let mut merger = merge::Merger::new(shapes, &self.files);
            for part in this.group.parts.iter().chain(&this.parts) {
                merger.merge(&mut root, part.clone(), shapes.root);
            }
            found.findings.append(&mut merger.findings);
        }
        let Found { mut findings, meant, unsound } = found;
        if self.matrix && site.is_none() {
            // That there is none may be the echo of a table that could not be read.
            findings.extend(Some(self.name_a_site()).filter(|_| !unsound || !self.sites.is_empty()));
            let map = Map { root, files: self.files.clone() };
            return Loaded { profile: None, findings, sources: self.sources.clone(), map: Some(map) };
        }
        let removed: BTreeMap<Path, At> = merge::prune(shapes, &mut root).into_iter().collect();
        if !unsound {
            missing(shapes, &root, shapes.root, &Path::root(), &meant, &mut findings);
        }
        let sources = self.sources.clone();
        let mut map = Map { root, files: self.files.clone() };
        if unsound {
            return Loaded { profile: None, findings, sources, map: Some(map) };
        }
        let (vars, descriptions) = super::variables(&map.root, lookup);
        let declared: BTreeSet<String> = keys(&map.root, "secrets").collect();
        let runtime = super::runtime(&map.root);
        let files_of: BTreeMap<String, BTreeSet<String>> = keys(&map.root, "services")
            .map(|service| {
                let files = map.root.get("services").and_then(|s| s.get(&service));
                let names = files.into_iter().flat_map(|s| keys(s, "secret_files")).collect();
                (service, names)
            })
            .collect();
        let secret_file = |service: &str, file: &str| {
            files_of.get(service)?.contains(file).then(|| runtime.secret_path(&name, service, file))
        };
        let scope = interpolate::Scope {
            vars: &vars,
            descriptions: &descriptions,
            secrets: &declared,
            secret_file: &secret_file,
            site,
        };
        let mut outcome = interpolate::interpolate(shapes, &mut map.root, &scope);
        findings.append(&mut outcome.findings);
        if has_errors(&findings) && findings.iter().any(|f| f.code != &M002) {
            return Loaded { profile: None, findings, sources, map: Some(map) };
        }
        let settings = match serde_json::from_value::<Settings>(map.root.to_json()) {
            Ok(settings) => settings,
            Err(error) => {
                let message = format!("the merged profile does not decode: {error}");
                findings.push(Finding::error(&M003, Place::Profile, message));
                return Loaded { profile: None, findings, sources, map: Some(map) };
            }
        };
        let used = vars.into_iter().filter(|(name, _)| outcome.vars.contains(name));
        let profile = Profile {
            name,
            files: map.files.clone(),
            layers,
            site: site.map(str::to_owned),
            root: map.root.clone(),
            settings,
            removed,
            vars: used.filter_map(|(name, value)| Some((name, value?))).collect(),
            secrets: outcome.secrets,
        };
        Loaded { profile: Some(profile), findings, sources, map: Some(map) }
    }

    /// Why a profile of sites is not built itself.
    fn name_a_site(&self) -> Finding {
        let name = &self.name;
        let names: Vec<String> = self.sites.keys().map(|site| matrix::name(name, site)).collect();
        let at = Place::Profile;
        if names.is_empty() {
            return Finding::error(&M019, at, format!("`{name}` has a [matrix], and no site in it"))
                .note("declare one, [matrix.sites.NAME], or remove the table");
        }
        Finding::error(&M017, at, format!("`{name}` stands for {}: name one", matrix::count(names.len())))
            .note(matrix::some(&names))
            .note(format!("`build {name}`, `check {name}` and `path {name}` take all of them"))
    }
}
