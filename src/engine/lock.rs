//! What images are pinned: which a profile names, and what their tags mean.

use std::collections::BTreeMap;

use super::{Failure, Report};
use crate::check::images::Reference;
use crate::diagnostic::{has_errors, nearest};
use crate::pins::{Image, Pins};
use crate::profile::Profile;
use crate::profile::matrix::Profiles;
use crate::project::Project;
use crate::registry::{Registries, Trouble};
use crate::secret::Environment;
use crate::stack::ImagePolicy;

/// Images that are named by tag, with the services that name them, as `services.NAME of PROFILE`.
pub type Named = BTreeMap<String, Vec<String>>;

/// What registries are asked.
#[derive(Debug)]
pub enum Ask<'a> {
    /// What has no pin yet.
    Missing,
    /// All, pinned or not.
    All,
    /// Images of this name, with or without their tag.
    Only(&'a str),
}

/// What registries said.
#[derive(Debug)]
pub struct Asked {
    /// The pins as they were.
    pub before: BTreeMap<String, Image>,
    /// Of those that were asked for, what they mean now, or why that is not known.
    pub found: BTreeMap<String, Result<Image, Trouble>>,
}

/// The images that profiles name; where none is given, all there are.
pub fn named(project: &Project, profiles: &[String], environment: &Environment) -> Result<Named, Failure> {
    let once = project.once();
    let read = Profiles::new(&once);
    let all: Vec<String> = match profiles {
        [] => read.all(),
        some => some.iter().flat_map(|profile| read.targets(profile)).collect(),
    };
    let mut named = Named::new();
    for name in &all {
        crate::bundle::check_name(name)
            .map_err(|error| anyhow::anyhow!("`{name}` can't be a profile's name: {error}"))?;
        let loaded = read.load(name, &|variable| environment.var(variable));
        let report = Report { findings: loaded.findings, sources: loaded.sources, map: loaded.map };
        let Some(profile) = loaded.profile.filter(|_| !has_errors(&report.findings)) else {
            return Err(Failure::Refused(Box::new(report)));
        };
        for (service, image) in by_tag(&profile) {
            // What is no image's name is for `check` to say, with its place.
            if Reference::parse(image).is_ok() {
                named.entry(image.clone()).or_default().push(format!("services.{service} of {name}"));
            }
        }
    }
    Ok(named)
}

/// Asks registries; the lock stays as it is. `step` is called after each answer.
pub fn ask(
    project: &Project,
    named: &Named,
    ask: &Ask<'_>,
    registries: &Registries,
    step: impl Fn(),
) -> anyhow::Result<Asked> {
    let before = Pins::read(project)?.images;
    let names: Vec<&str> = match ask {
        Ask::Missing => named.keys().filter(|name| !before.contains_key(*name)).map(String::as_str).collect(),
        Ask::All => named.keys().map(String::as_str).collect(),
        Ask::Only(wanted) => only(named, wanted)?,
    };
    let found = registries.images(names, step)?;
    Ok(Asked { before, found })
}

/// The images that somebody means by a name.
fn only<'n>(named: &'n Named, wanted: &str) -> anyhow::Result<Vec<&'n str>> {
    let repository = |name: &str| Reference::parse(name).is_ok_and(|image| image.repository == wanted);
    let names: Vec<&str> =
        named.keys().map(String::as_str).filter(|name| *name == wanted || repository(name)).collect();
    if names.is_empty() {
        let near = nearest(wanted, named.keys().map(String::as_str));
        let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        anyhow::bail!("no profile names an image `{wanted}` by tag{near}");
    }
    Ok(names)
}

/// Writes what registries said, if all of it is known, and takes out what is not to stay. Whether
/// anything changed.
pub fn write(project: &Project, asked: &Asked, stays: impl Fn(&str) -> bool) -> anyhow::Result<bool> {
    // Read again: somebody may have pinned a plugin meanwhile.
    let mut pins = Pins::read(project)?;
    let before = pins.clone();
    pins.images.retain(|name, _| stays(name));
    for (name, found) in &asked.found {
        match found {
            Ok(image) => pins.images.insert(name.clone(), image.clone()),
            Err(_) => return Ok(false),
        };
    }
    let changed = pins != before;
    if changed {
        pins.write(project)?;
    }
    Ok(changed)
}

/// The services of a profile whose images are named by tag alone.
fn by_tag(profile: &Profile) -> impl Iterator<Item = (&String, &String)> {
    let settings = &profile.settings;
    let services = settings.services.iter().filter(|_| settings.stack.runtime.in_containers());
    services
        .filter_map(|(name, service)| Some((name, service.image.as_ref()?)))
        .filter(|(_, image)| !image.contains('@'))
}

/// The images that a build takes from the lock.
pub(crate) fn demanded(profile: &Profile) -> impl Iterator<Item = &String> {
    let demanded = profile.settings.build.images == ImagePolicy::Digest;
    by_tag(profile).filter(move |_| demanded).map(|(_, image)| image)
}

/// What the lock says about them.
pub(super) fn digests(project: &Project, profile: &Profile) -> anyhow::Result<BTreeMap<String, String>> {
    let mut demanded = demanded(profile).peekable();
    if demanded.peek().is_none() {
        return Ok(BTreeMap::new());
    }
    let pins = Pins::read(project)?;
    let digest = |name: &String| Some((name.clone(), pins.images.get(name)?.digest.clone()));
    Ok(demanded.filter_map(digest).collect())
}

/// The pins of images that a build relies on, by name.
pub(crate) fn pinned<'n>(
    project: &Project,
    names: impl Iterator<Item = &'n String>,
) -> BTreeMap<String, Option<String>> {
    let mut names = names.peekable();
    if names.peek().is_none() {
        return BTreeMap::new();
    }
    let pins = Pins::read(project).unwrap_or_default();
    names.map(|name| (name.clone(), pins.images.get(name).map(|image| image.digest.clone()))).collect()
}
