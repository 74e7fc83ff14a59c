//! `monprov plugin inspect`: what a file is

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{read, worlds};
use crate::cli::output::{Output, kilobytes};
use crate::engine::{Failure, plugins};
use crate::project::Project;

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// A component, a core module or component text
    file: PathBuf,
}

impl Inspect {
    /// Also without a project: an author may have none.
    pub(super) fn run(&self, project: Option<Project>, output: &Output) -> Result<ExitCode, Failure> {
        let bytes = read(&self.file)?;
        let shown = self.file.display();
        let scratch = tempfile::tempdir()?;
        let state = project.as_ref().map_or(scratch.path(), |project| &project.state);
        let (info, sha256) = plugins::inspect(state, &shown.to_string(), &bytes)
            .map_err(|why| anyhow::anyhow!("{shown} is no plugin: {why}"))?;
        let schema = crate::plugin::schema::parse(&info.settings_schema).unwrap_or_default();
        if output.json {
            output.json(&json!({
                "name": info.name, "version": info.version, "homepage": info.homepage, "worlds": info.worlds,
                "abi": info.abi.version(), "wasi": info.wasi, "size": bytes.len(), "sha256": sha256, "settings": schema,
            }));
            return Ok(ExitCode::SUCCESS);
        }
        let imports = match info.wasi.as_slice() {
            [] => "nothing".to_owned(),
            wasi => format!("{} (all denied or fixed)", wasi.join(", ")),
        };
        let schema = match schema {
            Some(schema) => serde_json::to_string_pretty(&schema)?,
            None => "none".into(),
        };
        output.result(&format!(
            "plugin    {} {}\nabi       {}\nhomepage  {}\ndoes      {}\nimports   {imports}\nsize      {}\nsha256    {sha256}\nsettings  {}\n",
            info.name,
            info.version,
            info.abi.version(),
            if info.homepage.is_empty() { "-" } else { &info.homepage },
            worlds(&info.worlds),
            kilobytes(bytes.len() as u64),
            schema.replace('\n', "\n          "),
        ));
        Ok(ExitCode::SUCCESS)
    }
}
