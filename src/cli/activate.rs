//! `monprov activate`, and what all verbs that change what runs have in common.
#![expect(clippy::disallowed_methods, reason = "says how long it took")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::changes;
use super::output::Output;
use super::{environment, exit};
use crate::activate::plan::Step;
use crate::activate::proof::{self, Verdict};
use crate::activate::sequence::{Activation, Outlook};
use crate::diff;
use crate::engine::activate::{self as engine, Change};
use crate::engine::{Failure, Options, distribute, side};
use crate::oracle::Oracle;
use crate::profile::units;
use crate::project::Project;
use crate::store::{Attempt, Busy, Generation, NO_RUNTIME, ProfileLock, Rollback, Store, StorePath};

#[derive(Debug, Args)]
pub(super) struct Activate {
    /// A store path, its name or the beginning of it
    bundle: String,
    /// Read secrets that the environment lacks from FILE
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    #[command(flatten)]
    how: How,
}

/// What every verb takes that changes what runs.
#[derive(Debug, Args)]
pub(super) struct How {
    /// `none`: only move `live` and the generation; something else runs the stack
    #[arg(long, value_name = "RUNTIME", value_parser = [NO_RUNTIME])]
    runtime: Option<String>,
    /// Say what would happen, and touch nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// How long services may take to get well
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    deadline: units::Duration,
    /// Why, for those who read `monprov generations`
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Also a bundle that is marked as failed, or that a rollback left
    #[arg(long)]
    pub(super) force: bool,
    /// Also prove that every receiver that is new or another can deliver: see `monprov drill`
    #[arg(long)]
    drill: bool,
    /// How long a canary of `--drill` may take, beyond the `group_wait` of its route
    #[arg(long, value_name = "DURATION", default_value = "1m", requires = "drill")]
    drill_timeout: units::Duration,
    /// Fail instead of waiting while another run changes the profile
    #[arg(long)]
    no_wait: bool,
}

impl Activate {
    pub(super) fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let store = Store::open(&project.state)?;
        let _hold = store.hold()?;
        let bundle = store.find(&self.bundle)?;
        let mut lock = self.how.lock(&store, bundle.name().name(), output)?;
        self.how.take(project, &mut lock, &bundle, None, &options(&self.env_file)?, output)
    }
}

/// What resolving secrets needs where nothing is built.
pub(super) fn options(env_file: &[PathBuf]) -> Result<Options, Failure> {
    Ok(Options { environment: environment(env_file)?, oracle: Oracle::Off, secrets: true, rebuild: false })
}

impl How {
    /// The profile's lock; says so where it has to wait.
    pub(super) fn lock(&self, store: &Store, profile: &str, output: &Output) -> Result<ProfileLock, Failure> {
        let mut say = || output.line("waits", &format!("another run is changing `{profile}`"));
        let busy = if self.no_wait { Busy::Refuse } else { Busy::Wait(&mut say) };
        Ok(store.lock_profile(profile, busy)?)
    }

    /// Makes a bundle what runs, and says what came of it.
    pub(super) fn take(
        &self,
        project: &Project,
        lock: &mut ProfileLock,
        bundle: &StorePath,
        rollback: Option<Rollback>,
        options: &Options,
        output: &Output,
    ) -> Result<ExitCode, Failure> {
        if self.runtime.is_some() {
            return self.record(project, lock, bundle, rollback, output);
        }
        announce(lock, bundle, output);
        let message = self.message.as_deref();
        let deadline = Duration::from_millis(self.deadline.0);
        let drill = self.drill.then(|| Duration::from_millis(self.drill_timeout.0));
        let change = Change { bundle, rollback, message, force: self.force, stay: false, drill, deadline };
        if self.dry_run {
            let outlook = engine::outlook(project, lock, &change, options)?;
            return Ok(would(&outlook, output));
        }
        let start = Instant::now();
        let mut say = |what: &str, text: &str| output.line(what, text);
        let activation = engine::activate(project, lock, &change, options, &mut say)?;
        Ok(tell(&activation, start, output))
    }

    /// Moves `live` and the generation, and nothing else.
    fn record(
        &self,
        project: &Project,
        lock: &mut ProfileLock,
        bundle: &StorePath,
        rollback: Option<Rollback>,
        output: &Output,
    ) -> Result<ExitCode, Failure> {
        if let Some(generation) = lock.settle()? {
            let (number, outcome) = (generation.number, generation.outcome.name());
            output.line("settled", &format!("generation {number}, whose run was killed: {outcome}"));
        }
        lock.require_activatable(bundle, self.force)?;
        distribute::require_trusted(project, lock.store(), bundle)?;
        if let Some(generation) = lock.already(bundle.name())? {
            return Ok(done(&generation, None, "unchanged", output));
        }
        let message = self.message.as_deref();
        let generation = lock.record(Attempt { bundle, runtime: NO_RUNTIME, message, rollback })?;
        let note = rollback.map(|rollback| format!("back to {}", rollback.to)).unwrap_or_default();
        Ok(done(&generation, None, &note, output))
    }
}

/// What the people on call get to see of it, before anything happens. An old bundle that can't
/// be read any more stops nobody.
fn announce(lock: &ProfileLock, bundle: &StorePath, output: &Output) {
    let store = lock.store();
    let Ok(Some(current)) = store.current(lock.profile()) else { return };
    let old = store.path_of(&current.bundle);
    match (side(store, &old), side(store, bundle)) {
        (Ok(old), Ok(new)) => {
            let changes = diff::changes(Some(&old), &new);
            output.watch(|color| changes::text(&changes, color));
        }
        (old, new) => {
            tracing::warn!(old = old.is_ok(), new = new.is_ok(), "the bundles can't be compared");
        }
    }
}

fn would(outlook: &Outlook, output: &Output) -> ExitCode {
    if output.json {
        output.json(&serde_json::json!({ "services": outlook.plan, "secrets": outlook.changes }));
        return ExitCode::SUCCESS;
    }
    output.line("would", &outlook.plan.to_string());
    let text = outlook.plan.0.iter().filter(|(_, step)| **step != Step::Keep);
    output.result(&text.map(|(name, step)| format!("{step:<8} {name}\n")).collect::<String>());
    ExitCode::SUCCESS
}

pub(super) fn tell(activation: &Activation, start: Instant, output: &Output) -> ExitCode {
    let took = format!("{:.1} s", start.elapsed().as_secs_f64());
    match activation {
        Activation::Unchanged { generation, report } => {
            proved(report, output);
            done(generation, Some(report), "unchanged", output)
        }
        Activation::Activated { generation, report, .. } => {
            proved(report, output);
            done(generation, Some(report), &took, output)
        }
        Activation::Restored { failed, again, why } => {
            let runs = match again {
                Some(again) => format!("generation {} runs again", again.number),
                None => "nothing runs, as before".to_owned(),
            };
            output.line("restored", &format!("{runs}, proved  {took}"));
            let marked = if failed.rejected {
                format!("; bundle {} is marked as failed", failed.bundle)
            } else {
                String::new()
            };
            let show = format!("monprov generations {} --show {}", failed.bundle.name(), failed.number);
            failure(
                failed,
                "restored",
                why,
                &format!("activation failed, {runs}{marked}\n   = what was wrong: {show}"),
                output,
            );
            ExitCode::from(exit::RESTORED)
        }
        Activation::Stays { failed, why } => {
            let text = "not all is as it should be; what runs goes on, and `switch` tries again";
            failure(failed, "failed", why, text, output);
            ExitCode::from(exit::FAILED)
        }
        Activation::Lost { failed, again, why, also } => {
            let profile = failed.bundle.name();
            let by_hand = match again {
                Some(again) => format!(
                    "remove the cause and run `monprov activate {} --force`; `monprov status {profile}` says what runs",
                    again.bundle
                ),
                None => format!("remove the cause and run `monprov down {profile}`"),
            };
            let all: Vec<String> = why.iter().chain(also).cloned().collect();
            let text = format!(
                "activation failed, and what ran before could not be restored: {}\n   = by hand: {by_hand}",
                also.join("; ")
            );
            failure(failed, "failed", &all, &text, output);
            ExitCode::from(exit::LOST)
        }
    }
}

fn failure(failed: &Generation, outcome: &str, why: &[String], text: &str, output: &Output) {
    if output.json {
        output.json(&serde_json::json!({ "outcome": outcome, "generation": failed, "why": why }));
    } else {
        output.error(&anyhow::anyhow!("{text}"));
    }
}

/// The proof, for those who watch.
pub(super) fn proved(report: &proof::Report, output: &Output) {
    let texts = |verdict: Verdict| report.having(verdict).map(|c| format!("{} {}", c.service, c.text));
    let own = |check: &&proof::Check| {
        // Health is what everybody expects; it is told where it is missing.
        !check.text.starts_with("is healthy") && !check.text.starts_with("runs (")
    };
    let proved = report.having(Verdict::Proved).filter(own).map(|c| format!("{} {}", c.service, c.text));
    let proved: Vec<String> = proved.collect();
    output.line("proof", &if proved.is_empty() { "every service is well".into() } else { proved.join("  ") });
    let notes = report
        .checks
        .iter()
        .filter(|c| matches!(c.verdict, Verdict::Note | Verdict::Hoping(_) | Verdict::Dead));
    for note in notes {
        output.line("note", &format!("{} {}", note.service, note.text));
    }
    let unproved: Vec<String> = texts(Verdict::Unproved).collect();
    if !unproved.is_empty() {
        output.line("", &format!("not provable: {}", unproved.join(", ")));
    }
}

/// Says what is current now, and by which proof.
fn done(generation: &Generation, report: Option<&proof::Report>, note: &str, output: &Output) -> ExitCode {
    if output.json {
        output.json(&Done { generation, checks: report });
    }
    let text = format!("generation {:<12} {}  {note}", generation.number, generation.bundle);
    output.line("current", text.trim_end());
    let dead = report.into_iter().flat_map(|report| report.having(Verdict::Dead));
    let dead: Vec<&str> = dead.map(|check| check.service.as_str()).collect();
    if dead.is_empty() {
        return ExitCode::SUCCESS;
    }
    if !output.json {
        let profile = generation.bundle.name();
        output.error(&anyhow::anyhow!(
            "{} ran neither before nor after: what this generation means for it is not proved\n   \
             = remove the cause and run `monprov switch {profile}` again; `monprov status {profile}` says more",
            dead.join(", ")
        ));
    }
    ExitCode::from(exit::FAILED)
}

#[derive(Serialize)]
struct Done<'a> {
    #[serde(flatten)]
    generation: &'a Generation,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<&'a proof::Report>,
}
