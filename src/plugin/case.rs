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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Path;

    #[test]
    fn a_finding_is_its_severity_place_message_and_notes() {
        let place = Place::setting(Path::new(["alerts", "Down"]));
        let finding =
            Finding::warning(&crate::plugin::codes::M707, place, "no owner").note("say whose it is");
        assert_eq!(text(&[], &[finding]), "warning alerts.Down\n    no owner\n    say whose it is\n");
        assert_eq!(text(&[], &[]), "nothing\n");
    }

    #[test]
    fn a_difference_names_both_sides() {
        assert_eq!(diff("a\nb\n", "a\nc\n"), "--- expected\n+++ got\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n");
    }
}
