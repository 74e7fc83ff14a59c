//! The search of rendered files for values that somebody pasted by hand.

use zeroize::Zeroizing;

use super::Secret;
use crate::bundle::Tree;
use crate::diagnostic::{Code, Finding, Path, Place};

pub(super) static M502: Code = Code {
    id: "M502",
    title: "the value of a secret stands in the bundle",
    explain:
        "A rendered file contains the value of a secret in plain text, so somebody wrote it into a profile,
a rule file or a dashboard by hand. Bundles hold only references. Replace the value by
`${secret.NAME}` where secrets are allowed, remove it elsewhere, and change the secret: it has most
likely been checked in as well.",
};

/// Values shorter than this turn up by accident; they are not searched for.
const SEARCHED_FROM: usize = 8;

/// The files that hold the value of a secret, plain or as JSON or YAML would escape it.
pub fn leaks<'a>(tree: &Tree, secrets: impl IntoIterator<Item = (&'a str, &'a Secret)>) -> Vec<Finding> {
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
