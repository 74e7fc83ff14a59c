//! What a build read, so that the next one can see that nothing has changed without reading,
//! merging and checking the profile again.
//!
//! A note per profile and set of options lists every input with its digest. If all are as
//! they were, it names the key under which the store knows the bundle.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::diagnostic::Path;
use crate::engine::{Loaded, Options, lock};
use crate::observe::Snapshot;
use crate::profile::Profile;
use crate::profile::layers::Source as _;
use crate::profile::node::Node;
use crate::project::{self, Project};
use crate::stack::Secrets;

/// The inputs of a build.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Inputs {
    /// Layers, rule files, dashboards and catalogues: SHA-256 by name relative to the project.
    files: BTreeMap<String, String>,
    /// What the patterns of `rules.files` matched.
    patterns: BTreeMap<String, Vec<String>>,
    /// Pins of plugins by file; their settings and limits stand in the layers.
    #[serde(default)]
    pins: BTreeMap<String, Option<String>>,
    /// Pins of images by name, where the profile demands them.
    #[serde(default)]
    images: BTreeMap<String, Option<String>>,
    /// What was observed, by file, where it counts; `None`: there was none.
    #[serde(default)]
    observed: BTreeMap<String, Option<String>>,
    /// Variables as the environment had them.
    vars: BTreeMap<String, Option<String>>,
    /// The secrets that have to be resolved again.
    pub(crate) secrets: Secrets,
    /// Names the bundle in the store's memo.
    pub(crate) key: [u8; 32],
}

/// Names the note: what decides about a build besides its inputs.
pub(crate) fn note(profile: &str, options: &Options) -> [u8; 32] {
    let text = format!("{}\0{:?}\0{profile}", project::engine_identity(), options.oracle);
    Sha256::digest(text).into()
}

impl Inputs {
    pub(crate) fn of(project: &Project, loaded: &Loaded, options: &Options) -> Self {
        let profile = &loaded.profile;
        let texts = &loaded.report.sources;
        let mut files: BTreeMap<_, _> =
            texts.iter().map(|(n, t)| (n.clone(), project.digest_of(n, t))).collect();
        for (name, text) in &loaded.catalogs {
            let name = project.shown(name);
            files.insert(name.clone(), project.digest_of(&name, text));
        }
        let plugins = &profile.settings.plugins;
        for (name, file) in &loaded.plugins {
            if let Some(plugin) = plugins.get(name) {
                files.insert(plugin.file.clone(), file.sha256.clone());
            }
        }
        let observed = project.shown(&Snapshot::file(&profile.name));
        let seen = files.remove(&observed);
        let patterns = &profile.settings.rules.files;
        let mut observed =
            if plugins.is_empty() { BTreeMap::new() } else { BTreeMap::from([(observed, seen)]) };
        if profile.site.is_some() {
            // A file that gets the site's name is a clash.
            observed.insert(project.file(&profile.name), None);
        }
        let fixed = |name: &str| profile.root.get("vars").and_then(|vars| vars.get(name)?.as_str()).is_some();
        let vars = profile.vars.keys().filter(|name| !fixed(name));
        let mut inputs = Inputs {
            files,
            patterns: patterns.iter().map(|p| (p.clone(), project.names_of(p))).collect(),
            observed,
            pins: pins(project, plugins.values().map(|plugin| &plugin.file)),
            images: lock::pinned(project, lock::demanded(profile)),
            vars: vars.map(|name| (name.clone(), options.environment.var(name))).collect(),
            // Known once the profile is resolved; they follow from the files and variables.
            secrets: Secrets::default(),
            key: [0; 32],
        };
        inputs.key = inputs.named(profile, options);
        inputs
    }

    /// Every file that was read, by name, with its digest.
    pub(crate) fn digests(&self) -> BTreeMap<&str, &str> {
        let seen = self.observed.iter().filter_map(|(name, digest)| Some((name, digest.as_ref()?)));
        self.files.iter().chain(seen).map(|(name, digest)| (name.as_str(), digest.as_str())).collect()
    }

    /// The key of these inputs. What a layer says of other sites is none of this site's, so there
    /// what came out of all layers counts, not their texts: only the lines of values may be
    /// those of an earlier text then.
    fn named(&self, profile: &Profile, options: &Options) -> [u8; 32] {
        let mut text = serde_json::to_value(self).unwrap_or_default();
        if profile.site.is_some()
            && let Some(files) = text.get_mut("files").and_then(serde_json::Value::as_object_mut)
        {
            files.retain(|name, _| !profile.files.contains(name));
            let mut finals = vec![];
            final_keys(&profile.root, &Path::root(), &mut finals);
            let merged = (profile.root.to_json(), finals, &profile.layers, &profile.vars);
            text = serde_json::json!([text, merged]);
        }
        let salt = note(&profile.name, options);
        Sha256::new().chain_update(salt).chain_update(text.to_string()).finalize().into()
    }

    /// True where every input is as it was.
    pub(crate) fn unchanged(&self, project: &Project, options: &Options) -> bool {
        self.vars.iter().all(|(name, value)| options.environment.var(name) == *value)
            && self.pins == pins(project, self.pins.keys())
            && self.images == lock::pinned(project, self.images.keys())
            && self.patterns.iter().all(|(pattern, names)| project.names_of(pattern) == *names)
            && self.observed.iter().all(|(name, digest)| project.digest(name) == *digest)
            && self.files.iter().all(|(name, digest)| project.digest(name).as_ref() == Some(digest))
    }
}

/// What plugins may not change.
fn final_keys(node: &Node, path: &Path, found: &mut Vec<String>) {
    let Some(table) = node.table() else { return };
    found.extend(table.finals.keys().map(|key| path.join(key).to_string()));
    for (key, node) in &table.entries {
        final_keys(node, &path.join(key), found);
    }
}

fn pins<'f>(project: &Project, files: impl Iterator<Item = &'f String>) -> BTreeMap<String, Option<String>> {
    let mut files = files.peekable();
    match files.peek() {
        None => BTreeMap::new(),
        Some(_) => crate::engine::plugins::pinned(project, files),
    }
}
