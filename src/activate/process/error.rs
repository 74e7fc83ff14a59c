//! What can go wrong before a program runs: each says what and what to do.

use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error(
        "`monprov up {profile}` runs already (process {pid}); change it with `monprov switch {profile}`, \
         end it with Ctrl-C there or `monprov down {profile}`"
    )]
    RunsAlready { profile: String, pid: String },
    #[error("`monprov up {profile}` does not run; start it in a terminal of its own")]
    NotRunning { profile: String },
    #[error(
        "the running `monprov up {profile}` is another release and speaks version {theirs} of its protocol, \
         not {ours}; end it and start it again"
    )]
    Version { profile: String, theirs: u32, ours: u32 },
    /// In the words of the supervisor.
    #[error("{0}")]
    Refused(String),
    #[error("`monprov up {profile}` does not answer: {source}")]
    Silent { profile: String, source: std::io::Error },
    #[error("can't {action} {path}: {source}")]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
}

pub(super) trait At<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, ProcessError>;
}

impl<T, E: Into<std::io::Error>> At<T> for Result<T, E> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, ProcessError> {
        self.map_err(|error| ProcessError::Io { action, path: path.to_owned(), source: error.into() })
    }
}
