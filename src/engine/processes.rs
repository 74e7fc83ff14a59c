//! What `up` starts under its supervisor.

use std::collections::BTreeSet;

use super::{Failure, Options, Report, resolve_secrets};
use crate::activate::Bundle;
use crate::activate::process::{self, Applied, Client};
use crate::diagnostic::has_errors;
use crate::project::Project;
use crate::secret::{self, HandOver, SecretGeneration};
use crate::store::{Busy, ProfileLock, Store, StorePath};

/// The bundle of a profile's current generation.
pub fn current(project: &Project, profile: &str) -> Result<StorePath, Failure> {
    let store = Store::open(&project.state)?;
    let Some(generation) = store.current(profile)? else {
        let remedy = "`monprov switch` makes one, and `up` without --no-build builds what it runs";
        return Err(anyhow::anyhow!("`{profile}` has no generation yet: {remedy}").into());
    };
    let path = store.path_of(&generation.bundle);
    store.require_intact(&path)?;
    Ok(path)
}

/// Hands a bundle's secrets over, makes it the live one, and its processes run under the
/// supervisor.
pub fn start(
    project: &Project,
    client: &Client,
    path: StorePath,
    options: &Options,
) -> Result<Applied, Failure> {
    let bundle = Bundle::open(path)?;
    let processes = process::processes(&bundle)?;
    client.check(&processes)?;
    let mut lock = Store::open(&project.state)?.lock_profile(&bundle.manifest.profile, Busy::Refuse)?;
    let handed_over = if options.secrets { Some(hand_over(project, &bundle, options, &lock)?) } else { None };
    lock.point_live(bundle.path.name())?;
    let applied = client.apply(&processes, &BTreeSet::new())?;
    if let Some(secrets) = handed_over {
        secret::taken_up(&lock, secrets)?;
    }
    Ok(applied)
}

fn hand_over(
    project: &Project,
    bundle: &Bundle,
    options: &Options,
    lock: &ProfileLock,
) -> Result<SecretGeneration, Failure> {
    let manifest = &bundle.manifest;
    let mut resolved = resolve_secrets(project, &manifest.profile, &manifest.secrets, options, true);
    let report = Report { findings: std::mem::take(&mut resolved.findings), ..Report::default() };
    if has_errors(&report.findings) {
        return Err(Failure::Refused(Box::new(report)));
    }
    let hand_over = HandOver::new(manifest, &resolved)?;
    Ok(secret::sync(lock, &bundle.path, &hand_over, &resolved)?)
}
