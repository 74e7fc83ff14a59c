//! `monprov generations`

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;

use super::output::Output;
use super::table::{table, when};
use crate::engine::Failure;
use crate::project::Project;
use crate::store::{Generation, Outcome, Store};

#[derive(Debug, Args)]
pub(super) struct Generations {
    /// The profile; needed where several were activated
    profile: Option<String>,
    /// Everything about generation N
    #[arg(long, value_name = "N")]
    show: Option<u64>,
}

impl Generations {
    pub(super) fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let store = Store::open(&project.state)?;
        let profile = self.profile.clone().map_or_else(|| store.only_profile(), Ok)?;
        let all = store.generations(&profile)?;
        let current = store.current(&profile)?.map(|current| current.number);
        match self.show {
            Some(number) => {
                let found = all.iter().find(|one| one.number == number);
                let Some(found) = found else {
                    let list = format!("`monprov generations {profile}` lists those that there are");
                    return Err(anyhow::anyhow!("`{profile}` has no generation {number}: {list}").into());
                };
                if output.json {
                    output.json(found);
                } else {
                    output.result(&details(found, current == Some(number)));
                }
            }
            None if output.json => output.json(&serde_json::json!({
                "profile": profile, "current": current, "generations": all,
            })),
            None => output.result(&rows(&all, current)),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The newest first.
fn rows(all: &[Generation], current: Option<u64>) -> String {
    let digits = all.last().map_or(1, |newest| newest.number.to_string().len());
    let n = format!(" {:>digits$}", "n");
    let rows = all.iter().rev().map(|one| {
        let mark = if current == Some(one.number) { "*" } else { " " };
        let number = format!("{mark}{:>digits$}", one.number);
        let id: String = one.bundle.id().chars().take(12).collect();
        vec![number, id, when(one.time), one.by.clone(), outcome(one), why(one)]
    });
    table(&[&n, "bundle", "when", "by", "outcome", "why"], rows)
}

fn outcome(one: &Generation) -> String {
    let mark = if one.rejected { ", bundle rejected" } else { "" };
    format!("{}{mark}", one.outcome.name())
}

fn why(one: &Generation) -> String {
    let back = one.rollback.map(|rollback| format!("back to {}", rollback.to));
    let failed = match one.outcome {
        Outcome::Restored | Outcome::Failed => one.reason.as_deref().and_then(|reason| reason.lines().next()),
        Outcome::Pending | Outcome::Activated => None,
    };
    let parts = [back.as_deref(), one.message.as_deref(), failed];
    parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
}

fn details(one: &Generation, current: bool) -> String {
    let mark = if current { " (current)" } else { "" };
    let mut text = format!("generation  {}{mark}\n", one.number);
    let mut line = |what: &str, value: &str| {
        let _ = writeln!(text, "{what:<11} {}", value.replace('\n', "\n            "));
    };
    line("bundle", one.bundle.as_str());
    line("when", &one.time.to_string());
    line("by", &one.by);
    line("runtime", &one.runtime);
    line("outcome", &outcome(one));
    if let Some(rollback) = one.rollback {
        line("rollback", &format!("from {} to {}", rollback.from, rollback.to));
    }
    one.message.iter().for_each(|message| line("why", message));
    one.reason.iter().for_each(|reason| line("reason", reason));
    text
}
