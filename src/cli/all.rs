//! What came of many profiles and sites: findings that many share are told once, then a table,
//! then the results, in the order of the names.
#![expect(clippy::disallowed_methods, reason = "says how long it took")]

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::{Map, Value};

use super::exit;
use super::output::{Output, plural, with_causes};
use super::progress::Progress;
use super::table::table;
use crate::diagnostic::Severity;
use crate::engine::all::{All, One};
use crate::engine::{Failure, Report};

/// What is said where the memo answered.
pub(super) const UNCHANGED: &str = "unchanged";

/// Rows of a table that a screen holds.
const ROWS: usize = 40;
/// Names that stand beside a finding.
const NAMES: usize = 5;

/// What came of one.
#[derive(Debug)]
pub(super) struct Outcome {
    /// For the table.
    what: String,
    /// Printed as the result.
    path: Option<String>,
    code: u8,
    /// What is told besides, as it is shown.
    told: Vec<(Severity, String)>,
    json: Map<String, Value>,
}

impl Outcome {
    pub(super) fn new(
        what: impl Into<String>,
        path: Option<String>,
        report: Report,
        output: &Output,
    ) -> Self {
        let mut outcome = Outcome { what: what.into(), path, code: 0, told: vec![], json: Map::new() };
        if let Some(path) = &outcome.path {
            outcome.json.insert("path".into(), path.as_str().into());
        }
        outcome.tell(report, output);
        outcome
    }

    /// Another key for programs.
    #[must_use]
    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.json.insert(key.into(), value.into());
        self
    }

    fn failed(failure: Failure, output: &Output) -> Self {
        let code = exit::of(&failure);
        let mut outcome = Outcome { what: String::new(), path: None, code, told: vec![], json: Map::new() };
        match failure {
            Failure::Refused(report) => {
                outcome.tell(*report, output);
                let errors = outcome.told.iter().filter(|(severity, _)| *severity == Severity::Error).count();
                outcome.what = format!("REFUSED, {}", plural(errors, "error"));
            }
            Failure::Failed(error) => {
                outcome.json.insert("error".into(), with_causes(&error).into());
                outcome.told.push((Severity::Error, output.error_as_text(&error)));
                outcome.what = "FAILED".into();
            }
        }
        outcome.with("code", code)
    }

    fn tell(&mut self, report: Report, output: &Output) {
        if output.json {
            self.json.insert("findings".into(), output.findings_as_json(report));
        } else {
            self.told = output.findings_as_text(report);
        }
    }
}

/// Works on all of them and tells what came of it. Ends with the highest code of any.
pub(super) fn run(
    verb: &'static str,
    wanted: &All<'_>,
    output: &Output,
    work: impl Fn(&One<'_>) -> Result<Outcome, Failure> + Sync,
) -> Result<ExitCode, Failure> {
    let start = Instant::now();
    let names = wanted.names();
    if names.is_empty() {
        return Err(anyhow::anyhow!("there is no profile here; `monprov init` writes a first project").into());
    }
    let progress = Progress::new(verb, names.len(), output);
    let outcomes = wanted.each(|one| {
        let outcome = work(one).unwrap_or_else(|failure| Outcome::failed(failure, output));
        progress.step();
        outcome
    })?;
    drop(progress);
    let code = outcomes.iter().map(|outcome| outcome.code).max().unwrap_or_default();
    if output.json {
        let result = |(name, outcome): (&String, Outcome)| {
            let mut json = outcome.json;
            json.insert("profile".into(), name.as_str().into());
            Value::from(json)
        };
        let results: Vec<Value> = names.iter().zip(outcomes).map(result).collect();
        output.json(&serde_json::json!({ "results": results }));
        return Ok(ExitCode::from(code));
    }
    let told = shared(names, &outcomes);
    if !told.is_empty() {
        output.told(&told);
    }
    output.watch(|_| rows(names, &outcomes));
    let count = |wanted: &dyn Fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| wanted(outcome)).count();
    let failed = count(&|outcome| outcome.code != 0);
    let unchanged = count(&|outcome| outcome.what == UNCHANGED);
    let done = names.len() - failed;
    let mut counts = vec![format!("{done} of {}", names.len())];
    counts.extend((unchanged > 0).then(|| format!("{unchanged} unchanged")));
    counts.extend((failed > 0).then(|| format!("{failed} FAILED")));
    output.line(verb, &format!("{}  {} ms", counts.join(", "), start.elapsed().as_millis()));
    let paths = outcomes.iter().filter_map(|outcome| outcome.path.as_deref());
    let text: String = paths.map(|path| format!("{path}\n")).collect();
    if !text.is_empty() {
        output.result(&text);
    }
    Ok(ExitCode::from(code))
}

/// Findings by their text, in the order of the names, with the names that share each.
fn shared(names: &[String], outcomes: &[Outcome]) -> Vec<(Severity, String)> {
    let mut order: Vec<(Severity, &str, Vec<&str>)> = vec![];
    let mut known: HashMap<&str, usize> = HashMap::new();
    for (name, outcome) in names.iter().zip(outcomes) {
        for (severity, text) in &outcome.told {
            let at = *known.entry(text).or_insert(order.len());
            match order.get_mut(at) {
                Some((_, _, of)) if of.last() == Some(&name.as_str()) => {}
                Some((_, _, of)) => of.push(name),
                None => order.push((*severity, text, vec![name])),
            }
        }
    }
    // The errors last, where a person's eye ends up.
    order.sort_by_key(|(severity, ..)| *severity);
    let told = |(severity, text, of): (Severity, &str, Vec<&str>)| {
        let last = text.lines().last().unwrap_or_default();
        let blanks = last.len() - last.trim_start().len();
        let indent = last.get(..blanks).filter(|_| last.trim_start().starts_with('=')).unwrap_or("  ");
        (severity, format!("{text}\n{indent}= {}", in_which(&of, names.len())))
    };
    order.into_iter().map(told).collect()
}

fn in_which(of: &[&str], all: usize) -> String {
    if of.len() == all && all > NAMES {
        return format!("in all {all}");
    }
    let shown = of.iter().take(NAMES).copied().collect::<Vec<_>>().join(", ");
    match of.len().saturating_sub(NAMES) {
        0 => format!("in {shown}"),
        more => format!("in {shown} and {more} more"),
    }
}

/// The table; where it would be too long, only what is not as it was.
fn rows(names: &[String], outcomes: &[Outcome]) -> String {
    let all = names.iter().zip(outcomes);
    let short = names.len() > ROWS;
    let shown: Vec<_> = all.filter(|(_, o)| !short || o.code != 0 || o.what != UNCHANGED).collect();
    let mut chosen: Vec<_> = shown.iter().filter(|(_, o)| !short || o.code != 0).take(ROWS).collect();
    let left = ROWS.saturating_sub(chosen.len());
    if short {
        chosen.extend(shown.iter().filter(|(_, o)| o.code == 0).take(left));
        chosen.sort_by_key(|(name, _)| *name);
    }
    if chosen.is_empty() {
        return String::new();
    }
    let text =
        table(&["profile", "result"], chosen.iter().map(|(name, o)| vec![(*name).clone(), o.what.clone()]));
    match shown.len() - chosen.len() {
        0 => text,
        more => format!("{text}… and {more} more\n"),
    }
}
