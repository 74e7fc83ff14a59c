//! Why there is no result, for people.

use std::fmt;

use crate::diagnostic::{Finding, Severity};
use crate::profile::codes::M017;
use crate::profile::layers::Sources;
use crate::profile::provenance::Map;
use crate::secret::M501;

/// Why there is no result.
#[derive(Debug)]
pub enum Failure {
    /// The profile was refused; the findings say why.
    Refused(Box<Report>),
    /// Something else went wrong: a full disk, a tool that can't be started.
    Failed(anyhow::Error),
}

/// In a line, where there is no room for findings.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused(report) => {
                let messages: Vec<_> = report.findings.iter().map(|f| f.message.as_str()).collect();
                f.write_str(&messages.join("; "))
            }
            Failure::Failed(error) => write!(f, "{error:#}"),
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Failed(error.into())
    }
}

/// Findings and what is needed to show them.
#[derive(Debug, Default)]
pub struct Report {
    pub findings: Vec<Finding>,
    pub sources: Sources,
    pub map: Option<Map>,
}

impl Report {
    /// The profile stands for several sites, of which one has to be named.
    pub fn is_of_many(&self) -> bool {
        self.findings.iter().any(|finding| finding.code == &M017)
    }

    /// A secret could not be resolved, and nothing else is wrong.
    pub fn only_secrets(&self) -> bool {
        let mut errors = self.findings.iter().filter(|f| f.severity == Severity::Error).peekable();
        errors.peek().is_some() && errors.all(|f| f.code == &M501)
    }
}
