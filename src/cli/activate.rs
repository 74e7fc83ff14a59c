//! `monprov activate`

use std::process::ExitCode;

use clap::Args;

use super::output::Output;
use crate::engine::Failure;
use crate::project::Project;
use crate::store::{Attempt, Busy, Generation, NO_RUNTIME, ProfileLock, Store};

#[derive(Debug, Args)]
pub(super) struct Activate {
    /// A store path, its name or the beginning of it
    bundle: String,
    #[command(flatten)]
    how: How,
}

/// What every verb takes that changes what runs.
#[derive(Debug, Args)]
pub(super) struct How {
    /// `none`: only move `live` and the generation; something else runs the stack
    #[arg(long, value_name = "RUNTIME", value_parser = [NO_RUNTIME], required = true)]
    runtime: String,
    /// Why, for those who read `monprov generations`
    #[arg(short, long, value_name = "TEXT")]
    pub(super) message: Option<String>,
    /// Also a bundle that is marked as failed
    #[arg(long)]
    pub(super) force: bool,
    /// Fail instead of waiting while another run changes the profile
    #[arg(long)]
    no_wait: bool,
}

impl Activate {
    pub(super) fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let store = Store::open(&project.state)?;
        let hold = store.hold()?;
        let bundle = store.find(&self.bundle)?;
        let mut lock = self.how.lock(&store, bundle.name().name(), output)?;
        self.how.settle(&mut lock, output)?;
        lock.require_activatable(&bundle, self.how.force)?;
        if let Some(generation) = lock.already(bundle.name())? {
            return Ok(done(&generation, "unchanged", output));
        }
        let attempt = Attempt {
            bundle: &bundle,
            runtime: NO_RUNTIME,
            message: self.how.message.as_deref(),
            rollback: None,
        };
        let generation = lock.record(attempt)?;
        drop(hold);
        Ok(done(&generation, "", output))
    }
}

impl How {
    /// The profile's lock; says so where it has to wait.
    pub(super) fn lock(&self, store: &Store, profile: &str, output: &Output) -> Result<ProfileLock, Failure> {
        let mut say = || output.line("waits", &format!("another run is changing `{profile}`"));
        let busy = if self.no_wait { Busy::Refuse } else { Busy::Wait(&mut say) };
        Ok(store.lock_profile(profile, busy)?)
    }

    /// Ends what a killed run began, and says so.
    pub(super) fn settle(&self, lock: &mut ProfileLock, output: &Output) -> Result<(), Failure> {
        if let Some(generation) = lock.settle()? {
            let (number, outcome) = (generation.number, generation.outcome.name());
            output.line("settled", &format!("generation {number}, whose run was killed: {outcome}"));
        }
        Ok(())
    }
}

/// Says what is current now.
pub(super) fn done(generation: &Generation, note: &str, output: &Output) -> ExitCode {
    if output.json {
        output.json(generation);
    }
    let text = format!("generation {:<12} {}  {note}", generation.number, generation.bundle);
    output.line("current", text.trim_end());
    ExitCode::SUCCESS
}
