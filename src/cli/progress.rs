//! How far a long command is, for who watches a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::Output;
use crate::compiled;

/// A bar on stderr that goes away when it is dropped; nothing where nobody watches.
#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// `what` stands where the other lines of the summary have theirs.
    pub(super) fn new(what: &'static str, all: usize, output: &Output) -> Self {
        let target =
            if output.watched() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(all as u64), target).with_prefix(what);
        // The default, should the template not be understood.
        Self(match ProgressStyle::with_template("{prefix:9} {bar:32} {pos} of {len}  {eta}") {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        })
    }

    pub(super) fn step(&self) {
        self.0.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// That something is being done, and since when. `what` and `with` stand where the other lines
/// of the summary have theirs.
pub(super) fn spinner(what: &'static str, with: String, output: &Output) -> Progress {
    let target = if output.watched() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target).with_prefix(what).with_message(with);
    let bar = match ProgressStyle::with_template("{prefix:9} {msg} {spinner} {elapsed}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    };
    bar.enable_steady_tick(Duration::from_millis(100));
    Progress(bar)
}

/// Shows plugins that are compiled for the first time, to who watches.
pub(super) fn show_compiling(output: &Output) {
    if !output.watched() {
        return;
    }
    let output = output.clone();
    compiled::watch(Box::new(move |names| {
        Box::new(spinner("compiling", format!("{}, for the first time", names.join(", ")), &output))
    }));
}
