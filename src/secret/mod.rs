//! Secrets: where they come from, and a type that can't be printed.

mod env;
pub mod envfile;

use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

use crate::bundle::Tree;
use crate::diagnostic::{Code, Finding, Path, Place};
use crate::stack::SecretSource;

pub use env::Environment;

pub static M501: Code = Code {
    id: "M501",
    title: "a secret could not be resolved",
    explain: "No source of the secret has it. Sources are tried in the order in which they stand; the message
says what each answered. Put the value where the first source looks, for a machine that may not read
secrets build with `--no-secrets`.

    export REDIS_PASSWORD=…      # or a line REDIS_PASSWORD=… in a file given with --env-file",
};

pub static M502: Code = Code {
    id: "M502",
    title: "the value of a secret stands in the bundle",
    explain:
        "A rendered file contains the value of a secret in plain text, so somebody wrote it into a profile,
a rule file or a dashboard by hand. Bundles hold only references. Replace the value by
`${secret.NAME}` where secrets are allowed, remove it elsewhere, and change the secret: it has most
likely been checked in as well.",
};

pub static CODES: &[&Code] = &[&M501, &M502];

/// A value that nobody may see: no `Display`, no `Serialize`, wiped when dropped.
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(value: String) -> Self {
        Secret(Zeroizing::new(value))
    }

    /// For the one place that hands it over.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// One kind of source. `Ok(None)`: it has no such secret; `Err`: it is broken, and why.
pub trait Provider {
    fn name(&self) -> &'static str;
    fn get(&self, source: &SecretSource) -> Result<Option<Secret>, String>;
}

/// What resolving gave: values by name, and by which provider each was found.
#[derive(Debug, Default)]
pub struct Resolved {
    pub values: BTreeMap<String, Secret>,
    pub providers: BTreeMap<&'static str, usize>,
}

/// Resolves secrets; all that fail are reported.
pub fn resolve(
    secrets: &BTreeMap<String, Vec<SecretSource>>,
    provider: &dyn Provider,
) -> Result<Resolved, Vec<Finding>> {
    let mut resolved = Resolved::default();
    let mut findings = vec![];
    for (name, sources) in secrets {
        let mut answers = vec![];
        let found = sources.iter().find_map(|source| match provider.get(source) {
            Ok(Some(secret)) => Some(secret),
            Ok(None) => {
                answers.push(format!("{} has no {}", provider.name(), source.env));
                None
            }
            Err(error) => {
                answers.push(error);
                None
            }
        });
        match found {
            Some(secret) => {
                resolved.values.insert(name.clone(), secret);
                *resolved.providers.entry(provider.name()).or_default() += 1;
            }
            None => {
                let place = Place::setting(Path::new(["secrets", name]));
                let finding =
                    Finding::error(&M501, place, format!("the secret `{name}` could not be resolved"));
                findings.push(answers.into_iter().fold(finding, Finding::note));
            }
        }
    }
    if findings.is_empty() { Ok(resolved) } else { Err(findings) }
}

/// Values shorter than this turn up by accident; they are not searched for.
const SEARCHED_FROM: usize = 8;

/// The files that hold the value of a secret, plain or as JSON or YAML would escape it.
pub fn leaks(tree: &Tree, secrets: &BTreeMap<String, Secret>) -> Vec<Finding> {
    let mut findings = vec![];
    for (name, secret) in secrets {
        let value = secret.expose();
        if value.len() < SEARCHED_FROM {
            continue;
        }
        let escaped = Zeroizing::new(serde_json::to_string(value).unwrap_or_default());
        let escaped = escaped.trim_matches('"');
        let plain = memchr::memmem::Finder::new(value);
        let quoted = memchr::memmem::Finder::new(escaped);
        for (path, file) in tree.iter() {
            let content = file.content.as_slice();
            if plain.find(content).is_some() || quoted.find(content).is_some() {
                let place = Place::setting(Path::new(["secrets", name]));
                let message = format!("the value of the secret `{name}` stands in {path}");
                let note = format!("write `${{secret.{name}}}` where it was pasted, and change the secret");
                findings.push(
                    Finding::error(&M502, place, message).label("its value was pasted somewhere").note(note),
                );
            }
        }
    }
    findings
}
