//! `manifest.json`: what a bundle was made of and what starts from it.

use std::collections::BTreeMap;

use super::command::SecretFile;
use super::{ServiceFiles, compose};
use crate::bundle::Tree;
use crate::bundle::manifest::{self, Manifest, Service, digest_of, sha256};
use crate::profile::Profile;
use crate::profile::text::Text;
use crate::stack::Stack;
use crate::stack::resolve::Files;

/// `tree`: every other file of the bundle.
pub fn manifest(
    profile: &Profile,
    stack: &Stack,
    files: &Files,
    tree: &Tree,
    services: &BTreeMap<String, ServiceFiles>,
) -> Manifest {
    let texts = files.rules.iter().chain(files.dashboards.values());
    let entry = |(name, files): (&String, &ServiceFiles)| {
        stack.services.get(name).map(|stated| (name.clone(), service(stack, stated, files, tree)))
    };
    Manifest {
        schema: manifest::SCHEMA,
        profile: profile.name.clone(),
        runtime: stack.runtime.name().to_owned(),
        layers: profile.layers.clone(),
        settings: settings(profile),
        vars: stack.vars.clone(),
        secrets: stack.secrets.clone(),
        services: services.iter().filter_map(entry).collect(),
        plugins: BTreeMap::new(),
        changes: vec![],
        receivers: BTreeMap::new(),
        verdicts: vec![],
        inputs: texts.map(|(name, text)| (name.clone(), sha256(text.as_bytes()))).collect(),
        files: Manifest::list(tree),
    }
}

/// Whom to trust is the business of whoever takes the bundle, and no part of what it is: a new
/// key makes no new bundle.
fn settings(profile: &Profile) -> serde_json::Value {
    let mut settings = profile.root.to_json();
    if let Some(table) = settings.as_object_mut() {
        table.remove("trust");
    }
    settings
}

fn service(stack: &Stack, stated: &crate::stack::Service, files: &ServiceFiles, tree: &Tree) -> Service {
    let command = &files.command;
    let secret_file = |(file, secret): (&String, &SecretFile)| {
        (file.clone(), manifest::SecretFile { text: secret.text.clone(), on_change: secret.uptake })
    };
    let open_secret =
        |(variable, text): (&String, &Text)| (compose::outer_variable(&stated.name, variable), text.clone());
    Service {
        kind: stated.kind,
        port: stated.port,
        image: stated.image.clone(),
        definition: files.definition.clone(),
        configuration: digest_of(tree, |path| files.reads.iter().any(|r| path.starts_with(r.as_str()))),
        user: stack.runtime.secret_owner(stated),
        reload: stated.reload.clone(),
        secrets: command.secret_files.iter().map(secret_file).collect(),
        open_secrets: command.open_environment.iter().map(open_secret).collect(),
    }
}
