//! `monprov drill`

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::exit;
use super::output::{Output, plural};
use super::table::table;
use crate::engine::Failure;
use crate::engine::drill::{Drill as Request, Held, Verdict, hold};
use crate::profile::units;
use crate::project::Project;

/// Send a canary alert for each severity and component through the running Alertmanager, and
/// say whether each receiver gets it. It is a real message to real people, and says that it is a
/// drill.
#[derive(Debug, Args)]
pub(super) struct Drill {
    /// The profile
    profile: String,
    /// Only this channel; may be given several times
    #[arg(long, value_name = "CHANNEL")]
    receiver: Vec<String>,
    /// How long a canary may take, beyond the `group_wait` of its route
    #[arg(long, value_name = "TIME", default_value = "1m")]
    timeout: units::Duration,
}

impl Drill {
    pub(super) fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let timeout = Duration::from_millis(self.timeout.0);
        let drill = Request { profile: &self.profile, receivers: &self.receiver, timeout };
        let held = hold(project, &drill, &mut |what, text| output.line(what, text))?;
        match output.json {
            true => output.json(&held),
            false => show(&held, output),
        }
        Ok(if held.failed().next().is_none() { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
    }
}

pub(super) fn show(held: &Held, output: &Output) {
    let rows = held.outcomes.iter().map(|outcome| {
        let verdict = match outcome.verdict {
            Verdict::Delivered => "delivered",
            Verdict::HandedOver => "handed over",
            Verdict::Stopped => "STOPPED",
        };
        let cells = [&outcome.receiver, &outcome.via, verdict, &outcome.text];
        cells.into_iter().map(|cell: &str| cell.to_owned()).collect()
    });
    output.result(&table(&["receiver", "via", "result", "proof"], rows));
    let failed = held.failed().count();
    let result = match failed {
        0 => "every receiver was reached".to_owned(),
        failed => format!("{failed} stopped"),
    };
    output.line("result", &format!("{}, {result}", plural(held.outcomes.len(), "way")));
}
