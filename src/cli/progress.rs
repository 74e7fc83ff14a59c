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

/// Shows plugins that are compiled for the first time, to who watches.
pub(super) fn show_compiling(output: &Output) {
    if !output.watched() {
        return;
    }
    compiled::watch(Box::new(|names| {
        let bar = ProgressBar::new_spinner().with_prefix("compiling");
        let bar = bar.with_message(format!("{}, for the first time", names.join(", ")));
        let bar = match ProgressStyle::with_template("{prefix:9} {msg} {spinner} {elapsed}") {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        bar.enable_steady_tick(Duration::from_millis(100));
        Box::new(Progress(bar))
    }));
}
