//! What there is to build: the files that are profiles of their own, not only layers of others.

use std::collections::{BTreeMap, BTreeSet};

use super::layers::{Read, Source};
use super::node::{self, Node, Value};

/// The names of all that can be built, in order: the files that no other file extends.
/// `profile = true` or `false` in a file says otherwise, for that file alone.
///
/// Whether a file has errors plays no part: one that is broken is to be reported, not passed over.
pub fn buildable(source: &dyn Source) -> Vec<String> {
    let names: Vec<String> = source.names().into_iter().filter(|name| !name.starts_with('.')).collect();
    let mut extends: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut said: BTreeMap<&str, bool> = BTreeMap::new();
    for name in &names {
        let Read::Text(text) = source.read(name) else { continue };
        let Ok(root) = node::parse(0, &text) else { continue };
        if let Some(Value::Array(layers)) = root.get("extends").map(|node| &node.value) {
            extends.insert(name, layers.iter().filter_map(Node::as_str).map(str::to_owned).collect());
        }
        if let Some(Value::Bool(profile)) = root.get("profile").map(|node| &node.value) {
            said.insert(name, *profile);
        }
    }
    // In a circle each is a layer of the other; then both are built, which reports the circle.
    let is_layer = |name: &str| {
        let below = below(name, &extends);
        extends.iter().any(|(by, layers)| layers.iter().any(|l| l == name) && !below.contains(by))
    };
    names.iter().filter(|name| said.get(name.as_str()).copied().unwrap_or(!is_layer(name))).cloned().collect()
}

/// A layer and all that it builds on.
fn below<'a>(name: &'a str, extends: &'a BTreeMap<&str, Vec<String>>) -> BTreeSet<&'a str> {
    let (mut found, mut open) = (BTreeSet::new(), vec![name]);
    while let Some(name) = open.pop() {
        if found.insert(name) {
            open.extend(extends.get(name).into_iter().flatten().map(String::as_str));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Files(Vec<(&'static str, &'static str)>);

    impl Source for Files {
        fn read(&self, name: &str) -> Read {
            let found = self.0.iter().find(|(file, _)| *file == name);
            found.map_or(Read::Missing, |(_, text)| Read::Text((*text).to_owned()))
        }

        fn names(&self) -> Vec<String> {
            self.0.iter().map(|(name, _)| (*name).to_owned()).collect()
        }

        fn file(&self, name: &str) -> String {
            format!("{name}.toml")
        }
    }

    #[test]
    fn what_nothing_extends_is_a_profile_unless_it_says_otherwise() {
        let files = Files(vec![
            ("base", ""),
            ("celery", "extends = [\"base\"]"),
            ("prod", "extends = [\"celery\"]\nprofile = true"),
            ("prod-canary", "extends = [\"prod\"]"),
            ("relay", "profile = false"),
        ]);
        assert_eq!(buildable(&files), ["prod", "prod-canary"]);
    }

    #[test]
    fn a_profile_with_errors_is_still_one() {
        let files = Files(vec![
            ("broken", "services = ["),
            ("circle", "extends = [\"round\"]"),
            ("itself", "extends = [\"itself\"]"),
            ("lost", "extends = [\"nothing\"]"),
            ("odd", "extends = 3\nprofile = \"yes\""),
            ("round", "extends = [\"circle\"]"),
        ]);
        assert_eq!(buildable(&files), ["broken", "circle", "itself", "lost", "odd", "round"]);
    }
}
