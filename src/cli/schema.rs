//! `monprov schema`

use std::process::ExitCode;

use super::output::Output;
use crate::engine::Failure;
use crate::profile::shape;

pub(super) fn run(output: &Output) -> Result<ExitCode, Failure> {
    output.json(&shape::layer_schema());
    Ok(ExitCode::SUCCESS)
}
