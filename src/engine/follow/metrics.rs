//! What a host says about how it follows, for the textfile collector of the node exporter.

use std::path::Path;

use jiff::Timestamp;

use super::state::replace;
use super::{Done, Round};

/// Writes the metrics of the last round. `success`: when the last one went well.
pub fn write(file: &Path, round: &Round, success: Option<Timestamp>) -> anyhow::Result<()> {
    replace(file, text(round, success, Timestamp::now()).as_bytes(), false)
}

fn text(round: &Round, success: Option<Timestamp>, now: Timestamp) -> String {
    let profile = &round.profile;
    let mut text = String::new();
    let mut metric = |name: &str, help: &str, labels: &str, value: i64| {
        let name = format!("monprov_follow_{name}");
        let labels = format!("profile=\"{profile}\"{labels}");
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name}{{{labels}}} {value}\n"));
    };
    if let Some(serial) = round.serial {
        let serial = i64::try_from(serial).unwrap_or(i64::MAX);
        metric("serial", "The highest serial of a pointer that was seen.", "", serial);
    }
    if let Some(seen) = &round.pointer {
        metric("pointer_timestamp_seconds", "When that pointer was written.", "", seen.time.as_second());
        let bundle = format!(",bundle=\"{}\"", seen.bundle);
        let runs = i64::from(matches!(round.done, Done::Taken | Done::Kept | Done::Recorded));
        metric("bundle", "1 where the bundle of that pointer was taken over.", &bundle, runs);
    }
    metric("success", "1 where the last round went well.", "", i64::from(round.done.is_well()));
    metric("attempt_timestamp_seconds", "When the last round ended.", "", now.as_second());
    if let Some(success) = success {
        metric(
            "success_timestamp_seconds",
            "When the last round that went well ended.",
            "",
            success.as_second(),
        );
    }
    text
}
