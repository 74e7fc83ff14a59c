//! `monprov copy`

use std::process::ExitCode;

use clap::Args;

use super::output::{Output, kilobytes};
use crate::cache::{Cache, Copied};
use crate::engine::{Failure, distribute};
use crate::project::Project;

/// Bring bundles from one binary cache into another, without a store
#[derive(Debug, Args)]
pub(super) struct Copy {
    /// The cache that has them
    from: String,
    /// The cache that is to have them
    to: String,
    /// Store names, or profiles (what their channel names)
    #[arg(required = true, value_name = "BUNDLE|PROFILE")]
    bundles: Vec<String>,
}

impl Copy {
    pub(super) fn run(&self, project: Option<&Project>, output: &Output) -> Result<ExitCode, Failure> {
        let from = Cache::open(&self.from)?;
        let wanted: Vec<_> = self
            .bundles
            .iter()
            .map(|word| distribute::wanted(project, &from, word))
            .collect::<Result<_, _>>()?;
        let to = Cache::open_for_writing(&self.to)?;
        to.introduce()?;
        distribute::each(&wanted, |one| {
            let copied = from.copy(&to, &one.name, &one.trust)?;
            say(&copied, output);
            Ok(())
        })?;
        if output.json {
            let names: Vec<_> = wanted.iter().map(|one| &one.name).collect();
            output.json(&serde_json::json!({ "from": from.shown(), "to": to.shown(), "bundles": names }));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn say(copied: &Copied, output: &Output) {
    let size = copied.bytes.map_or_else(|| "was there".into(), kilobytes);
    output.line("copied", &format!("{}  {size}", copied.name));
}
