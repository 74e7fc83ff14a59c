//! `monprov plugin bench`: what a plugin costs
#![expect(clippy::disallowed_methods, reason = "writes a profile for a plugin that has none")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::folder::Folder;
use super::{delivery, read};
use crate::cli::output::Output;
use crate::cli::table::table;
use crate::engine::authors::Cost;
use crate::engine::{Failure, authors, deliveries};
use crate::plugin::{Begun, World};
use crate::project::Project;

#[derive(Debug, Args)]
pub(super) struct Bench {
    /// A plugin's file, or its folder: then with the settings of its first case
    #[arg(value_name = "FILE|DIR", default_value = ".", hide_default_value = true)]
    plugin: PathBuf,
}

/// For a file alone: the settings are its defaults.
const PROFILE: &str = "\
[plugins.plugin]
file = \"plugin.wasm\"

[alerts.Measured]
expr = \"up == ${threshold}\"
threshold = 0
severity = \"warning\"
";

/// The same for a channel.
const PAYLOAD: &str = r#"{
    "version": "4", "groupKey": "{}", "externalURL": "http://alertmanager:9093",
    "groupLabels": {"alertname": "Measured"}, "commonLabels": {"alertname": "Measured"},
    "alerts": [{
        "status": "firing", "fingerprint": "0000000000000000", "startsAt": "2026-01-02T03:04:05Z",
        "labels": {"alertname": "Measured", "instance": "example:9090", "severity": "warning"},
        "annotations": {"summary": "it is measured"}
    }]
}"#;

impl Bench {
    pub(super) fn run(&self, output: &Output) -> Result<ExitCode, Failure> {
        let cost = self.cost()?;
        let Begun { load, instantiate, describe } = cost.begun;
        let ms = |took: Duration| took.as_secs_f64() * 1000.0;
        if output.json {
            let call = |(alerts, took, fuel): &(usize, Duration, u64)| json!({ "alerts": alerts, "ms": ms(*took), "fuel": fuel });
            let calls: Vec<_> = cost.calls.iter().map(call).collect();
            output.json(&json!({
                "compile_ms": ms(cost.compile), "load_ms": ms(load), "instantiate_ms": ms(instantiate),
                "describe_ms": ms(describe), "calls": calls,
            }));
            return Ok(ExitCode::SUCCESS);
        }
        let row = |what: String, took: Duration, fuel: String| vec![what, format!("{:.3}", ms(took)), fuel];
        let mut rows = vec![
            row("compile, once per file".into(), cost.compile, String::new()),
            row("load".into(), load, String::new()),
            row("make an instance, in each call".into(), instantiate, String::new()),
            row("describe, once per settings".into(), describe, String::new()),
        ];
        rows.extend(
            cost.calls
                .iter()
                .map(|(n, took, fuel)| row(format!("call, {n} alerts"), *took, fuel.to_string())),
        );
        output.result(&table(&["what", "ms", "fuel"], rows.into_iter()));
        Ok(ExitCode::SUCCESS)
    }

    fn cost(&self) -> Result<Cost, Failure> {
        let scratch = tempfile::tempdir()?;
        let (case, bytes) = if self.plugin.is_dir() {
            let folder = Folder::open(&self.plugin)?;
            let (_, first) = folder.cases()?.into_iter().next().context("no case")?;
            (first, folder.read_built()?)
        } else {
            (scratch.path().to_owned(), read(&self.plugin)?)
        };
        let name = self.plugin.display().to_string();
        if deliveries::worlds(scratch.path(), &name, &bytes)?.contains(&World::Channel) {
            let file = case.join(delivery::PAYLOAD);
            let payload = if file.is_file() { read(&file)? } else { PAYLOAD.as_bytes().to_vec() };
            return Ok(deliveries::cost(&name, &bytes, delivery::settings(&case)?, &payload)?);
        }
        if !self.plugin.is_dir() {
            std::fs::write(case.join("profile.toml"), PROFILE)?;
        }
        let project = Project::find(&case, Some(Path::new(".")), Some(scratch.path()))?;
        authors::cost(&project, "profile", &bytes)
    }
}
