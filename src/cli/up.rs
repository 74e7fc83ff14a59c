//! `monprov up`

use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use clap::Args;

use super::Inputs;
use super::output::Output;
use super::watch;
use crate::activate::process::{Client, Ended, Events, Supervisor, Watched, channel};
use crate::engine::{self, Failure};
use crate::project::Project;

#[derive(Debug, Args)]
pub(super) struct Up {
    #[command(flatten)]
    inputs: Inputs,
    /// Run the current generation as it is
    #[arg(long)]
    no_build: bool,
}

impl Up {
    pub(super) fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let profile = &self.inputs.profile;
        let options = self.inputs.options()?;
        let path = match self.no_build {
            true => engine::processes::current(project, profile)?,
            false => engine::build(project, profile, &options)?.path,
        };
        let supervisor = Supervisor::open(&project.state, profile)?;
        let (events, watched): (Events, Watched) = channel();
        let printer = output.clone();
        let printing = thread::spawn(move || watch::print(&printer, &watched));
        let project = project.clone();
        let client = Client::new(&project.state, profile);
        let (failed, failure) = mpsc::channel();
        thread::spawn(move || {
            if let Err(why) = engine::processes::start(&project, &client, path, &options) {
                let _ = failed.send(why);
                // The end of `run` below.
                let _ = client.stop();
            }
        });
        let ended = supervisor.run(events);
        watch::finish(printing);
        match (ended?, failure.try_recv()) {
            (Ended::Asked, Ok(failure)) => Err(failure),
            _ => Ok(ExitCode::SUCCESS),
        }
    }
}
