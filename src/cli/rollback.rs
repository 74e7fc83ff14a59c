//! `monprov rollback`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::activate::{How, options};
use super::output::Output;
use crate::engine::Failure;
use crate::project::Project;
use crate::store::{self, Store};

#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// The profile; needed where several were activated
    profile: Option<String>,
    /// A generation's number, or a bundle that was activated once [default: what succeeded before]
    #[arg(long, value_name = "N|BUNDLE")]
    to: Option<String>,
    /// Read secrets that the environment lacks from FILE
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    #[command(flatten)]
    how: How,
}

impl Rollback {
    pub(super) fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let store = Store::open(&project.state)?;
        let profile = self.profile.clone().map_or_else(|| store.only_profile(), Ok)?;
        let mut lock = self.how.lock(&store, &profile, output)?;
        let _hold = store.hold()?;
        let (bundle, rollback) = match (&self.to, lock.interrupted()?, store.current(&profile)?) {
            // A switch that was cut short is what a person wants to go back from.
            (None, Some(cut), Some(current)) if cut.number > current.number => {
                let rollback = store::Rollback { from: cut.number, to: current.place() };
                (store.path_of(&current.bundle), rollback)
            }
            (to, ..) => store.rollback_target(&profile, to.as_deref())?,
        };
        self.how.take(project, &mut lock, &bundle, Some(rollback), &options(&self.env_file)?, output)
    }
}
