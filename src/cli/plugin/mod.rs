//! `monprov plugin`: make, build, test and measure plugins, and pin, list, inspect and try them

mod bench;
mod build;
mod delivery;
mod fetch;
mod folder;
mod inspect;
mod new;
mod pins;
mod publish;
mod replay;
mod run;
mod test;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::output::Output;
use crate::engine::Failure;
use crate::plugin::World;
use crate::project::Project;

#[derive(Debug, Args)]
pub(super) struct Plugin {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Pin a plugin in monprov.lock; one from elsewhere is copied to plugins/ first
    Add(pins::Add),
    /// Pin changed files of plugins anew
    Update(pins::Update),
    /// Publish a plugin in a registry
    Publish(publish::Publish),
    /// List a profile's plugins: pins, what they can do and may change
    List(pins::List),
    /// Show what a file is: what it can do, imports and takes as settings
    Inspect(inspect::Inspect),
    /// Run one plugin against a profile and show what it wants changed and finds
    Run(run::Run),
    /// Show what a channel plugin makes of a recorded payload; nothing is sent
    Replay(replay::Replay),
    /// Write a new plugin that builds, with a test case
    New(new::New),
    /// Build a plugin with its language's toolchain
    Build(build::Build),
    /// Hold a plugin against its test cases
    Test(test::Test),
    /// Measure what a plugin costs
    Bench(bench::Bench),
}

impl Plugin {
    pub(super) fn run(
        &self,
        project: impl Fn() -> anyhow::Result<Project>,
        output: &mut Output,
    ) -> Result<ExitCode, Failure> {
        match &self.verb {
            Verb::Add(verb) => verb.run(&project()?, output),
            Verb::Update(verb) => verb.run(&project()?, output),
            Verb::Publish(verb) => verb.run(project().ok(), output),
            Verb::List(verb) => verb.run(&project()?, output),
            Verb::Inspect(verb) => verb.run(project().ok(), output),
            Verb::Run(verb) => verb.run(&project()?, output),
            Verb::Replay(verb) => verb.run(project, output),
            Verb::New(verb) => verb.run(output),
            Verb::Build(verb) => verb.run(output),
            Verb::Test(verb) => verb.run(output),
            Verb::Bench(verb) => verb.run(output),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "reads the file that it is given")]
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}

fn worlds(worlds: &[World]) -> String {
    worlds.iter().map(|world| world.name()).collect::<Vec<_>>().join(", ")
}

/// What a guest printed, without what would do something to a terminal.
fn show_printed(printed: &str, output: &Output) {
    for line in printed.lines().filter(|line| !line.trim().is_empty()) {
        let plain: String = line.chars().filter(|c| !c.is_control()).collect();
        output.line("printed", &plain);
    }
}
