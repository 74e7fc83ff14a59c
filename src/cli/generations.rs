//! `monprov generations`

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

use super::output::Output;
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
            None => output.result(&table(&all, current, today())),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn today() -> Date {
    ZonedDateTime::now().date()
}

/// The newest first.
fn table(all: &[Generation], current: Option<u64>, today: Date) -> String {
    let head = ["n", "bundle", "when", "by", "outcome", "why"].map(str::to_owned);
    let rows = all.iter().rev().map(|one| {
        let mark = if current == Some(one.number) { "*" } else { " " };
        let id: String = one.bundle.id().chars().take(12).collect();
        [format!("{mark}{}", one.number), id, when(one.time, today), one.by.clone(), outcome(one), why(one)]
    });
    let rows: Vec<[String; 6]> = [head].into_iter().chain(rows).collect();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut text = String::new();
    for [number, rest @ ..] in &rows {
        let mut line = format!("{number:>width$}", width = widths.first().copied().unwrap_or(0));
        for (cell, width) in rest.iter().zip(widths.iter().skip(1)) {
            let _ = write!(line, "  {cell:width$}");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn when(time: Timestamp, today: Date) -> String {
    let local = time.to_zoned_datetime(TimeZone::system());
    let clock = local.strftime("%H:%M");
    match local.date() {
        date if date == today => format!("today {clock}"),
        date if Some(date) == today.yesterday().ok() => format!("yesterday {clock}"),
        date => format!("{date} {clock}"),
    }
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
