//! What `up` starts under its supervisor.

use super::activate::{Change, DEADLINE, activate};
use super::{Failure, Options};
use crate::activate::Bundle;
use crate::activate::process::{self, Client};
use crate::activate::sequence::{Activation, Say};
use crate::project::Project;
use crate::store::{Busy, Store, StorePath};

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

/// Makes a bundle what the supervisor runs. What does not get well runs on: somebody watches.
pub fn start(
    project: &Project,
    bundle: &StorePath,
    options: &Options,
    say: &mut Say<'_>,
) -> Result<Activation, Failure> {
    Client::new(&project.state, bundle.name().name())
        .check(&process::processes(&Bundle::open(bundle.clone())?)?)?;
    let mut lock = Store::open(&project.state)?.lock_profile(bundle.name().name(), Busy::Refuse)?;
    let change =
        Change { bundle, rollback: None, message: None, force: true, stay: true, deadline: DEADLINE };
    activate(project, &mut lock, &change, options, say)
}
