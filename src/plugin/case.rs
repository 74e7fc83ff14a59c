//! What plugins did to a stack and found in it as text, for cases that are kept as files.

use std::fmt::Write as _;

use similar::TextDiff;

use crate::diagnostic::{Finding, Place, Severity};
use crate::stack::change::Change;

/// Changes in the order in which they were made, then findings, each with what it says.
pub fn text(changes: &[Change], findings: &[Finding]) -> String {
    let mut text = String::new();
    for change in changes {
        let _ = writeln!(text, "{change}\n    {}", change.reason);
    }
    for finding in findings {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Advice => "advice",
        };
        let place = match &finding.place {
            Place::Setting { path, .. } | Place::Key(path) => path.to_string(),
            Place::File { file, .. } => file.clone(),
            Place::Profile => String::new(),
        };
        let _ = writeln!(text, "{}", format!("{severity} {place}").trim_end());
        for line in std::iter::once(&finding.message).chain(&finding.notes) {
            let _ = writeln!(text, "    {line}");
        }
    }
    if text.is_empty() { "nothing\n".to_owned() } else { text }
}

/// From what is expected to what is, line by line.
pub fn diff(expected: &str, got: &str) -> String {
    TextDiff::from_lines(expected, got).unified_diff().header("expected", "got").to_string()
}
