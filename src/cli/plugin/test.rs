//! `monprov plugin test`: a plugin against cases that are kept as files
#![expect(clippy::disallowed_methods, reason = "reads and writes what cases expect")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::delivery::{self, PAYLOAD};
use super::folder::Folder;
use super::show_printed;
use crate::cli::exit;
use crate::cli::output::{Output, plural};
use crate::engine::{Failure, authors};
use crate::plugin::case;
use crate::project::Project;

#[derive(Debug, Args)]
pub(super) struct Test {
    /// The plugin's folder
    #[arg(value_name = "DIR", default_value = ".", hide_default_value = true)]
    folder: PathBuf,
    /// Take what the plugin does now as what is expected
    #[arg(long)]
    bless: bool,
}

/// What a case showed.
#[derive(Debug, Serialize)]
struct Case {
    name: String,
    passed: bool,
    blessed: bool,
    got: String,
    printed: String,
    /// From what is expected to what is; empty where they are the same.
    #[serde(skip_serializing_if = "String::is_empty")]
    diff: String,
}

impl Test {
    pub(super) fn run(&self, output: &Output) -> Result<ExitCode, Failure> {
        let folder = Folder::open(&self.folder)?;
        let bytes = folder.read_built()?;
        let mut cases = vec![];
        for (name, path) in folder.cases()? {
            let case = self.case(&folder, name, &path, &bytes)?;
            if !output.json {
                show(&case, output);
            }
            cases.push(case);
        }
        let failed = cases.iter().filter(|case| !case.passed).count();
        if output.json {
            output.json(&cases);
        } else {
            let result = if failed == 0 { "all as expected".into() } else { format!("{failed} failed") };
            output.line("result", &format!("{}, {result}", plural(cases.len(), "case")));
            if failed > 0 {
                output.line("next", "mend the plugin, or, if it is right: monprov plugin test --bless");
            }
        }
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
    }

    fn case(&self, folder: &Folder, name: String, path: &Path, bytes: &[u8]) -> Result<Case, Failure> {
        let (got, printed) = if path.join(PAYLOAD).is_file() {
            let shown = delivery::case(folder, path, bytes)?;
            (shown.text, shown.printed)
        } else {
            let project = Project::find(path, Some(Path::new(".")), Some(&folder.state()))?;
            let outcome = authors::case(&project, "profile", bytes)?;
            (case::text(&outcome.changes, &outcome.findings), outcome.printed)
        };
        let file = path.join("expected.txt");
        let expected = match std::fs::read_to_string(&file) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| file.display().to_string())?,
        };
        let same = expected.as_ref() == Some(&got);
        let blessed = self.bless && !same;
        if blessed {
            std::fs::write(&file, &got).with_context(|| file.display().to_string())?;
        }
        let diff =
            if same { String::new() } else { case::diff(expected.as_deref().unwrap_or_default(), &got) };
        Ok(Case { name, passed: same || blessed, blessed, got, printed, diff })
    }
}

fn show(case: &Case, output: &Output) {
    let word = match (case.passed, case.blessed) {
        (_, true) => "blessed",
        (true, false) => "ok",
        (false, false) => "FAILED",
    };
    output.result(&format!("{word:<9} {}\n{}", case.name, case.diff));
    show_printed(&case.printed, output);
}
