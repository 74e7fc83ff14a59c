//! `monprov gc`

use std::process::ExitCode;

use clap::Args;
use jiff::{Span, Timestamp, ZonedDateTime};

use super::output::{Output, kilobytes, plural};
use crate::compiled::Removed;
use crate::engine::{Failure, plugins};
use crate::project::Project;
use crate::store::{Busy, Collected, Limits, Store};

#[derive(Debug, Args)]
pub(super) struct Gc {
    /// Remove generations too, but the last N successful ones of each profile
    #[arg(long, value_name = "N")]
    keep: Option<usize>,
    /// Remove generations too, if they are older: `30d`, `2 weeks`. With --keep, what one of
    /// the two keeps stays
    #[arg(long, value_name = "TIME", value_parser = ago)]
    older_than: Option<Timestamp>,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
}

impl Gc {
    pub(super) fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let store = Store::open(&project.state)?;
        let limits = Limits { keep: self.keep, since: self.older_than };
        let mut say = || output.line("waits", "another run uses the store");
        let code = plugins::collect(project, self.dry_run)?;
        let collected = store.gc(limits, self.dry_run, Busy::Wait(&mut say))?;
        if output.json {
            output.json(&json(&collected, code, self.dry_run));
        } else {
            let paths = collected.bundles.iter().map(|name| store.path_of(name));
            let text: String = paths.map(|path| format!("{}\n", path.path().display())).collect();
            output.result(&text);
        }
        summary(&collected, code, self.dry_run, output);
        Ok(ExitCode::SUCCESS)
    }
}

fn summary(collected: &Collected, code: Removed, dry_run: bool, output: &Output) {
    for profile in &collected.busy {
        output.line("kept", &format!("the generations of `{profile}`: another run is changing it"));
    }
    let generations = &collected.generations;
    if !generations.is_empty() {
        output.line("removed", &plural(generations.len(), "generation"));
    }
    if code.files > 0 {
        output
            .line("removed", &format!("code of {}, {}", plural(code.files, "plugin"), kilobytes(code.bytes)));
    }
    let others = [(collected.records, "record"), (collected.memo, "memo entry"), (collected.roots, "root")];
    let others = others.iter().filter(|(count, _)| *count > 0).map(|(count, what)| match (count, *what) {
        (2.., "memo entry") => format!("{count} memo entries"),
        (_, what) => plural(*count, what),
    });
    let (bundles, size) = (plural(collected.bundles.len(), "bundle"), kilobytes(collected.bytes));
    let text = [format!("{bundles}, {size}")].into_iter().chain(others).collect::<Vec<_>>().join(", ");
    output.line("removed", &format!("{text}{}", if dry_run { "  (--dry-run: nothing yet)" } else { "" }));
}

fn json(collected: &Collected, code: Removed, dry_run: bool) -> serde_json::Value {
    let generation = |(profile, number): &(String, u64)| {
        serde_json::json!({
            "profile": profile, "number": number,
        })
    };
    serde_json::json!({
        "removed": !dry_run,
        "generations": collected.generations.iter().map(generation).collect::<Vec<_>>(),
        "busy": collected.busy,
        "bundles": collected.bundles,
        "bytes": collected.bytes,
        "roots": collected.roots,
        "records": collected.records,
        "memo": collected.memo,
        "code": { "files": code.files, "bytes": code.bytes },
    })
}

/// The time that is as long ago as that.
pub(super) fn ago(text: &str) -> Result<Timestamp, String> {
    let span: Span = text.parse().map_err(|error| format!("{error}; write `30d` or `2 weeks`"))?;
    if span.is_negative() {
        return Err("a time to come: leave out the minus".into());
    }
    let then = ZonedDateTime::now().checked_sub(span).map_err(|error| error.to_string())?;
    Ok(then.timestamp())
}
