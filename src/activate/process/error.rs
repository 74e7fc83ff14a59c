//! What can go wrong with a supervisor: each says what and what to do.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::activate::RuntimeError;

#[derive(Debug)]
pub enum ProcessError {
    /// There is one for this profile.
    RunsAlready {
        profile: String,
        pid: String,
    },
    NotRunning {
        profile: String,
    },
    /// The running one is another release.
    Version {
        profile: String,
        theirs: u32,
        ours: u32,
    },
    /// By the supervisor, before it touched anything.
    Refused(Refusal),
    Silent {
        profile: String,
        source: std::io::Error,
    },
    Io {
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
}

/// Why a supervisor does not do what it is asked to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub what: String,
    pub remedy: String,
}

impl ProcessError {
    /// What is wrong, and what to do.
    fn refusal(&self) -> Refusal {
        let (what, remedy) = match self {
            ProcessError::RunsAlready { profile, pid } => (
                format!("`monprov up {profile}` runs already (process {pid})"),
                format!(
                    "change what runs with `monprov switch {profile}`, end it with `monprov down {profile}`"
                ),
            ),
            ProcessError::NotRunning { profile } => {
                (format!("`monprov up {profile}` does not run"), "start it in a terminal of its own".into())
            }
            ProcessError::Version { profile, theirs, ours } => (
                format!(
                    "the running `monprov up {profile}` speaks version {theirs} of its protocol, not {ours}"
                ),
                "it is another release: end it with Ctrl-C and start it again".into(),
            ),
            ProcessError::Refused(refusal) => return refusal.clone(),
            ProcessError::Silent { profile, source } => (
                format!("`monprov up {profile}` does not answer ({source})"),
                "try again; if it stays so, end it with Ctrl-C and start it again".into(),
            ),
            ProcessError::Io { action, path, source } => {
                (format!("can't {action} {}", path.display()), source.to_string())
            }
        };
        Refusal { what, remedy }
    }
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { what, remedy } = self.refusal();
        write!(f, "{what}: {remedy}")
    }
}

impl std::error::Error for ProcessError {}

/// None of it says anything about the bundle.
impl From<ProcessError> for RuntimeError {
    fn from(error: ProcessError) -> Self {
        let Refusal { what, remedy } = error.refusal();
        RuntimeError::Unavailable { what, remedy }
    }
}

pub(super) trait At<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, ProcessError>;
}

impl<T, E: Into<std::io::Error>> At<T> for Result<T, E> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, ProcessError> {
        self.map_err(|error| ProcessError::Io { action, path: path.to_owned(), source: error.into() })
    }
}
