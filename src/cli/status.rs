//! `monprov status`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use clap::Args;
use jiff::Timestamp;

use super::activate::{options, proved};
use super::exit;
use super::output::Output;
use super::table::{table, when};
use crate::activate::{Running, State};
use crate::engine::Failure;
use crate::engine::activate::{self, Status as Found};
use crate::project::Project;
use crate::store::Store;

/// Ask the services themselves whether they run the current generation, and say what drifted:
/// the bundle on disk, the running configuration, services, targets, secrets. Ends with 1
/// where something is not as it should be.
#[derive(Debug, Args)]
pub(super) struct Status {
    /// The profile [default: all that were activated]
    profile: Option<String>,
    /// Read secrets that the environment lacks from FILE
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Don't ask whether secrets have changed
    #[arg(long)]
    no_secrets: bool,
}

impl Status {
    pub(super) fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let profiles = match &self.profile {
            Some(profile) => vec![profile.clone()],
            None => Store::open(&project.state)?.profiles()?,
        };
        let mut options = options(&self.env_file)?;
        options.secrets = !self.no_secrets;
        let mut all = vec![];
        for profile in &profiles {
            all.push(activate::status(project, profile, &options)?);
        }
        if output.json {
            output.json(&all.iter().map(json).collect::<Vec<_>>());
        } else {
            all.iter().for_each(|status| print(status, output));
        }
        let well = all.iter().all(Found::is_well);
        Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
    }
}

fn json(status: &Found) -> serde_json::Value {
    serde_json::json!({
        "profile": status.profile,
        "current": status.current,
        "interrupted": status.interrupted,
        "runs": status.runs,
        "changing": status.changing,
        "services": status.services,
        "checks": status.proof,
        "changed_files": status.changed.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "rotated_secrets": status.secrets.as_ref().ok(),
        "well": status.is_well(),
    })
}

fn print(status: &Found, output: &Output) {
    let profile = &status.profile;
    match &status.current {
        Some(one) => output.line("current", &format!("{profile} generation {}  {}", one.number, one.bundle)),
        None => output.line("current", &format!("{profile}: nothing runs")),
    }
    if status.changing {
        output.line("found", &format!("another run is changing `{profile}`"));
    }
    if let Some(one) = &status.interrupted {
        let runs = |(service, generation): (&String, &Option<u64>)| match generation {
            Some(number) => format!("{service} runs generation {number}"),
            None => format!("which one {service} runs can't be told"),
        };
        let runs: Vec<String> = status.runs.iter().map(runs).collect();
        let runs = if runs.is_empty() { String::new() } else { format!("; {}", runs.join(", ")) };
        let text = format!(
            "generation {} ({}) was cut short{runs}: `monprov switch {profile}` finishes, `monprov rollback {profile}` undoes it",
            one.number, one.bundle
        );
        output.line("found", &text);
    }
    let rows = status.services.0.iter().map(|(name, running)| row(name, running));
    if !status.services.0.is_empty() {
        output.result(&table(&["service", "state", "since", ""], rows));
    }
    if status.bundle.is_some() {
        proved(&status.proof, output);
    }
    for check in status.proof.wrong() {
        output.line("drift", &format!("{} {}", check.service, check.text));
    }
    for difference in &status.changed {
        output.line("drift", &format!("the bundle on disk was changed: {difference}"));
    }
    match &status.secrets {
        Ok(services) if services.is_empty() => {}
        Ok(services) => {
            let text = format!(
                "the secrets of {} have changed since: monprov secrets sync {profile}",
                services.join(", ")
            );
            output.line("drift", &text);
        }
        Err(why) => output.line("note", &format!("whether secrets have changed is not known: {why}")),
    }
}

fn row(name: &str, running: &Running) -> Vec<String> {
    let (state, why) = match &running.state {
        State::Starting => ("starting", ""),
        State::Running => ("running", ""),
        State::Healthy => ("healthy", ""),
        State::Unhealthy(why) => ("unhealthy", why.as_str()),
        State::Failed(why) => ("failed", why.as_str()),
        State::Absent(why) => ("absent", why.as_str()),
    };
    let since = running.since.and_then(|since| since.duration_since(UNIX_EPOCH).ok());
    let since =
        since.and_then(|since: Duration| Timestamp::from_second(since.as_secs().try_into().ok()?).ok());
    let since = since.map(when);
    let why = why.lines().next().unwrap_or_default();
    vec![name.to_owned(), state.to_owned(), since.unwrap_or_default(), why.to_owned()]
}
