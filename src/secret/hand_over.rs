//! A bundle's secrets, put together and written where its services find them.
//!
//! ```text
//! secrets/PROFILE/SERVICE/FILE          what the service reads
//! secrets/PROFILE/_environment/NAME     variables that the engine passes on (`allow_env`)
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files::{self, Files, Owner};
use super::{Resolved, Secret, fill, place};
use crate::bundle::manifest::Manifest;
use crate::profile::text::Text;
use crate::stack::{ServiceKind, Uptake};

/// Services are host names; this is none, so no service is called like it.
const ENVIRONMENT: &str = "_environment";

/// Why values could not be handed over.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: no space is left on its file system: free some and run this again", path.display())]
    Full { path: PathBuf, source: std::io::Error },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error(
        "{} belongs to user {owner}, who could exchange the secrets in it; remove it, or make it yours with chown",
        path.display()
    )]
    Foreign { path: PathBuf, owner: u32 },
    #[error(
        "the secrets of {} belong to users that only root can give files to; run this with sudo, or set `user = \"{}\"` of these services where their images allow it",
        list(services),
        Owner::myself().uid
    )]
    Owner { services: Vec<(String, u32)> },
    #[error("the bundle names the user `{user}` for `{service}`, which is no uid or uid:gid")]
    User { service: String, user: String },
    #[error("the bundle wants the secret `{secret}` for `{service}`, but lists no source of it")]
    NoSource { service: String, secret: String },
    #[error("{} can't be read: {why}; remove it to start a new history", path.display())]
    Record { path: PathBuf, why: String },
}

fn list(services: &[(String, u32)]) -> String {
    let named: Vec<_> = services.iter().map(|(service, uid)| format!("`{service}` (user {uid})")).collect();
    named.join(", ")
}

pub(super) fn at(path: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    |source| match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::Full { path: path.to_owned(), source },
        _ => Error::Io { path: path.to_owned(), source },
    }
}

/// What a service has to do about its secrets, and which of them are the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Files, or variables, whose content is another now.
    pub files: BTreeSet<String>,
    /// The secrets in them.
    pub secrets: BTreeSet<String>,
    pub needs: Uptake,
}

/// By service; those to which nothing happened are left out.
pub type Changes = BTreeMap<String, Change>;

/// The secrets of a bundle with their values, ready to be handed over.
#[derive(Debug)]
pub struct HandOver<'a> {
    manifest: &'a Manifest,
    services: BTreeMap<&'a str, (Owner, Files)>,
    environment: Files,
}

impl<'a> HandOver<'a> {
    /// Puts the texts together. `resolved`: the values of `manifest.secrets`. One that is still
    /// to be generated is like no other: it may be compared, but not be handed over.
    pub fn new(manifest: &'a Manifest, resolved: &Resolved) -> Result<Self, Error> {
        let nothing = Secret::new(String::new());
        let filled = |service: &str, text: &Text| -> Result<Secret, Error> {
            let later = |name: &str| resolved.later.iter().any(|l| l == name).then_some(&nothing);
            let value = |name: &str| resolved.values.get(name).map(|v| &v.secret).or_else(|| later(name));
            fill::fill(text, value)
                .map_err(|secret| Error::NoSource { service: service.to_owned(), secret: secret.to_owned() })
        };
        let mut services = BTreeMap::new();
        let mut environment = Files::new();
        for (name, service) in &manifest.services {
            for (variable, text) in &service.open_secrets {
                environment.insert(variable.clone(), filled(name, text)?);
            }
            if service.secrets.is_empty() {
                continue;
            }
            let owner = match &service.user {
                None => Owner::myself(),
                Some(user) => Owner::parse(user)
                    .ok_or_else(|| Error::User { service: name.clone(), user: user.clone() })?,
            };
            let files: Result<Files, Error> = service
                .secrets
                .iter()
                .map(|(file, secret)| Ok((file.clone(), filled(name, &secret.text)?)))
                .collect();
            services.insert(name.as_str(), (owner, files?));
        }
        Ok(HandOver { manifest, services, environment })
    }

    /// What [`HandOver::write`] would change. A service that is new has everything to do anyway.
    pub fn changes(&self, state: &Path) -> Changes {
        let place = place::of(state, &self.manifest.profile);
        let mut changes = Changes::new();
        for (name, (owner, files)) in &self.services {
            let service = self.manifest.services.get(*name);
            for file in files::changed(&place.join(name), *owner, files) {
                let secret = service.and_then(|s| s.secrets.get(&file));
                // A file that goes is of no use to the service any more.
                let needs = secret.map_or(Uptake::Nothing, |s| s.on_change);
                add(&mut changes, name, file, secret.map(|s| &s.text), needs);
            }
        }
        for variable in files::changed(&place.join(ENVIRONMENT), Owner::myself(), &self.environment) {
            let mut services = self.manifest.services.iter();
            let owner = services.find_map(|(name, s)| Some((name, s.open_secrets.get(&variable)?)));
            if let Some((name, text)) = owner {
                add(&mut changes, name, variable, Some(text), Uptake::Restart);
            }
        }
        changes
    }

    /// Refuses what [`HandOver::write`] could not do.
    pub fn require_owners(&self) -> Result<(), Error> {
        let foreign = self.services.iter().filter(|(_, (owner, _))| !owner.can_be_given());
        let services: Vec<_> = foreign.map(|(name, (owner, _))| ((*name).to_owned(), owner.uid)).collect();
        if services.is_empty() { Ok(()) } else { Err(Error::Owner { services }) }
    }

    /// Writes those that change, each service's at once, and removes what nobody needs any more.
    pub(super) fn write(&self, state: &Path, changes: &Changes) -> Result<(), Error> {
        self.require_owners()?;
        if self.services.is_empty() && self.environment.is_empty() {
            return place::wipe(state, &self.manifest.profile);
        }
        let place = place::make(state, &self.manifest.profile)?;
        // Whoever is shown a token has it before the one who shows it.
        let shows = |name: &str| {
            self.manifest.services.get(name).is_none_or(|service| service.kind != ServiceKind::Relay)
        };
        let mut services: Vec<_> = self.services.iter().collect();
        services.sort_by_key(|(name, _)| shows(name));
        for (name, (owner, files)) in services {
            match changes.contains_key(*name) {
                true => files::write(&place.join(name), *owner, files)?,
                // A run that was killed may have left old values.
                false => files::sweep(&place.join(name), files)?,
            }
        }
        let mut kept: BTreeSet<&str> = self.services.keys().copied().collect();
        if !self.environment.is_empty() {
            files::write(&place.join(ENVIRONMENT), Owner::myself(), &self.environment)?;
            kept.insert(ENVIRONMENT);
        }
        place::keep_only(&place, &kept)
    }

    pub(super) fn profile(&self) -> &str {
        &self.manifest.profile
    }

    /// The variables that the engine must find in its environment, and nobody else.
    pub fn environment(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.environment.iter().map(|(name, secret)| (name.as_str(), secret))
    }
}

fn add(changes: &mut Changes, service: &str, file: String, text: Option<&Text>, needs: Uptake) {
    let none = || Change { files: BTreeSet::new(), secrets: BTreeSet::new(), needs: Uptake::Nothing };
    let change = changes.entry(service.to_owned()).or_insert_with(none);
    change.files.insert(file);
    change.secrets.extend(text.into_iter().flat_map(Text::secrets).map(str::to_owned));
    change.needs = change.needs.max(needs);
}

/// Both: what was to be done and what is to be done now.
pub(super) fn merge(mut changes: Changes, earlier: Changes) -> Changes {
    for (service, change) in earlier {
        match changes.get_mut(&service) {
            Some(now) => {
                now.files.extend(change.files);
                now.secrets.extend(change.secrets);
                now.needs = now.needs.max(change.needs);
            }
            None => {
                changes.insert(service, change);
            }
        }
    }
    changes
}

/// Removes every value of a profile.
pub fn wipe(state: &Path, profile: &str) -> Result<(), Error> {
    place::wipe(state, profile)
}
