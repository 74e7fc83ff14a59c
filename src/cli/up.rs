//! `monprov up`
#![expect(clippy::disallowed_methods, reason = "says how long it took")]

use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

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
        let start = Instant::now();
        let profile = &self.inputs.profile;
        let options = self.inputs.options()?;
        // Until its generation is there, what was built is kept from `gc`.
        let (path, hold) = match self.no_build {
            true => (engine::processes::current(project, profile)?, None),
            false => {
                let built = engine::build(project, profile, &options)?;
                (built.path, Some(built.hold))
            }
        };
        let supervisor = Supervisor::open(&project.state, profile)?;
        let (events, watched): (Events, Watched) = channel();
        let (printer, said) = (output.clone(), output.clone());
        let printing = thread::spawn(move || watch::print(&printer, &watched));
        let project = project.clone();
        let client = Client::new(&project.state, profile);
        let (failed, failure) = mpsc::channel();
        thread::spawn(move || {
            let mut say = |what: &str, text: &str| said.line(what, text);
            let started = engine::processes::start(&project, &path, &options, &mut say);
            drop(hold);
            if let Ok(activation) = &started {
                super::activate::tell(activation, start, &said);
            }
            if let Err(why) = started {
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
