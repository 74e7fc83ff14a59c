//! `monprov provenance`

use std::process::ExitCode;

use clap::Args;

use super::output::{Output, plural};
use crate::engine::provenance::{self, Examined};
use crate::engine::{Failure, distribute};
use crate::project::Project;
use crate::store::Store;
use crate::trust::Verdict;

#[derive(Debug, Args)]
pub(super) struct Provenance {
    /// A bundle, or the profile whose current bundle is meant
    bundle: String,
}

impl Provenance {
    pub(super) fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let store = Store::open(&project.state)?;
        let path = store.find(&self.bundle)?;
        store.require_intact(&path)?;
        let trust = distribute::trust(Some(project), Some(path.name().name()))?;
        let examined = provenance::examine(&store, &path, &trust)?;
        if output.json {
            output.json(&json(&examined));
        } else {
            output.result(&text(&examined));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn json(Examined { statement, verdict }: &Examined) -> serde_json::Value {
    serde_json::json!({
        "signed_by": verdict.signed_by,
        "unknown": verdict.unknown,
        "wrong": verdict.wrong,
        "revoked": verdict.revoked,
        "statement": statement,
    })
}

fn text(Examined { statement, verdict }: &Examined) -> String {
    let build = &statement.predicate.build_definition;
    let (parameters, details) = (&build.external_parameters, &statement.predicate.run_details);
    let bundle = statement.subject.first().map(|subject| subject.name.as_str()).unwrap_or_default();
    let engine = &build.internal_parameters.monprov;
    let mut lines = vec![
        format!("bundle     {bundle}"),
        format!("signed     {}", signers(verdict)),
        format!("profile    {}, for {}", parameters.profile, parameters.runtime),
        format!("builder    {} (monprov {engine})", details.builder.id),
    ];
    lines.extend(details.metadata.iter().map(|metadata| format!("run        {}", metadata.invocation_id)));
    let files = statement.files();
    lines.push(format!("inputs     {}", plural(files.len(), "file")));
    lines.extend(files.iter().map(|(name, sha256)| format!("  sha256:{sha256}  {name}")));
    if !parameters.variables.is_empty() {
        lines.push(format!("variables  {}", parameters.variables.len()));
        lines.extend(parameters.variables.iter().map(|(name, value)| format!("  {name}={value:?}")));
    }
    let images: Vec<_> = statement.images().collect();
    if !images.is_empty() {
        lines.push(format!("images     {}", images.len()));
        let note = |pinned: bool| if pinned { "" } else { "  (a tag, which may move)" };
        let line = |uri: &str, pinned| format!("  {}{}", uri.trim_start_matches("docker://"), note(pinned));
        lines.extend(images.iter().filter_map(|one| Some(line(one.uri.as_deref()?, one.sha256().is_some()))));
    }
    lines.join("\n") + "\n"
}

fn signers(verdict: &Verdict) -> String {
    let list =
        |names: &std::collections::BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
    match verdict.is_signed() {
        true => format!("by {}", list(&verdict.signed_by)),
        false => format!("by nobody who is trusted here: {}", verdict.shortcoming()),
    }
}
