//! What `up` shows: the programs' lines on stdout, what becomes of them on stderr.

use std::thread::JoinHandle;
use std::time::Duration;

use super::output::{Output, plural};
use crate::activate::process::{Event, Watched};

/// How long a terminal that stands still holds up the end.
const PATIENCE: Duration = Duration::from_secs(2);

/// Prints until the supervisor has ended.
pub(super) fn print(output: &Output, watched: &Watched) {
    let mut services: Vec<String> = vec![];
    while let Some(event) = watched.next() {
        if output.json {
            output.json_line(&event);
            continue;
        }
        match event {
            Event::Services { services: new } => services = new,
            Event::Log { service, line, .. } => {
                let width = services.iter().map(String::len).max().unwrap_or_default();
                let number = services.iter().position(|known| *known == service).unwrap_or_default();
                output.program_line(&service, width.max(service.len()), number, &line);
            }
            other => tell(output, &other),
        }
    }
}

fn tell(output: &Output, event: &Event) {
    match event {
        Event::Services { .. } | Event::Log { .. } => {}
        Event::Dropped { lines } => output.line("dropped", &format!("{lines} lines: nobody read them")),
        Event::Waits { service, on } => output.line("waits", &format!("{service} for {}", on.join(", "))),
        Event::WaitsNoLonger { service, on } => {
            output.line("starts", &format!("{service} without waiting longer for {}", on.join(", ")));
        }
        Event::Started { service, pid } => output.line("started", &format!("{service:<24} process {pid}")),
        Event::Healthy { service, ms } => output.line("healthy", &format!("{service:<24} {ms} ms")),
        Event::Unhealthy { service, why } => output.warn("unwell", &format!("{service}: {why}")),
        Event::Failed { service, why, help, last_lines, again_in_ms } => {
            let again = Duration::from_millis(u64::try_from(*again_in_ms).unwrap_or_default());
            let mut text = format!("{service} {why}; starts again in {} s", again.as_secs_f32());
            for line in last_lines {
                text.push_str(&format!("\n            {line}"));
            }
            if let Some(help) = help {
                text.push_str(&format!("\n          = {help}"));
            }
            output.warn("failed", &text);
        }
        Event::Missing { service, program } => output.warn(
            "missing",
            &format!(
                "{service}: `{program}` is not on PATH; the rest runs without it\n          \
                 = install it, or name it as it is called here: services.{service}.program"
            ),
        ),
        Event::Stopping { services } => {
            output.line("stopping", &format!("{}; Ctrl-C again kills", plural(*services, "service")));
        }
        Event::Stopped { service, killed: false } => output.line("stopped", service),
        Event::Stopped { service, killed: true } => {
            output.warn("killed", &format!("{service}: it did not stop by itself"));
        }
    }
}

/// Waits for the last line, but not for ever.
pub(super) fn finish(printing: JoinHandle<()>) {
    let step = Duration::from_millis(5);
    let mut waited = Duration::ZERO;
    while !printing.is_finished() && waited < PATIENCE {
        std::thread::sleep(step);
        waited += step;
    }
}
