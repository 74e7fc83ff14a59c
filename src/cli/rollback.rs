//! `monprov rollback`

use std::process::ExitCode;

use clap::Args;

use super::activate::{How, done};
use super::output::Output;
use crate::engine::Failure;
use crate::project::Project;
use crate::store::{Attempt, NO_RUNTIME, Store};

#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// The profile; needed where several were activated
    profile: Option<String>,
    /// A generation's number, or a bundle that was activated once [default: what succeeded before]
    #[arg(long, value_name = "N|BUNDLE")]
    to: Option<String>,
    #[command(flatten)]
    how: How,
}

impl Rollback {
    pub(super) fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let store = Store::open(&project.state)?;
        let profile = self.profile.clone().map_or_else(|| store.only_profile(), Ok)?;
        let mut lock = self.how.lock(&store, &profile, output)?;
        let hold = store.hold()?;
        self.how.settle(&mut lock, output)?;
        let (bundle, rollback) = store.rollback_target(&profile, self.to.as_deref())?;
        lock.require_activatable(&bundle, self.how.force)?;
        if let Some(generation) = lock.already(bundle.name())? {
            return Ok(done(&generation, "unchanged", output));
        }
        let attempt = Attempt {
            bundle: &bundle,
            runtime: NO_RUNTIME,
            message: self.how.message.as_deref(),
            rollback: Some(rollback),
        };
        let generation = lock.record(attempt)?;
        drop(hold);
        Ok(done(&generation, &format!("back to {}", rollback.to), output))
    }
}
