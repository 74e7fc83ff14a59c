//! Bundles and generations by the words that people have for them.

use std::path::Path;

use super::generations::{Generation, Rollback};
use super::{Store, StoreError, StorePath, history, link};
use crate::bundle::{StoreName, check_name};

impl Store {
    /// A bundle by its path, a link to it, its name, the beginning of its name, or its profile: of
    /// that, what is current, and before the first activation the only bundle there is.
    pub fn find(&self, wanted: &str) -> Result<StorePath, StoreError> {
        // A link is a path, and a profile a mere name.
        let link = if wanted.contains('/') { link::read(Path::new(wanted))? } else { None };
        let link = link.as_deref().and_then(Path::to_str);
        let name = last_part(link.unwrap_or(wanted));
        if let Ok(name) = name.parse::<StoreName>() {
            let missing = || StoreError::Missing { path: self.path_of(&name).path().to_owned() };
            return self.get(&name)?.ok_or_else(missing);
        }
        if check_name(name).is_ok()
            && let Some(current) = self.current(name)?
        {
            let missing = || StoreError::Missing { path: self.path_of(&current.bundle).path().to_owned() };
            return self.get(&current.bundle)?.ok_or_else(missing);
        }
        let mut matching: Vec<StorePath> = self.list()?;
        matching.retain(|path| path.name().as_str().starts_with(name) || path.name().name() == name);
        match matching.as_slice() {
            [one] => Ok(one.clone()),
            [] => Err(StoreError::NoBundle { wanted: wanted.to_owned(), directory: self.directory.clone() }),
            several => Err(StoreError::Ambiguous {
                wanted: wanted.to_owned(),
                names: several.iter().map(|path| path.name().clone()).collect(),
            }),
        }
    }

    /// The profile that is meant where none is named: the only one with generations.
    pub fn only_profile(&self) -> Result<String, StoreError> {
        match <[String; 1]>::try_from(self.profiles()?) {
            Ok([one]) => Ok(one),
            Err(profiles) => Err(StoreError::WhichProfile { profiles }),
        }
    }

    /// What a rollback goes to: the last generation with another bundle that succeeded before
    /// the current one, or the one named by number or bundle.
    pub fn rollback_target(
        &self,
        profile: &str,
        to: Option<&str>,
    ) -> Result<(StorePath, Rollback), StoreError> {
        let Some(current) = self.current(profile)? else {
            return Err(StoreError::NothingCurrent { profile: profile.to_owned() });
        };
        let all = self.generations(profile)?;
        let target = match to {
            Some(wanted) => generation(profile, &all, wanted)?,
            None => history::previous(&all, &current).ok_or_else(|| StoreError::NothingEarlier {
                profile: profile.to_owned(),
                current: current.place(),
            })?,
        };
        let rollback = Rollback { from: current.number, to: target.place() };
        Ok((self.path_of(&target.bundle), rollback))
    }
}

/// The generation of that number, or the newest that has the bundle.
fn generation<'a>(profile: &str, all: &'a [Generation], wanted: &str) -> Result<&'a Generation, StoreError> {
    let number: Option<u64> = wanted.parse().ok();
    let name = last_part(wanted);
    let mut having = all.iter().rev().filter(|one| one.bundle.as_str().starts_with(name));
    let found = all.iter().find(|one| Some(one.number) == number).or_else(|| having.clone().next());
    let Some(found) = found else {
        let known = all.iter().map(|one| one.number).collect();
        return Err(StoreError::NoGeneration {
            profile: profile.to_owned(),
            wanted: wanted.to_owned(),
            known,
        });
    };
    if found.number != number.unwrap_or_default()
        && let Some(other) = having.find(|one| one.bundle != found.bundle)
    {
        let names = vec![found.bundle.clone(), other.bundle.clone()];
        return Err(StoreError::Ambiguous { wanted: wanted.to_owned(), names });
    }
    Ok(found)
}

/// The name at the end of a path; a trailing slash does not matter.
fn last_part(wanted: &str) -> &str {
    Path::new(wanted).file_name().and_then(|name| name.to_str()).unwrap_or(wanted)
}
