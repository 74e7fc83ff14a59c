//! `monprov follow`
#![expect(clippy::disallowed_methods, reason = "waits between rounds")]

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::activate::{options, tell};
use super::exit;
use super::output::{Output, with_causes};
use crate::activate::proof::Verdict;
use crate::activate::sequence::Activation;
use crate::cache::{Cache, CacheError};
use crate::engine::Failure;
use crate::engine::follow::{Done, Follower, Pace, Round, metrics};
use crate::profile::units;
use crate::project::Project;

/// Run what the signed channel of a profile points to, and what it points to next
#[derive(Debug, Args)]
#[command(after_help = "Needs no project, but a state directory and a trusted key:\n  \
    echo 'keys = [\"fleet-1:…\"]' > /etc/monprov/trust.toml\n  \
    monprov --state-dir /var/lib/monprov follow https://cache.example.org prod")]
pub(super) struct Follow {
    /// The cache: https://…, s3://…, file:///…
    url: String,
    /// The profile
    profile: String,
    /// Ask once, prove what runs, and end with the exit code of `activate`
    #[arg(long, conflicts_with = "every")]
    once: bool,
    /// How often the channel is asked; a tenth earlier or later each time
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    every: units::Duration,
    /// Read secrets that the environment lacks from FILE
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// How long services may take to get well
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    deadline: units::Duration,
    /// Write metrics for the textfile collector of the node exporter
    #[arg(long, value_name = "FILE")]
    textfile: Option<PathBuf>,
}

impl Follow {
    pub(super) fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let follower = Follower {
            project,
            profile: &self.profile,
            cache: Cache::open(&self.url)?,
            last: RefCell::default(),
            options: &options(&self.env_file)?,
            deadline: Duration::from_millis(self.deadline.0),
        };
        if self.once { self.once(&follower, output) } else { self.watch(&follower, output) }
    }

    fn once(&self, follower: &Follower<'_>, output: &Output) -> Result<ExitCode, Failure> {
        let start = Instant::now();
        let round = follower.round(true, &mut |what, text| output.line(what, text));
        self.write(&round, &mut None, output);
        if let Done::Not(failure) = round.done {
            return Err(failure);
        }
        if output.json {
            output.json(&report(&round));
            return Ok(code(&round));
        }
        match &round.activation {
            Some(activation) => Ok(tell(activation, start, output)),
            None => {
                say(&round, output);
                Ok(code(&round))
            }
        }
    }

    fn watch(&self, follower: &Follower<'_>, output: &Output) -> Result<ExitCode, Failure> {
        let mut pace = Pace::new(Duration::from_millis(self.every.0));
        let (mut success, mut told) = (None, String::new());
        let start = Instant::now();
        match follower.keep(&mut |what, text| output.line(what, text)) {
            // A host on which nothing runs yet has no reason to wait.
            Ok(None) => {}
            Ok(Some(activation)) => {
                if !output.json {
                    tell(&activation, start, output);
                }
                std::thread::sleep(pace.first());
            }
            Err(Failure::Failed(error)) => output.warn("failed", &why(&error)),
            Err(refused) => output.warn("refused", &refused.to_string()),
        }
        loop {
            let start = Instant::now();
            let round = follower.round(false, &mut |what, text| output.line(what, text));
            self.write(&round, &mut success, output);
            // What is as it was in the round before is not said again.
            let news = report(&round).to_string();
            if news != told {
                match &round.activation {
                    _ if output.json => output.json_line(&report(&round)),
                    Some(activation) => drop(tell(activation, start, output)),
                    None => say(&round, output),
                }
                told = news;
            }
            std::thread::sleep(pace.next(!round.may_get_better()));
        }
    }

    /// The metrics. That they can't be written keeps nothing from running.
    fn write(&self, round: &Round, success: &mut Option<Timestamp>, output: &Output) {
        if round.done.is_well() {
            *success = Some(Timestamp::now());
        }
        if let Some(file) = &self.textfile
            && let Err(error) = metrics::write(file, round, *success)
        {
            output.warn("failed", &format!("{error:#}"));
        }
    }
}

fn say(round: &Round, output: &Output) {
    let (profile, bundle) = (&round.profile, round.bundle());
    match &round.done {
        Done::Not(Failure::Refused(report)) => {
            for finding in &report.findings {
                output.warn("refused", &format!("{}: {}", finding.code.id, finding.message));
            }
        }
        Done::Not(Failure::Failed(error)) => output.warn("failed", &why(error)),
        Done::Failed => {
            let text = format!(
                "{bundle} failed here before: it waits for the next pointer (`monprov generations {profile}`)"
            );
            output.warn("failed", &text);
        }
        Done::Recorded => {
            output.line("current", &format!("{bundle}; `monprov up --no-build {profile}` runs it"));
        }
        Done::Taken | Done::Kept => output.line("current", &format!("{bundle}  unchanged")),
    }
}

/// A cache has said why already; its causes are a library's.
fn why(error: &anyhow::Error) -> String {
    match error.downcast_ref::<CacheError>() {
        Some(said) => said.to_string(),
        None => with_causes(error),
    }
}

fn report(round: &Round) -> serde_json::Value {
    let (generation, why) = match &round.activation {
        None => (None, vec![]),
        Some(Activation::Unchanged { generation, .. } | Activation::Activated { generation, .. }) => {
            (Some(generation), vec![])
        }
        Some(Activation::Restored { failed, why, .. } | Activation::Stays { failed, why }) => {
            (Some(failed), why.clone())
        }
        Some(Activation::Lost { failed, why, also, .. }) => {
            (Some(failed), why.iter().chain(also).cloned().collect())
        }
    };
    let why = match &round.done {
        Done::Not(Failure::Failed(error)) => vec![self::why(error)],
        Done::Not(refused) => vec![refused.to_string()],
        _ => why,
    };
    json!({
        "profile": round.profile,
        "serial": round.serial,
        "bundle": round.pointer.as_ref().map(|pointer| &pointer.bundle),
        "outcome": round.done.name(),
        "generation": generation,
        "why": why,
    })
}

/// As `activate` ends.
fn code(round: &Round) -> ExitCode {
    let code = match &round.activation {
        None if round.done.is_well() => 0,
        None => exit::REFUSED,
        Some(Activation::Unchanged { report, .. } | Activation::Activated { report, .. }) => {
            if report.having(Verdict::Dead).next().is_some() { exit::FAILED } else { 0 }
        }
        Some(Activation::Restored { .. }) => exit::RESTORED,
        Some(Activation::Stays { .. }) => exit::FAILED,
        Some(Activation::Lost { .. }) => exit::LOST,
    };
    ExitCode::from(code)
}
