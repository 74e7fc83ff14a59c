//! How far a long command is, for who watches a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::Output;

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
