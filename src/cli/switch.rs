//! `monprov switch`
#![expect(clippy::disallowed_methods, reason = "says how long it took")]

use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use super::activate::How;
use super::key::{self, Keys};
use super::output::Output;
use super::{Inputs, check};
use crate::engine::{self, Failure, distribute};
use crate::project::Project;
use crate::store::{Store, StoreError};

#[derive(Debug, Args)]
pub(super) struct Switch {
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    keys: Keys,
}

impl Switch {
    pub(super) fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let start = Instant::now();
        let profile = &self.inputs.profile;
        let options = self.inputs.options()?;
        let keys = self.keys.read(output)?;
        let mut built = engine::build(project, profile, &options)?;
        if let Some(evaluation) = built.evaluation.take() {
            check::summary(&evaluation, output);
            output.findings_if_any(evaluation.report);
        }
        let name = built.path.name();
        output.line("build", &format!("{name}  {} ms", start.elapsed().as_millis()));
        let store = Store::open(&project.state)?;
        key::signed(&distribute::sign(&store, &built.path, &keys)?, output);
        let mut lock = self.how.lock(&store, profile, output)?;
        if !self.how.force
            && let Some(rollback) = store.left(profile, name)?
        {
            let bundle = name.clone();
            return Err(
                StoreError::Left { profile: profile.clone(), bundle, generation: rollback.number }.into()
            );
        }
        self.how.take(project, &mut lock, &built.path, None, &options, output)
    }
}
