//! `monprov down`

use std::process::ExitCode;

use clap::Args;

use super::output::Output;
use crate::engine::{Failure, activate};
use crate::project::Project;
use crate::store::{Busy, Store};

#[derive(Debug, Args)]
pub(super) struct Down {
    /// The profile
    profile: String,
}

impl Down {
    pub(super) fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let store = Store::open(&project.state)?;
        let profile = &self.profile;
        if store.generations(profile)?.is_empty() {
            return Err(anyhow::anyhow!("`{profile}` was never activated: nothing of it runs").into());
        }
        let mut say = || output.line("waits", &format!("another run is changing `{profile}`"));
        let mut lock = store.lock_profile(profile, Busy::Wait(&mut say))?;
        if let Some(bundle) = activate::down(&mut lock)? {
            let services = bundle.manifest.services.keys().cloned().collect::<Vec<_>>().join(", ");
            output.line("stopped", &services);
            output.line("secrets", "wiped");
            output.line("kept", "data and generations");
        }
        if output.json {
            output.json(&serde_json::json!({ "profile": profile, "running": false }));
        }
        Ok(ExitCode::SUCCESS)
    }
}
