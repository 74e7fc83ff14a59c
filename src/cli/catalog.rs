//! `monprov catalog`

use std::process::ExitCode;

use clap::Args;

use super::output::Output;
use crate::engine::Failure;

#[derive(Debug, Args)]
pub(super) struct Catalog {
    /// The metrics endpoint of a live exporter
    url: Option<String>,
}

impl Catalog {
    pub(super) fn run(&self, _output: &mut Output) -> Result<ExitCode, Failure> {
        Err(anyhow::anyhow!("not wired yet").into())
    }
}
