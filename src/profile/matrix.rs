//! What there is to build: the files that are profiles of their own, not only layers of others,
//! and the sites of those that have a `[matrix]`.
//!
//! A [`site`](super::site) is called `PROFILE-SITE`, wherever a profile is named.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::diagnostic::{Finding, Place, nearest};

use super::codes::{M005, M018};
use super::layers::{Read, Source};
use super::node::{self, Node, Value};
use super::reading::Reading;
use super::{Loaded, Lookup};

/// What a site is called outside its profile.
pub fn name(profile: &str, site: &str) -> String {
    format!("{profile}-{site}")
}

pub(super) fn count(sites: usize) -> String {
    if sites == 1 { "one site".into() } else { format!("{sites} sites") }
}

/// A list for people, which must not fill their screen.
pub(super) fn some(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The profiles of a project and their sites; each profile is read once.
#[derive(Debug)]
pub struct Profiles<'a> {
    source: &'a dyn Source,
    read: Mutex<BTreeMap<String, Arc<Reading>>>,
}

impl<'a> Profiles<'a> {
    pub fn new(source: &'a dyn Source) -> Self {
        Profiles { source, read: Mutex::default() }
    }

    /// A profile by the name of its file.
    pub fn reading(&self, profile: &str) -> Arc<Reading> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let reading = read.entry(profile.to_owned());
        reading.or_insert_with(|| Arc::new(Reading::of(profile, self.source))).clone()
    }

    /// What can be built of all files, in order.
    pub fn all(&self) -> Vec<String> {
        let targets: BTreeSet<String> =
            files(self.source).iter().flat_map(|profile| self.targets(profile)).collect();
        targets.into_iter().collect()
    }

    /// The sites of a profile, or what is called so itself.
    pub fn targets(&self, wanted: &str) -> Vec<String> {
        if !self.source.names().iter().any(|file| file == wanted) {
            return vec![wanted.to_owned()];
        }
        match self.reading(wanted).sites().map(|sites| sites.map(|s| name(wanted, s)).collect::<Vec<_>>()) {
            Some(sites) if !sites.is_empty() => sites,
            _ => vec![wanted.to_owned()],
        }
    }

    /// Whether a profile or a site has this name.
    pub fn is_one(&self, wanted: &str) -> bool {
        self.source.names().iter().any(|file| file == wanted) || !self.sites_called(wanted).is_empty()
    }

    /// The profiles that have a site of this full name, with the site.
    fn sites_called(&self, wanted: &str) -> Vec<(String, String)> {
        let files = self.source.names();
        let splits = wanted.match_indices('-').filter_map(|(at, _)| wanted.split_at_checked(at));
        splits
            .map(|(profile, site)| (profile, site.trim_start_matches('-')))
            .filter(|(profile, _)| files.iter().any(|file| file == profile))
            .filter(|(profile, site)| name(profile, site) == wanted)
            .filter(|(profile, site)| self.reading(profile).declared(site).is_some())
            .map(|(profile, site)| (profile.to_owned(), site.to_owned()))
            .collect()
    }

    /// Reads a profile, or a site by its full name.
    pub fn load(&self, wanted: &str, lookup: Lookup<'_>) -> Loaded {
        let file = self.source.names().iter().any(|file| file == wanted);
        match self.sites_called(wanted).as_slice() {
            [] if file => self.reading(wanted).load(None, lookup),
            [] => self.missing(wanted, lookup),
            [(profile, site)] if !file => self.reading(profile).load(Some(site), lookup),
            several => {
                let readings = several.iter().map(|(profile, _)| self.reading(profile).load(None, lookup));
                Loaded {
                    profile: None,
                    findings: vec![self.clash(wanted, several, file)],
                    sources: readings.flat_map(|reading| reading.sources).collect(),
                    map: None,
                }
            }
        }
    }

    fn clash(&self, wanted: &str, sites: &[(String, String)], file: bool) -> Finding {
        let place = |(profile, site): &(String, String)| self.reading(profile).declared(site);
        let mut places = sites.iter().filter_map(place);
        let at = places.next().unwrap_or(Place::Profile);
        let mut finding =
            Finding::error(&M018, at, format!("two things would be called `{wanted}`")).label("this site");
        if file {
            finding = finding.note(format!("the other is {}", self.source.file(wanted)));
        }
        finding = places.fold(finding, |finding, place| finding.related(place, "and this site"));
        finding.note("rename one of them")
    }

    /// There is no such profile; that a site was meant is said where it is likely.
    fn missing(&self, wanted: &str, lookup: Lookup<'_>) -> Loaded {
        let mut loaded = self.reading(wanted).load(None, lookup);
        let files = self.source.names();
        let profiles = wanted.match_indices('-').filter_map(|(at, _)| wanted.get(..at));
        let profiles = profiles.filter(|profile| files.iter().any(|file| file == profile));
        let sites: Vec<String> = profiles
            .flat_map(|profile| {
                let sites = self.targets(profile);
                sites.into_iter().filter(move |site| site != profile)
            })
            .collect();
        if sites.is_empty() {
            return loaded;
        }
        let finding =
            Finding::error(&M005, Place::Profile, format!("no profile or site is called `{wanted}`"));
        loaded.findings = vec![match nearest(wanted, sites.iter().map(String::as_str)) {
            Some(near) => finding.label(format!("did you mean `{near}`?")),
            None => finding.note(format!("there are the sites {}", some(&sites))),
        }];
        loaded
    }
}

/// The names of all that can be built, in order.
pub fn buildable(source: &dyn Source) -> Vec<String> {
    Profiles::new(source).all()
}

/// The profiles: the files that no other file extends. `profile = true` or `false` in a file
/// says otherwise, for that file alone.
///
/// Whether a file has errors plays no part: one that is broken is to be reported, not passed over.
fn files(source: &dyn Source) -> Vec<String> {
    let names: Vec<String> = source.names().into_iter().filter(|name| !name.starts_with('.')).collect();
    let mut extends: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut said: BTreeMap<&str, bool> = BTreeMap::new();
    for name in &names {
        let Read::Text(text) = source.read(name) else { continue };
        let Ok(root) = node::parse(0, &text) else { continue };
        let sites = root.get("matrix").and_then(|matrix| matrix.get("sites")?.table());
        let sites = sites.into_iter().flat_map(|sites| sites.entries.values());
        let layers = [&root].into_iter().chain(sites).filter_map(|part| match &part.get("extends")?.value {
            Value::Array(layers) => Some(layers.iter().filter_map(Node::as_str).map(str::to_owned)),
            _ => None,
        });
        extends.insert(name, layers.flatten().collect());
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

    #[derive(Debug)]
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

    #[test]
    fn a_matrix_is_built_as_its_sites_wherever_they_are_declared() {
        let files = Files(vec![
            ("prod", "extends = [\"sites\"]\n[matrix.sites.rome]\nenable = false\n[matrix.sites.oslo]"),
            ("sites", "[matrix.sites]\nberlin = {}\nrome = {}"),
            ("test", "[matrix]"),
        ]);
        assert_eq!(buildable(&files), ["prod-berlin", "prod-oslo", "test"]);
    }

    /// The history of a value in a site, as `explain` tells it.
    fn history(files: &Files, wanted: &str, path: &str) -> Vec<(String, String)> {
        let loaded = Profiles::new(files).load(wanted, &|_| None);
        assert!(loaded.findings.is_empty(), "{:?}", loaded.findings);
        let steps = loaded.map.unwrap().history(&crate::diagnostic::Path::parse(path)).unwrap();
        steps.into_iter().map(|step| (step.file, step.value)).collect()
    }

    #[test]
    fn a_site_is_the_last_layer_and_keeps_all_rules_of_one() {
        let files = Files(vec![
            ("base", "[services.a]\nimage = \"a:1.0\"\nargs = [\"1\"]\nuser = \"7\""),
            (
                "prod",
                "extends = [\"base\"]\nmatrix.sites.berlin.services.a = { args_append = [\"3\"], unset = [\"user\"] }\n\
                 [services.a]\nargs_append = [\"2\"]",
            ),
        ]);
        let expected = [
            ("base.toml", "[\"1\"]"),
            ("prod.toml", "[\"1\", \"2\"]"),
            ("prod.toml", "[\"1\", \"2\", \"3\"]"),
        ];
        let expected = expected.map(|(file, value)| (file.to_owned(), value.to_owned()));
        assert_eq!(history(&files, "prod-berlin", "services.a.args"), expected);
        let loaded = Profiles::new(&files).load("prod-berlin", &|_| None);
        assert_eq!(loaded.profile.unwrap().settings.services["a"].user, None);
    }

    #[test]
    fn a_site_s_variable_wins_over_the_environment() {
        let files = Files(vec![(
            "prod",
            "vars.REGION = {}\nvars.OTHER = { default = \"d\" }\n\
             stack.project = \"${matrix.site}-${var.REGION}-${var.OTHER}\"\n\
             matrix.sites.berlin.vars.REGION = \"eu\"",
        )]);
        let environment = |name: &str| Some(format!("environment's {name}"));
        let loaded = Profiles::new(&files).load("prod-berlin", &environment);
        let profile = loaded.profile.unwrap();
        assert_eq!(profile.settings.stack.project.as_deref(), Some("berlin-eu-environment's OTHER"));
    }
}
