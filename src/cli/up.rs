//! `monprov up`

use std::process::ExitCode;
use std::thread;

use clap::Args;

use super::Inputs;
use super::output::Output;
use super::watch;
use crate::activate::process::{Client, Events, Supervisor, Watched, channel};
use crate::engine::{self, Failure};
use crate::project::Project;
use crate::store::Store;

#[derive(Debug, Args)]
pub(super) struct Up {
    #[command(flatten)]
    inputs: Inputs,
}

impl Up {
    pub(super) fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let profile = &self.inputs.profile;
        let options = self.inputs.options()?;
        let built = engine::build(project, profile, &options)?;
        let supervisor = Supervisor::open(&project.state, profile)?;
        let (events, watched): (Events, Watched) = channel();
        let printer = output.clone();
        let printing = thread::spawn(move || watch::print(&printer, &watched));
        let store = Store::open(&project.state)?;
        let client = Client::new(&project.state, profile);
        let starting = thread::spawn(move || {
            // Its end is the end of `run` below.
            let started = engine::run_processes(&store, &client, built.path);
            if started.is_err() {
                let _ = client.stop();
            }
            started
        });
        let ended = supervisor.run(events);
        watch::finish(printing);
        ended?;
        if starting.is_finished()
            && let Ok(started) = starting.join()
        {
            started?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
