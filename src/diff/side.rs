//! One side of a comparison: a bundle read back into the model that it was rendered from.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use crate::bundle::Tree;
use crate::bundle::manifest::{self, Manifest};
use crate::plugin::receivers;
use crate::profile::Profile;
use crate::stack::resolve::{self, Files};
use crate::stack::{Group, Rule, Source, Stack, change, rulefile};

use super::Origins;

/// A bundle, read back.
#[derive(Debug)]
pub struct Side {
    /// What people call it: a store name, or the profile that was just evaluated.
    pub name: String,
    pub tree: Tree,
    pub manifest: Manifest,
    pub stack: Stack,
    pub origins: Origins,
}

/// Why a bundle can't be read back.
#[derive(Debug, thiserror::Error)]
pub enum SideError {
    #[error("{0} has no {file}: it is no bundle of monprov", file = manifest::FILE)]
    NoManifest(String),
    #[error("the manifest of {name} can't be read: {reason}; build the bundle again")]
    Malformed { name: String, reason: String },
    #[error(
        "the manifest of {name} has schema {found}, and this release knows schema {known}; use the release \
         that made it, or build the bundle again",
        known = manifest::SCHEMA
    )]
    Schema { name: String, found: u32 },
}

#[derive(Deserialize)]
struct Versioned {
    schema: u32,
}

impl Side {
    /// Reads a bundle back from its files. `record`: what the engine wrote beside it, if that
    /// is still there; without it no change says where it was made.
    pub fn read(name: &str, tree: Tree, record: Option<&serde_json::Value>) -> Result<Self, SideError> {
        let malformed =
            |e: serde_json::Error| SideError::Malformed { name: name.into(), reason: e.to_string() };
        let text = tree.get(manifest::FILE).ok_or_else(|| SideError::NoManifest(name.into()))?;
        let Versioned { schema } = serde_json::from_slice(&text.content).map_err(malformed)?;
        if schema != manifest::SCHEMA {
            return Err(SideError::Schema { name: name.into(), found: schema });
        }
        let manifest: Manifest = serde_json::from_slice(&text.content).map_err(malformed)?;
        let secrets = manifest.secrets.sources.keys().cloned().collect();
        let profile =
            Profile::stored(&manifest.profile, &manifest.layers, &manifest.settings, &manifest.vars, secrets)
                .map_err(malformed)?;
        // It passed all checks when it was built, so nothing is found that is not known.
        let (own, _) = resolve::resolve(&profile, &Files::default());
        let taken = own.groups.iter().map(|group| group.file.clone()).collect();
        let files = Files {
            rules: rule_files(&manifest, &tree, taken),
            dashboards: dashboards(&profile, &tree),
            images: digests(&manifest, &profile),
        };
        let mut stack = match files == Files::default() {
            true => own,
            false => resolve::resolve(&profile, &files).0,
        };
        change::replay(&mut stack, &manifest.changes);
        for (channel, receiver) in &manifest.receivers {
            receivers::apply(&mut stack, channel, receiver);
        }
        let mut origins: Origins =
            record.and_then(|record| Origins::deserialize(record).ok()).unwrap_or_default();
        origins.note_plugins(&manifest.changes);
        Ok(Side { name: name.to_owned(), tree, manifest, stack, origins })
    }
}

impl Side {
    /// Every rule with its group and, of a rule from a file, its line there, or why a plugin added it.
    pub(super) fn rules(&self) -> Vec<(&Group, &Rule, Option<String>)> {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        let added = |change: &'_ change::Change| matches!(change.edit, change::Edit::Add(_));
        let added: HashMap<&str, String> = (self.manifest.changes.iter().filter(|change| added(change)))
            .map(|change| (change.alert.as_str(), change.why()))
            .collect();
        let located = self.stack.rules().map(|(group, rule)| {
            let origin = match &rule.source {
                Source::Setting(_) if rule.plugin().is_some() => added.get(rule.name.as_str()).cloned(),
                Source::Setting(_) => None,
                Source::File { file, .. } => {
                    let nth = counts.entry(file).or_default();
                    *nth += 1;
                    // Without a record, the file is still known.
                    self.origins.of_rule(file, *nth - 1).or_else(|| Some(file.clone()))
                }
            };
            (group, rule, origin)
        });
        located.collect()
    }
}

fn text_of(tree: &Tree, path: &str) -> Option<String> {
    Some(String::from_utf8_lossy(&tree.get(path)?.content).into_owned())
}

/// The rule files that were taken as they are, by the names that they had. The bundle has
/// them under names of its own, which are given out again in the same order.
fn rule_files(manifest: &Manifest, tree: &Tree, mut taken: Vec<String>) -> Vec<(String, String)> {
    let files = manifest.inputs.keys().filter_map(|input| {
        let rendered = rulefile::output_name(input, &mut taken);
        Some((input.clone(), text_of(tree, &format!("prometheus/rules/{rendered}"))?))
    });
    files.collect()
}

/// What the tags of images meant, which the profile does not say.
fn digests(manifest: &Manifest, profile: &Profile) -> BTreeMap<String, String> {
    let pinned = profile.settings.services.iter().filter_map(|(name, service)| {
        let image = service.image.as_ref()?;
        let digest = manifest.services.get(name)?.image.as_ref()?.strip_prefix(image)?.strip_prefix('@')?;
        Some((image.clone(), digest.to_owned()))
    });
    pinned.collect()
}

/// Exported dashboards, which stand in the bundle byte for byte.
fn dashboards(profile: &Profile, tree: &Tree) -> BTreeMap<String, (String, String)> {
    let exported = profile.settings.dashboards.iter().filter_map(|(name, dashboard)| {
        let text = text_of(tree, &format!("grafana/dashboards/{name}.json"))?;
        Some((name.clone(), (dashboard.file.clone()?, text)))
    });
    exported.collect()
}
