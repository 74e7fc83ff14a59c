//! `monprov build`
#![expect(clippy::disallowed_methods, reason = "says how long it took")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use super::key::{self, Keys};
use super::output::{Output, kilobytes, plural};
use super::{Inputs, check};
use crate::engine::provenance::{self, Caller};
use crate::engine::{self, Built, Failure, Options, distribute};
use crate::project::Project;
use crate::store::Store;
use crate::trust::SecretKey;

#[derive(Debug, Args)]
pub(super) struct Build {
    #[command(flatten)]
    inputs: Inputs,
    /// Point LINK to the bundle and keep it from being collected
    #[arg(short, long, value_name = "LINK")]
    out_link: Option<PathBuf>,
    /// Check and render, but write nothing
    #[arg(long)]
    dry_run: bool,
    /// Build twice without the memo and compare: proves that the build is reproducible
    #[arg(long)]
    rebuild: bool,
    #[command(flatten)]
    keys: Keys,
    /// Prove that the inputs that BUNDLE's provenance records give that bundle
    #[arg(long, value_name = "BUNDLE", requires = "rebuild", conflicts_with_all = ["dry_run", "out_link", "key"])]
    from: Option<String>,
    #[command(flatten)]
    attest: Attest,
}

/// What stands in the provenance beside the bundle.
#[derive(Debug, Args)]
struct Attest {
    /// Who builds, for the provenance: the URI of a workflow, say
    #[arg(long, value_name = "URI", conflicts_with = "dry_run")]
    builder: Option<String>,
    /// What tells this run from others, for the provenance
    #[arg(long, value_name = "TEXT", conflicts_with = "dry_run")]
    invocation: Option<String>,
}

impl Attest {
    /// States who builds, and signs what the build has stated.
    fn run(&self, project: &Project, built: &Built, keys: &[SecretKey]) -> Result<(), Failure> {
        let caller = Caller { builder: self.builder.clone(), invocation: self.invocation.clone() };
        provenance::attest(&Store::open(&project.state)?, built, &caller, keys)
    }
}

impl Build {
    pub(super) fn run(&self, project: &Project, output: &mut Output) -> Result<ExitCode, Failure> {
        let start = Instant::now();
        let mut options = self.inputs.options()?;
        options.rebuild = self.rebuild;
        if self.dry_run {
            let loaded = engine::load(project, &self.inputs.profile, &options.environment)?;
            let evaluation = engine::evaluate(project, loaded, &options)?;
            let path = Store::open(&project.state)?.path_of(&evaluation.name);
            check::summary(&evaluation, output);
            output.line("bundle", "not written (--dry-run)");
            let path = path.path().display().to_string();
            let report = evaluation.report;
            output.findings_if_any(report);
            print(output, &path, true, 0);
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(from) = &self.from {
            return self.reproduce(project, from, &options, output);
        }
        let keys = self.keys.read(output)?;
        let built = engine::build(project, &self.inputs.profile, &options)?;
        self.attest.run(project, &built, &keys)?;
        let Built { path, evaluation, secrets, hold, .. } = built;
        if self.rebuild {
            let again = engine::build(project, &self.inputs.profile, &options)?;
            if again.path != path {
                let (one, two) = (path.path().display(), again.path.path().display());
                return Err(anyhow::anyhow!(
                    "two builds of the same inputs differ:\n  {one}\n  {two}\ncompare them with `diff -r`; this is a defect of monprov"
                )
                .into());
            }
        }
        let signed = distribute::sign(&Store::open(&project.state)?, &path, &keys)?;
        if let Some(link) = &self.out_link {
            Store::open(&project.state)?.out_link(link, &path)?;
        }
        drop(hold);
        let memo = evaluation.is_none();
        match evaluation {
            Some(evaluation) => {
                check::summary(&evaluation, output);
                let size: usize = evaluation.tree.iter().map(|(_, file)| file.content.len()).sum();
                let files = plural(evaluation.tree.len(), "file");
                let proof = if self.rebuild { "  reproduced" } else { "" };
                output.line(
                    "bundle",
                    &format!(
                        "{files}, {}{proof:<12} {} ms",
                        kilobytes(size as u64),
                        start.elapsed().as_millis()
                    ),
                );
                output.findings_if_any(evaluation.report);
            }
            None => {
                check::secrets_line(&secrets, secrets.values().sum(), output);
                output.line("bundle", &format!("unchanged               {} ms", start.elapsed().as_millis()));
            }
        }
        key::signed(&signed, output);
        print(output, &path.path().display().to_string(), false, u8::from(memo));
        Ok(ExitCode::SUCCESS)
    }

    fn reproduce(
        &self,
        project: &Project,
        from: &str,
        options: &Options,
        output: &Output,
    ) -> Result<ExitCode, Failure> {
        let start = Instant::now();
        let path = Store::open(&project.state)?.find(from)?;
        let trust = distribute::trust(Some(project), Some(&self.inputs.profile))?;
        let (_, examined) = provenance::reproduce(project, &self.inputs.profile, &path, &trust, options)?;
        let signers: Vec<_> = examined.verdict.signed_by.iter().map(String::as_str).collect();
        let signed = if signers.is_empty() { "nobody".into() } else { signers.join(", ") };
        output.line(
            "recorded",
            &format!("{}, signed by {signed}", plural(examined.statement.files().len(), "input")),
        );
        output.line("bundle", &format!("reproduced              {} ms", start.elapsed().as_millis()));
        print(output, &path.path().display().to_string(), false, 0);
        Ok(ExitCode::SUCCESS)
    }
}

fn print(output: &Output, path: &str, dry_run: bool, memo: u8) {
    if output.json {
        output.json(&serde_json::json!({ "path": path, "written": !dry_run, "memo": memo == 1 }));
    } else {
        output.result(&format!("{path}\n"));
    }
}
