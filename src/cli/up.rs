//! `monprov up`
#![expect(clippy::disallowed_methods, reason = "says how long it took")]

use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use super::Inputs;
use super::key::{self, Keys};
use super::output::Output;
use super::watch;
use crate::activate::interrupted::Undone;
use crate::activate::process::{Client, Ended, Events, Supervisor, Watched, channel};
use crate::engine::{self, Failure, distribute};
use crate::project::Project;
use crate::store::Store;

/// Its own activation notices within this that the supervisor has ended.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct Up {
    #[command(flatten)]
    inputs: Inputs,
    /// Run the current generation as it is
    #[arg(long)]
    no_build: bool,
    #[command(flatten)]
    keys: Keys,
}

impl Up {
    pub(super) fn builds(&self) -> bool {
        !self.no_build
    }

    pub(super) fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let start = Instant::now();
        let profile = self.inputs.profile.clone();
        let options = self.inputs.options()?;
        // Until its generation is there, what was built is kept from `gc`.
        let (path, hold) = match self.no_build {
            true => (engine::processes::current(project, &profile)?, None),
            false => {
                let keys = self.keys.read(output)?;
                let built = engine::build(project, &profile, &options)?;
                let store = Store::open(&project.state)?;
                key::signed(&distribute::sign(&store, &built.path, &keys)?, output);
                (built.path, Some(built.hold))
            }
        };
        let (told, clients) = mpsc::channel();
        let supervisor = Supervisor::open(&project.state, &profile, told)?;
        let (events, watched): (Events, Watched) = channel();
        let (printer, said) = (output.clone(), output.clone());
        let printing = thread::spawn(move || watch::print(&printer, &watched));
        let client = Client::new(&project.state, &profile);
        let (over, own) = mpsc::channel();
        let (of, named) = (project.clone(), profile.clone());
        thread::spawn(move || {
            let mut say = |what: &str, text: &str| said.line(what, text);
            let started = engine::processes::start(&of, &path, &options, &mut say);
            drop(hold);
            // Where the end came first, that is what is told.
            let ended = matches!(client.status(), Ok(None));
            let failure = match started {
                Ok(activation) if !ended => {
                    super::activate::tell(&activation, start, &said);
                    None
                }
                Ok(_) => None,
                Err(failure) => Some(failure),
            };
            let failed = failure.is_some();
            let _ = over.send(failure);
            if failed {
                // The end of `run` below.
                let _ = client.stop();
                return;
            }
            for () in clients {
                match engine::processes::settle(&of, &named, &options, &mut say) {
                    Ok(Some(undone)) => tell(&undone, &said),
                    Ok(None) => {}
                    Err(failure) => said.warn("failed", &failure.to_string()),
                }
            }
        });
        let stopped = supervisor.run(events);
        watch::finish(printing);
        let stopped = stopped?;
        let interrupted = stopped.ended == Ended::Interrupted;
        let failure = own.recv_timeout(PATIENCE).ok().flatten();
        // A `down` in another terminal does that itself.
        if interrupted || failure.is_some() {
            end(project, &profile, output);
        }
        stopped.release();
        match failure {
            Some(failure) if !interrupted => Err(failure),
            _ => Ok(ExitCode::SUCCESS),
        }
    }
}

/// Takes back what was handed over.
fn end(project: &Project, profile: &str, output: &Output) {
    match engine::processes::end(project, profile) {
        Ok(true) => output.line("secrets", "wiped"),
        Ok(false) => {}
        Err(failure) => {
            output.warn("failed", &format!("{failure}; `monprov down {profile}` wipes the secrets"));
        }
    }
}

fn tell(undone: &Undone, output: &Output) {
    let Undone { cut, again, why } = undone;
    if output.json {
        output.json_line(&serde_json::json!({ "event": "undone", "cut": cut, "again": again, "why": why }));
    } else if why.is_empty() {
        output.line("restored", &format!("generation {} runs again, proved", again.number));
    } else {
        let profile = cut.bundle.name();
        let remedy = format!("remove the cause and run `monprov switch {profile}`");
        output.warn(
            "failed",
            &format!("generation {} is not restored: {}; {remedy}", again.number, why.join("; ")),
        );
    }
}
