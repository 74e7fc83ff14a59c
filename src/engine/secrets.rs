//! Secrets by themselves: what a profile declares, whether it can be had, and taking rotated
//! values over without a build.

use std::collections::{BTreeMap, BTreeSet};

use super::{Failure, Options, Report, activate, load, resolve_secrets};
use crate::activate::Bundle;
use crate::activate::interrupted::Undone;
use crate::activate::sequence::Say;
use crate::activate::sync::Sync;
use crate::diagnostic::has_errors;
use crate::project::Project;
use crate::secret::{self, Changes, HandOver, Resolved, SecretGeneration};
use crate::stack::{SecretSource, resolve};
use crate::store::{Busy, NO_RUNTIME, Store, StorePath};

/// A secret as the profile declares it and as it was last handed over.
#[derive(Debug)]
pub struct Declared {
    pub name: String,
    pub sources: Vec<SecretSource>,
    /// The services that get it.
    pub services: BTreeSet<String>,
    /// Where the value came from that they have, and since when.
    pub last: Option<(secret::Source, SecretGeneration)>,
}

/// Every secret that a profile uses. Asks no provider.
pub fn list(project: &Project, profile: &str, options: &Options) -> Result<Vec<Declared>, Failure> {
    let loaded = load(project, profile, &options.environment)?;
    let (stack, findings) = resolve::resolve(&loaded.profile, &loaded.files);
    let mut report = loaded.report;
    report.findings.extend(findings);
    if has_errors(&report.findings) {
        return Err(Failure::Refused(Box::new(report)));
    }
    let mut users: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let rendered = crate::render::render(&stack)?;
    for (service, files) in &rendered.services {
        let texts = files.command.secret_files.values().map(|file| &file.text);
        for text in texts.chain(files.command.open_environment.values()) {
            for name in text.secrets() {
                users.entry(name).or_default().insert(service.clone());
            }
        }
    }
    let last = secret::last(&project.state, profile)?;
    let declared = stack.secrets.sources.iter().map(|(name, sources)| Declared {
        name: name.clone(),
        sources: sources.clone(),
        services: users.get(name.as_str()).cloned().unwrap_or_default(),
        last: last.as_ref().and_then(|last| Some((last.secrets.get(name)?.clone(), last.clone()))),
    });
    Ok(declared.collect())
}

/// Resolves every secret of a profile and holds it against its constraints.
pub fn check(project: &Project, profile: &str, options: &Options) -> Result<(Resolved, Report), Failure> {
    let loaded = load(project, profile, &options.environment)?;
    let (stack, findings) = resolve::resolve(&loaded.profile, &loaded.files);
    let mut report = loaded.report;
    report.findings.extend(findings);
    if !has_errors(&report.findings) {
        let mut resolved = resolve_secrets(project, profile, &stack.secrets, options, false);
        report.findings.append(&mut resolved.findings);
        if !has_errors(&report.findings) {
            return Ok((resolved, report));
        }
    }
    Err(Failure::Refused(Box::new(report)))
}

/// How rotated values are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Services are reloaded and restarted where they have to be.
    Act,
    /// The values are handed over; somebody else tells the services.
    HandOver,
    /// Nothing is written.
    DryRun,
}

/// What taking today's values over did, or would do.
#[derive(Debug)]
pub struct Synced {
    pub bundle: StorePath,
    pub changes: Changes,
    /// `None` where nothing was written.
    pub generation: Option<SecretGeneration>,
    /// What the services did about it; `None` where nobody told them.
    pub services: Option<Sync>,
    pub report: Report,
}

/// Hands today's values to the services of the current generation.
pub fn sync(
    project: &Project,
    profile: &str,
    options: &Options,
    mode: Mode,
    say: &mut Say<'_>,
) -> Result<Synced, Failure> {
    let store = Store::open(&project.state)?;
    let mut wait = || say("waits", &format!("another run is changing `{profile}`"));
    let lock = match mode {
        Mode::DryRun => None,
        _ => Some(store.lock_profile(profile, Busy::Wait(&mut wait))?),
    };
    let mut lock = lock;
    if let (Some(lock), Mode::Act) = (&mut lock, mode)
        && let Some(Undone { cut, why, .. }) = activate::undo(project, lock, options, say)?
        && !why.is_empty()
    {
        let (number, why) = (cut.number, why.join("; "));
        return Err(anyhow::anyhow!("generation {number} was cut short and can't be undone: {why}").into());
    }
    let current = store.current(profile)?.ok_or_else(|| {
        anyhow::anyhow!("nothing of `{profile}` was activated: there is no service to hand secrets to")
    })?;
    let bundle = store
        .get(&current.bundle)?
        .ok_or_else(|| anyhow::anyhow!("the bundle {} is not in the store any more", current.bundle))?;
    let opened = Bundle::open(bundle.clone())?;
    let secrets = &opened.manifest.secrets;
    let mut resolved = resolve_secrets(project, profile, secrets, options, mode != Mode::DryRun);
    let report = Report { findings: std::mem::take(&mut resolved.findings), ..Report::default() };
    if has_errors(&report.findings) {
        return Err(Failure::Refused(Box::new(report)));
    }
    let hand_over = HandOver::new(&opened.manifest, &resolved)?;
    let changes = secret::outstanding(store.directory(), &hand_over)?;
    let mut synced = Synced { bundle: bundle.clone(), changes, generation: None, services: None, report };
    let Some(mut lock) = lock else { return Ok(synced) };
    if mode == Mode::Act && current.runtime != NO_RUNTIME {
        synced.services = Some(activate::sync(&mut lock, &opened, &resolved, say)?);
    }
    synced.generation = match &synced.services {
        None | Some(Sync::Idle) => {
            let generation = secret::sync(&lock, &bundle, &hand_over, &resolved)?;
            Some(secret::taken_up(&lock, generation)?)
        }
        Some(_) => secret::last(store.directory(), profile)?,
    };
    Ok(synced)
}
