//! `monprov check` and `monprov path`

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;

use super::Inputs;
use super::output::{Output, plural};
use crate::engine::{self, Evaluation, Failure};
use crate::project::Project;
use crate::stack::{DashboardContent, Route};
use crate::store::Store;

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    inputs: Inputs,
}

#[derive(Debug, Args)]
pub(super) struct Path {
    #[command(flatten)]
    inputs: Inputs,
}

fn evaluate(inputs: &Inputs, project: &Project) -> Result<Evaluation, Failure> {
    let options = inputs.options()?;
    let loaded = engine::load(project, &inputs.profile, &options.environment)?;
    engine::evaluate(project, loaded, &options)
}

impl Check {
    pub(super) fn run(&self, project: &Project, output: &mut Output) -> Result<ExitCode, Failure> {
        let evaluation = evaluate(&self.inputs, project)?;
        summary(&evaluation, output);
        if output.json {
            output.findings(evaluation.report);
        } else {
            output.findings_if_any(evaluation.report);
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Path {
    pub(super) fn run(&self, project: &Project, output: &mut Output) -> Result<ExitCode, Failure> {
        let evaluation = evaluate(&self.inputs, project)?;
        let path = Store::open(&project.state)?.path_of(&evaluation.name);
        let path = path.path().display().to_string();
        if output.json {
            output.json(&serde_json::json!({ "path": path }));
        } else {
            output.result(&format!("{path}\n"));
        }
        Ok(ExitCode::SUCCESS)
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
