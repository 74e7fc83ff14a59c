//! `monprov observe`
#![expect(clippy::disallowed_methods, reason = "writes the snapshot beside the profiles")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::environment;
use super::output::{Output, plural};
use super::progress::Progress;
use super::table::table;
use crate::engine::observe::{Question, observe};
use crate::engine::{self, Failure, activate};
use crate::observe::Snapshot;
use crate::profile::units::Duration;
use crate::project::Project;
use crate::stack::ServiceKind;

/// Ask the running Prometheus what the expressions of a profile's alerts gave, and how often
/// each alert would have fired at other thresholds. The answer is kept beside the profiles, for
/// plugins that set thresholds; check it in.
#[derive(Debug, Args)]
pub(super) struct Observe {
    /// The profile
    profile: String,
    /// How far to look back
    #[arg(long, value_name = "TIME", default_value = "14d")]
    window: Duration,
    /// The time between two looks [default: how often the rule is evaluated, or more for a long window]
    #[arg(long, value_name = "TIME", value_parser = step)]
    step: Option<Duration>,
    /// The Prometheus to ask [default: the one that runs for the profile]
    #[arg(long, env = "PROMETHEUS_URL", hide_env_values = true)]
    url: Option<String>,
    /// Write to FILE instead; `-` writes nothing
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Read variables that the environment lacks from FILE
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
}

fn step(text: &str) -> Result<Duration, String> {
    let step: Duration = text.parse()?;
    if step < Duration::seconds(1) { Err("at least one second".into()) } else { Ok(step) }
}

impl Observe {
    pub(super) fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let loaded = engine::load(project, &self.profile, &environment(&self.env_file)?)?;
        let (url, _reached) = match &self.url {
            Some(url) => (url.clone(), None),
            None => {
                let reached = self.running(project)?;
                (format!("http://{}", reached.address), Some(reached))
            }
        };
        let question = Question { url: &url, window: self.window, step: self.step };
        let mut progress = None;
        let bar = std::cell::RefCell::new(&mut progress);
        let snapshot = observe(
            loaded,
            &question,
            &mut |all| **bar.borrow_mut() = Some(Progress::new("observing", all, output)),
            &mut || {
                if let Some(progress) = bar.borrow().as_ref() {
                    progress.step();
                }
            },
        )?;
        drop(progress);
        let text = snapshot.to_text()?;
        let path = match &self.out {
            Some(path) => path.clone(),
            None => project.profiles().join(Snapshot::file(&self.profile)),
        };
        if path != Path::new("-") {
            write(&path, &text)?;
        }
        match output.json {
            true => output.json(&snapshot),
            false => self.print(&snapshot, &path, output),
        }
        Ok(ExitCode::SUCCESS)
    }

    fn running(&self, project: &Project) -> Result<activate::Reached, Failure> {
        let profile = &self.profile;
        match activate::address(project, profile, ServiceKind::Prometheus)? {
            Some(reached) => Ok(reached),
            None => Err(anyhow::anyhow!(
                "no Prometheus of `{profile}` runs here: `monprov switch {profile}` starts it, --url names another"
            )
            .into()),
        }
    }

    fn print(&self, snapshot: &Snapshot, path: &Path, output: &Output) {
        let rows = snapshot.alerts.iter().map(|(id, seen)| {
            let at = |q: f64| {
                seen.quantiles.iter().find(|(at, _)| *at == q).map_or("-".into(), |(_, v)| short(*v))
            };
            let current = seen.would_fire.iter().find(|fired| fired.current);
            let fired = current.map_or("-".into(), |fired| {
                format!(
                    "{}, {}",
                    plural(fired.times as usize, "time"),
                    Duration((fired.seconds * 1000.0) as u64)
                )
            });
            let threshold = current.map_or("-".into(), |fired| short(fired.threshold));
            vec![id.clone(), threshold, fired, at(0.5), at(0.99), at(1.0), seen.samples.to_string()]
        });
        output.result(&table(&["alert", "threshold", "fired at it", "half", "99 %", "all", "values"], rows));
        for (id, why) in &snapshot.left_out {
            output.line("left out", &format!("{id}: {why}"));
        }
        let longest = snapshot.alerts.values().max_by(|a, b| a.window_s.total_cmp(&b.window_s));
        if let Some(longest) = longest.filter(|seen| seen.window_s < self.window.as_secs_f64() * 0.95) {
            let there = Duration((longest.window_s / 60.0).round() as u64 * 60_000);
            let since = &longest.since;
            output.line("found", &format!("there is data of {there}, since {since}, not of {}", self.window));
        }
        output.line(
            "observed",
            &format!("{} at Prometheus {}", plural(snapshot.alerts.len(), "alert"), snapshot.prometheus),
        );
        if path != Path::new("-") {
            output.line("wrote", &path.display().to_string());
        }
    }
}

/// Four digits of a number are enough to look at.
fn short(value: f64) -> String {
    let digits = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    let places = (3.0 - digits).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.places$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// Either the old one or the new one is there, whatever happens.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let mut file = tempfile::Builder::new().prefix(".observed-").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path).with_context(|| path.display().to_string())?;
    Ok(())
}
