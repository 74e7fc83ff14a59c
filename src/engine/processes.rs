//! What `up` starts under its supervisor, what it does for others that were killed, and its end.
#![expect(clippy::disallowed_methods, reason = "waits for others")]

use std::time::{Duration, Instant};

use super::activate::{Change, DEADLINE, activate, down, undo};
use super::{Failure, Options};
use crate::activate::Bundle;
use crate::activate::interrupted::Undone;
use crate::activate::process::{self, Client};
use crate::activate::sequence::{Activation, Say};
use crate::project::Project;
use crate::store::{Busy, Store, StoreError, StorePath};

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

/// How long those that still change the profile get to notice that its supervisor has ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for whoever changes the profile now. One that was killed half-way is undone, with the
/// secrets as they are known here.
pub fn settle(
    project: &Project,
    profile: &str,
    options: &Options,
    say: &mut Say<'_>,
) -> Result<Option<Undone>, Failure> {
    let mut lock = Store::open(&project.state)?.lock_profile(profile, Busy::Wait(&mut || {}))?;
    undo(project, &mut lock, options, say)
}

/// After all has been stopped: nothing is live any more, no secret stays on disk, and whatever
/// was under way has ended. True where there was something to do.
pub fn end(project: &Project, profile: &str) -> Result<bool, Failure> {
    let store = Store::open(&project.state)?;
    let start = Instant::now();
    let mut lock = loop {
        match store.lock_profile(profile, Busy::Refuse) {
            Err(StoreError::Locked { .. }) if start.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(20));
            }
            locked => break locked?,
        }
    };
    Ok(down(&mut lock)?.is_some())
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
    let change = Change {
        bundle,
        rollback: None,
        message: None,
        force: true,
        stay: true,
        drill: None,
        deadline: DEADLINE,
    };
    activate(project, &mut lock, &change, options, say)
}
