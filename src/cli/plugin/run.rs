//! `monprov plugin run`: one plugin against a profile

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::show_printed;
use crate::cli::output::{Output, plural};
use crate::cli::table::table;
use crate::cli::{environment, exit};
use crate::diagnostic::has_errors;
use crate::engine::plugins::{self, Trial};
use crate::engine::{self, Failure};
use crate::project::Project;

#[derive(Debug, Args)]
pub(super) struct Run {
    /// The profile
    profile: String,
    /// The plugin's name in the profile
    plugin: String,
    /// Read variables that the environment lacks from FILE
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
}

impl Run {
    pub(super) fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let loaded = engine::load(project, &self.profile, &environment(&self.env_file)?)?;
        let plugins = &loaded.profile.settings.plugins;
        if !plugins.contains_key(&self.plugin) {
            let near = crate::diagnostic::nearest(&self.plugin, plugins.keys().map(String::as_str));
            let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            let list = format!("monprov plugin list {}", self.profile);
            return Err(
                anyhow::anyhow!("`{}` has no plugin `{}`{near} ({list})", self.profile, self.plugin).into()
            );
        }
        let Trial { plugins, ran, report } = plugins::run(project, loaded, Some(&self.plugin))?;
        let printed = ran.said.printed.get(&self.plugin).cloned().unwrap_or_default();
        let fuel = ran.said.fuel.get(&self.plugin).copied().unwrap_or_default();
        let settings = plugins.get(&self.plugin).map(crate::plugin::Plugin::settings);
        let failed = has_errors(&report.findings);
        let code = if failed { ExitCode::from(exit::REFUSED) } else { ExitCode::SUCCESS };
        if output.json {
            let findings: Vec<_> = report
                .findings
                .iter()
                .map(|f| json!({ "code": f.code.id, "severity": f.severity, "message": f.message }))
                .collect();
            output.json(&json!({
                "settings": settings, "changes": ran.changes, "findings": findings, "printed": printed, "fuel": fuel,
            }));
            return Ok(code);
        }
        output.line("settings", &settings.unwrap_or_default().to_string());
        show_printed(&printed, output);
        let rows: Vec<_> =
            ran.changes.iter().map(|change| vec![change.to_string(), change.reason.clone()]).collect();
        if !rows.is_empty() {
            output.result(&table(&["change", "why"], rows.into_iter()));
        }
        let findings = report.findings.len();
        output.findings_if_any(report);
        output.line(
            "result",
            &format!("{}, {}, {fuel} fuel", plural(ran.changes.len(), "change"), plural(findings, "finding")),
        );
        Ok(code)
    }
}
