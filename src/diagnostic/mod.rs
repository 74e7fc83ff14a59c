//! What is wrong, where, and what to do: the value that every check returns.
//!
//! Checks name places by profile path (`alerts.Down.expr`) or by file and bytes; only
//! [`show`] turns them into lines, with the help of the layers' texts. So a finding stays
//! the same when a comment moves, and the pure rooms need no spans.

mod code;
mod path;
pub mod show;

pub use code::Code;
pub use path::Path;

use std::ops::Range;

/// How much a finding weighs. Any error stops the build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Advice,
    Warning,
    Error,
}

/// Where a finding points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A value of the merged profile; `range`: bytes within the string value.
    Setting { path: Path, range: Option<Range<usize>> },
    /// The key of a value, where the key itself is what is wrong.
    Key(Path),
    /// Bytes of a file, named relative to the project.
    File { file: String, range: Range<usize> },
    /// The whole profile.
    Profile,
}

impl Place {
    /// The value at `path`.
    pub fn setting(path: Path) -> Self {
        Place::Setting { path, range: None }
    }

    /// Bytes of the string value at `path`; for a [`Place::File`], bytes counted from its start.
    #[must_use]
    pub fn within(self, inner: Range<usize>) -> Self {
        match self {
            Place::Setting { path, .. } => Place::Setting { path, range: Some(inner) },
            Place::File { file, range } => {
                let start = range.start + inner.start;
                Place::File { file, range: start..(range.start + inner.end).min(range.end) }
            }
            other => other,
        }
    }
}

/// One thing that is wrong, or worth saying.
#[derive(Debug, Clone)]
pub struct Finding {
    pub code: &'static Code,
    pub severity: Severity,
    pub place: Place,
    /// One sentence, lower case, no full stop.
    pub message: String,
    /// Stands beside the caret: most often what to write instead.
    pub label: String,
    /// Lines behind `=`: what is known about the cause, and what to do.
    pub notes: Vec<String>,
    /// Other places that take part, each with what it is.
    pub related: Vec<(Place, String)>,
}

impl Finding {
    pub fn new(code: &'static Code, severity: Severity, place: Place, message: impl Into<String>) -> Self {
        let message = message.into();
        Finding { code, severity, place, message, label: String::new(), notes: vec![], related: vec![] }
    }

    pub fn error(code: &'static Code, place: Place, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, place, message)
    }

    pub fn warning(code: &'static Code, place: Place, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, place, message)
    }

    pub fn advice(code: &'static Code, place: Place, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Advice, place, message)
    }

    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    #[must_use]
    pub fn related(mut self, place: Place, what: impl Into<String>) -> Self {
        self.related.push((place, what.into()));
        self
    }
}

/// True where a build must stop.
pub fn has_errors(findings: &[Finding]) -> bool {
    findings.iter().any(|f| f.severity == Severity::Error)
}

/// The known name that was most likely meant, if one is near enough.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|k| (strsim::damerau_levenshtein(word, k), k))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, k)| k)
}
