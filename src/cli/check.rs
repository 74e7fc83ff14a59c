//! `monprov check` and `monprov path`

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;

use super::Several;
use super::all::{self, Outcome};
use super::output::{Output, plural};
use crate::engine::all::All;
use crate::engine::{self, Evaluation, Failure, Report};
use crate::project::Project;
use crate::stack::{DashboardContent, Route};
use crate::store::Store;

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    inputs: Several,
}

#[derive(Debug, Args)]
pub(super) struct Path {
    #[command(flatten)]
    inputs: Several,
}

impl Check {
    pub(super) fn run(&self, project: &Project, output: &mut Output) -> Result<ExitCode, Failure> {
        self.inputs.evaluate("check", project, output, one_checked, |evaluation| {
            let alerts = evaluation.stack.rules().filter(|(_, rule)| rule.alert().is_some()).count();
            let services = plural(evaluation.stack.services.len(), "service");
            Ok(Outcome::new(
                format!("{}, {services}", plural(alerts, "alert")),
                None,
                evaluation.report,
                output,
            ))
        })
    }
}

fn one_checked(evaluation: Evaluation, output: &Output) -> Result<(), Failure> {
    summary(&evaluation, output);
    if output.json {
        output.findings(evaluation.report);
    } else {
        output.findings_if_any(evaluation.report);
    }
    Ok(())
}

impl Path {
    pub(super) fn run(&self, project: &Project, output: &mut Output) -> Result<ExitCode, Failure> {
        let store = Store::open(&project.state)?;
        let path = |evaluation: &Evaluation| store.path_of(&evaluation.name).path().display().to_string();
        let one = |evaluation: Evaluation, output: &Output| {
            let path = path(&evaluation);
            if output.json {
                output.json(&serde_json::json!({ "path": path }));
            } else {
                output.result(&format!("{path}\n"));
            }
            Ok(())
        };
        self.inputs.evaluate("path", project, output, one, |evaluation| {
            let name = evaluation.name.to_string();
            Ok(Outcome::new(name, Some(path(&evaluation)), Report::default(), output))
        })
    }
}

impl Several {
    /// Evaluates one, which is told at length, or many.
    fn evaluate(
        &self,
        verb: &'static str,
        project: &Project,
        output: &Output,
        one: impl FnOnce(Evaluation, &Output) -> Result<(), Failure>,
        many: impl Fn(Evaluation) -> Result<Outcome, Failure> + Sync,
    ) -> Result<ExitCode, Failure> {
        let options = self.options()?;
        if let Some(profile) = &self.profile {
            let evaluated = engine::load(project, profile, &options.environment)
                .and_then(|loaded| engine::evaluate(project, loaded, &options));
            match evaluated {
                Err(Failure::Refused(report)) if report.is_of_many() => {}
                evaluated => {
                    one(evaluated?, output)?;
                    return Ok(ExitCode::SUCCESS);
                }
            }
        }
        let once = project.once();
        let wanted = All::of(&once, self.profile.as_deref());
        all::run(verb, &wanted, output, |one| many(one.evaluate(&options)?))
    }
}

/// What a person wants to see at a glance before the result.
pub(super) fn summary(evaluation: &Evaluation, output: &Output) {
    let stack = &evaluation.stack;
    let layers: Vec<&str> = evaluation.profile.layers.iter().rev().map(String::as_str).collect();
    let alerts = stack.rules().filter(|(_, rule)| rule.alert().is_some()).count();
    output.line(
        "profile",
        &format!(
            "{:<32} {}, {}, {}",
            layers.join(" ← "),
            plural(layers.len(), "layer"),
            plural(alerts, "alert"),
            plural(stack.services.len(), "service")
        ),
    );
    match &evaluation.resolved {
        Some(resolved) => secrets_line(&resolved.providers(), stack.secrets.sources.len(), output),
        None if stack.secrets.sources.is_empty() => {}
        None => {
            output.line("secrets", &format!("{} not resolved (--no-secrets)", stack.secrets.sources.len()))
        }
    }
    if !evaluation.plugins.is_empty() {
        let found = evaluation.report.findings.iter().filter(|f| f.code.id == "M707").count();
        let changes = plural(evaluation.changes.len(), "change");
        let names = evaluation.plugins.join(", ");
        output.line("plugins", &format!("{names:<32} {changes}, {}", plural(found, "finding")));
    }
    let panels: usize = stack
        .dashboards
        .values()
        .map(|d| match &d.content {
            DashboardContent::Panels { panels, .. } => panels.len(),
            DashboardContent::File { .. } => 0,
        })
        .sum();
    let agree = match evaluation.agree.as_slice() {
        [] => "ok".to_owned(),
        tools => format!("ok   ({} agree)", tools.join(", ")),
    };
    let counts = format!(
        "{}, {}, {}",
        plural(stack.rules().count(), "rule"),
        plural(panels, "panel"),
        plural(routes(&stack.route), "route")
    );
    output.line("checks", &format!("{counts:<32} {agree}"));
}

pub(super) fn secrets_line(providers: &BTreeMap<&'static str, usize>, all: usize, output: &Output) {
    if all == 0 {
        return;
    }
    let found: usize = providers.values().sum();
    let by: Vec<_> = providers.iter().map(|(name, n)| format!("{n} {name}")).collect();
    output.line("secrets", &format!("{:<32} {}", format!("{found} of {all}"), by.join(", ")));
}

fn routes(route: &Route) -> usize {
    1 + route.routes.iter().map(routes).sum::<usize>()
}
