//! A plugin that is being written: held against cases, and measured.
#![expect(clippy::disallowed_methods, reason = "measures with the clock")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::plugins::{self, Files};
use super::{Failure, Loaded, load_using};
use crate::compiled::{Shelf, Wanted};
use crate::diagnostic::{Finding, has_errors};
use crate::observe::M713;
use crate::plugin::codes::{M703, M704};
use crate::plugin::{self, Begun, Code, Engines, Limits, Plugin, Unloaded, component, policy, thresholds};
use crate::profile::Profile;
use crate::profile::matrix::Profiles;
use crate::project::{Binary, Project};
use crate::stack::change::Change;
use crate::stack::{Stack, resolve};

/// What the plugins of a case did.
#[derive(Debug, Default)]
pub struct Outcome {
    pub changes: Vec<Change>,
    pub findings: Vec<Finding>,
    pub printed: String,
}

/// A profile whose plugins all are this file, whatever is pinned, and which sees no variable.
fn load(project: &Project, profile: &str, file: &[u8]) -> Result<Loaded, Failure> {
    let files = |_: &Project, profile: &Profile| -> anyhow::Result<Files> {
        let all = profile.settings.plugins.keys();
        let file = |name: &String| (name.clone(), Binary::of(file.to_vec()));
        Ok((all.map(file).collect(), vec![]))
    };
    let mut loaded = load_using(project, &Profiles::new(project), profile, &|_| None, files)?;
    // A case's snapshot comes from where there is a Prometheus.
    loaded.report.findings.retain(|finding| finding.code != &M713);
    if has_errors(&loaded.report.findings) {
        return Err(Failure::Refused(Box::new(loaded.report)));
    }
    Ok(loaded)
}

/// Runs a file as the plugins of a profile. That a plugin can't be used or crashes is an
/// outcome, too.
pub fn case(project: &Project, profile: &str, file: &[u8]) -> Result<Outcome, Failure> {
    match plugins::run(project, load(project, profile, file)?, None) {
        Ok(trial) => Ok(Outcome {
            changes: trial.ran.changes,
            findings: trial.report.findings,
            printed: trial.ran.said.printed.into_values().collect(),
        }),
        Err(Failure::Refused(report)) => Ok(Outcome { findings: report.findings, ..Outcome::default() }),
        Err(failed) => Err(failed),
    }
}

/// What a plugin costs.
#[derive(Debug)]
pub struct Cost {
    /// Paid once for each file.
    pub compile: Duration,
    pub begun: Begun,
    /// By number of alerts: a call, and the fuel that it used.
    pub calls: Vec<(usize, Duration, u64)>,
}

/// How many alerts a plugin is measured at.
pub(super) const ALERTS: [usize; 3] = [5, 100, 10_000];
/// Of so many runs the fastest counts: the others were disturbed.
const RUNS: usize = 5;

/// Measures a file with the settings that the first plugin of a profile has, at the profile's
/// first alert many times over.
pub fn cost(project: &Project, profile: &str, file: &[u8]) -> Result<Cost, Failure> {
    let Loaded { profile, files, report, .. } = load(project, profile, file)?;
    let (stack, _) = resolve::resolve(&profile, &files);
    let Some((name, settings)) = profile.settings.plugins.iter().next() else {
        return Err(anyhow::anyhow!("the profile names no plugin").into());
    };
    // A folder of its own, so that nothing is there yet.
    let fresh = tempfile::tempdir()?;
    let limits = Limits::of(&settings.limits);
    let get = || code(fresh.path(), name, file, &limits);
    let (compile, made) = timed(get);
    made?;
    // As builds take it.
    let code = get()?;
    let unloaded = Unloaded { name, code: code.clone(), settings, known: None };
    let (plugins, findings, ()) = plugin::load(vec![unloaded], &mut Engines::default(), || ());
    let [plugin] = plugins.as_slice() else {
        let report = super::Report { findings, ..report };
        return Err(Failure::Refused(Box::new(report)));
    };
    let begun = begun(&code, &limits)?;
    let mut calls = vec![];
    for alerts in ALERTS {
        let stack = repeated(&stack, alerts);
        let (took, (fuel, findings)) = fastest(|| call(plugin, &profile, stack.clone()));
        // What it finds is its work; what went wrong with it is no measure.
        let failed: Vec<_> = findings.into_iter().filter(|f| f.code == &M703 || f.code == &M704).collect();
        if !failed.is_empty() {
            return Err(Failure::Refused(Box::new(super::Report { findings: failed, ..report })));
        }
        calls.push((alerts, took, fuel));
    }
    Ok(Cost { compile, begun, calls })
}

pub(super) fn code(state: &Path, name: &str, file: &[u8], limits: &Limits) -> anyhow::Result<Code> {
    let why = |failure: plugin::Failure| anyhow::anyhow!("the plugin {failure}; {}", failure.remedy(name));
    component::check_size(file.len() as u64, limits).map_err(why)?;
    let file = Binary::of(file.to_vec());
    Shelf::open(state)?.code(&[Wanted { name, file: &file }])?.pop().context("no code was made")?.map_err(why)
}

/// Everything that a build does with one plugin: the fuel used, and what was found.
fn call(plugin: &Plugin, profile: &Profile, mut stack: Stack) -> (u64, Vec<Finding>) {
    let (_, changed) = thresholds::adjust(&[vec![plugin]], profile, &BTreeMap::new(), &mut stack);
    let (judged, ()) = policy::judge(&[plugin], profile, &stack, || ());
    let fuel = [&changed.fuel, &judged.fuel].into_iter().flat_map(BTreeMap::values).sum();
    (fuel, changed.findings.into_iter().chain(judged.findings).collect())
}

/// A stack whose first rule stands there many times, by other names.
fn repeated(stack: &Stack, times: usize) -> Stack {
    let mut stack = stack.clone();
    stack.groups.truncate(1);
    if let Some(group) = stack.groups.first_mut()
        && let Some(rule) = group.rules.first().cloned()
    {
        group.rules = (0..times)
            .map(|n| crate::stack::Rule { name: format!("{}{n}", rule.name), ..rule.clone() })
            .collect();
    }
    stack
}

/// What is done before the first call.
pub(super) fn begun(code: &Code, limits: &Limits) -> Result<Begun, plugin::Failure> {
    let start = Instant::now();
    let begin = || plugin::begin(code, limits, &|| start.elapsed());
    (1..RUNS).try_fold(begin()?, |best, _| begin().map(|next| quicker(best, next)))
}

/// The fastest of each.
fn quicker(a: Begun, b: Begun) -> Begun {
    Begun {
        load: a.load.min(b.load),
        instantiate: a.instantiate.min(b.instantiate),
        describe: a.describe.min(b.describe),
    }
}

pub(super) fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed(), result)
}

pub(super) fn fastest<T>(mut work: impl FnMut() -> T) -> (Duration, T) {
    let first = timed(&mut work);
    (1..RUNS).fold(first, |best, _| {
        let next = timed(&mut work);
        if next.0 < best.0 { next } else { best }
    })
}
