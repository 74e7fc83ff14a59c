//! `monprov build`
#![expect(clippy::disallowed_methods, reason = "says how long it took")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use super::all::{self, Outcome};
use super::key::{self, Keys};
use super::output::{Output, kilobytes, plural};
use super::{Several, check};
use crate::engine::all::All;
use crate::engine::provenance::{self, Caller};
use crate::engine::{self, Built, Evaluation, Failure, Made, Options, Report, distribute};
use crate::project::Project;
use crate::store::{Store, StorePath};
use crate::trust::SecretKey;

#[derive(Debug, Args)]
pub(super) struct Build {
    #[command(flatten)]
    inputs: Several,
    /// Point LINK to the bundle and keep it from being collected; of many, each gets `LINK-NAME`
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
    #[arg(long, value_name = "BUNDLE", requires = "rebuild", conflicts_with_all = ["dry_run", "out_link", "key", "all"])]
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
    fn caller(&self) -> Caller {
        Caller { builder: self.builder.clone(), invocation: self.invocation.clone() }
    }
}

impl Build {
    pub(super) fn run(&self, project: &Project, output: &mut Output) -> Result<ExitCode, Failure> {
        let mut options = self.inputs.options()?;
        options.rebuild = self.rebuild;
        let keys = if self.dry_run { vec![] } else { self.keys.read(output)? };
        let Some(profile) = &self.inputs.profile else {
            return self.many(None, project, &options, &keys, output);
        };
        match self.one(project, profile, &options, &keys, output) {
            Err(Failure::Refused(report)) if report.is_of_many() => {
                self.many(Some(profile), project, &options, &keys, output)
            }
            done => done,
        }
    }

    fn many(
        &self,
        wanted: Option<&str>,
        project: &Project,
        options: &Options,
        keys: &[SecretKey],
        output: &Output,
    ) -> Result<ExitCode, Failure> {
        let store = Store::open(&project.state)?;
        let hold = store.hold()?;
        let once = project.once();
        all::run("build", &All::of(&once, wanted), output, |one| {
            if self.dry_run {
                let evaluation = one.evaluate(options)?;
                let path = store.path_of(&evaluation.name).path().display().to_string();
                let outcome = Outcome::new("not written (--dry-run)", Some(path), evaluation.report, output);
                return Ok(outcome.with("written", false).with("memo", false));
            }
            let Made { path, evaluation, inputs, .. } = one.build(&store, &hold, options)?;
            provenance::attest(&store, &path, &inputs, &self.attest.caller())?;
            if self.rebuild {
                same(&path, &one.build(&store, &hold, options)?.path)?;
            }
            distribute::sign(&store, &path, keys)?;
            if let Some(link) = &self.out_link {
                let mut link = link.clone().into_os_string();
                link.push(format!("-{}", one.name));
                store.out_link(link.as_ref(), &path)?;
            }
            let memo = evaluation.is_none();
            let (what, report) = match evaluation {
                Some(evaluation) => (written(&evaluation, self.rebuild), evaluation.report),
                None => (all::UNCHANGED.to_owned(), Report::default()),
            };
            let path = path.path().display().to_string();
            Ok(Outcome::new(what, Some(path), report, output).with("written", true).with("memo", memo))
        })
    }

    fn one(
        &self,
        project: &Project,
        profile: &str,
        options: &Options,
        keys: &[SecretKey],
        output: &Output,
    ) -> Result<ExitCode, Failure> {
        let start = Instant::now();
        if self.dry_run {
            let loaded = engine::load(project, profile, &options.environment)?;
            let evaluation = engine::evaluate(project, loaded, options)?;
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
            return self.reproduce(project, profile, from, options, output);
        }
        let Built { path, evaluation, secrets, hold, inputs } = engine::build(project, profile, options)?;
        provenance::attest(&Store::open(&project.state)?, &path, &inputs, &self.attest.caller())?;
        if self.rebuild {
            same(&path, &engine::build(project, profile, options)?.path)?;
        }
        let signed = distribute::sign(&Store::open(&project.state)?, &path, keys)?;
        if let Some(link) = &self.out_link {
            Store::open(&project.state)?.out_link(link, &path)?;
        }
        drop(hold);
        let memo = evaluation.is_none();
        match evaluation {
            Some(evaluation) => {
                check::summary(&evaluation, output);
                let what = written(&evaluation, self.rebuild);
                output.line("bundle", &format!("{what} {} ms", start.elapsed().as_millis()));
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
        profile: &str,
        from: &str,
        options: &Options,
        output: &Output,
    ) -> Result<ExitCode, Failure> {
        let start = Instant::now();
        let path = Store::open(&project.state)?.find(from)?;
        let trust = distribute::trust(Some(project), Some(profile))?;
        let (_, examined) = provenance::reproduce(project, profile, &path, &trust, options)?;
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

/// What was written, for people.
fn written(evaluation: &Evaluation, rebuilt: bool) -> String {
    let size: usize = evaluation.tree.iter().map(|(_, file)| file.content.len()).sum();
    let files = plural(evaluation.tree.len(), "file");
    let proof = if rebuilt { "  reproduced" } else { "" };
    format!("{files}, {}{proof:<12}", kilobytes(size as u64))
}

/// Refuses two builds that differ.
fn same(one: &StorePath, two: &StorePath) -> anyhow::Result<()> {
    let (one, two) = (one.path().display(), two.path().display());
    anyhow::ensure!(
        one.to_string() == two.to_string(),
        "two builds of the same inputs differ:\n  {one}\n  {two}\ncompare them with `diff -r`; this is a defect of monprov"
    );
    Ok(())
}

fn print(output: &Output, path: &str, dry_run: bool, memo: u8) {
    if output.json {
        output.json(&serde_json::json!({ "path": path, "written": !dry_run, "memo": memo == 1 }));
    } else {
        output.result(&format!("{path}\n"));
    }
}
