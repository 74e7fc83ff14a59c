//! Findings as text for people, with the source line and a caret.

use std::ops::Range;

use codespan_reporting::diagnostic::{Diagnostic, Label, LabelStyle};
use codespan_reporting::files::{Files, SimpleFiles};
use codespan_reporting::term::{self, Chars, Config};

use super::{Finding, Place, Severity};
use crate::profile::layers::Sources;
use crate::profile::provenance::Map;

/// Turns places into lines.
#[derive(Debug)]
pub struct Printer<'a> {
    files: SimpleFiles<&'a str, &'a str>,
    sources: &'a Sources,
    map: Option<&'a Map>,
    config: Config,
}

/// A place as file, line and column, both counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Position {
    pub file: String,
    pub line: usize,
    pub column: usize,
}

impl<'a> Printer<'a> {
    pub fn new(sources: &'a Sources, map: Option<&'a Map>) -> Self {
        let mut files = SimpleFiles::new();
        for (name, text) in sources {
            files.add(name.as_str(), text.as_str());
        }
        let config = Config { chars: Chars::box_drawing(), ..Config::default() };
        Printer { files, sources, map, config }
    }

    fn locate(&self, place: &Place) -> Option<(usize, Range<usize>)> {
        let text = |file: &str| self.sources.iter().find(|(name, _)| name == file).map(|(_, t)| t.as_str());
        let (file, range) = match (place, self.map) {
            (Place::File { file, range }, _) => (file.clone(), range.clone()),
            (_, Some(map)) => map.locate(place, &text)?,
            _ => return None,
        };
        let index = self.sources.iter().position(|(name, _)| *name == file)?;
        let (_, text) = self.sources.get(index)?;
        Some((index, clamp(text, range)))
    }

    /// Where a finding points to.
    pub fn position(&self, place: &Place) -> Option<Position> {
        let (index, range) = self.locate(place)?;
        let (file, _) = self.sources.get(index)?;
        let found = self.files.location(index, range.start).ok()?;
        Some(Position { file: file.clone(), line: found.line_number, column: found.column_number })
    }

    /// A finding with its source lines.
    pub fn show(&self, finding: &Finding, color: bool) -> String {
        let diagnostic = match finding.severity {
            Severity::Error => Diagnostic::error(),
            Severity::Warning => Diagnostic::warning(),
            Severity::Advice => Diagnostic::help(),
        };
        let mut notes = finding.notes.clone();
        let mut labels = vec![];
        match self.locate(&finding.place) {
            Some((file, range)) => {
                labels.push(Label {
                    style: LabelStyle::Primary,
                    file_id: file,
                    range,
                    message: finding.label.clone(),
                });
            }
            None if !finding.label.is_empty() => notes.insert(0, finding.label.clone()),
            None => {}
        }
        for (place, what) in &finding.related {
            match self.locate(place) {
                Some((file, range)) => {
                    labels.push(Label {
                        style: LabelStyle::Secondary,
                        file_id: file,
                        range,
                        message: what.clone(),
                    });
                }
                None => notes.push(what.clone()),
            }
        }
        notes.push(format!("more: monprov explain {}", finding.code.id));
        let diagnostic = diagnostic
            .with_code(finding.code.id)
            .with_message(&finding.message)
            .with_labels(labels)
            .with_notes(notes);
        let mut out = vec![];
        // Writing to memory fails only where a range is wrong, and ranges were clamped.
        let _ = if color {
            let mut writer = codespan_reporting::term::termcolor::Ansi::new(&mut out);
            term::emit_to_write_style(&mut writer, &self.config, &self.files, &diagnostic)
        } else {
            let mut writer = codespan_reporting::term::termcolor::NoColor::new(&mut out);
            term::emit_to_write_style(&mut writer, &self.config, &self.files, &diagnostic)
        };
        let text = String::from_utf8_lossy(&out).into_owned();
        text.lines().map(|line| clip(line) + "\n").collect()
    }

    /// What weighs most comes last, where the eye ends up; otherwise in the order of the files.
    pub fn sort(&self, findings: &mut [Finding]) {
        findings.sort_by_cached_key(|f| (f.severity, self.position(&f.place), f.message.clone()));
    }
}

/// Character boundaries within the text; a table's header for a whole table.
fn clamp(text: &str, range: Range<usize>) -> Range<usize> {
    let mut start = range.start.min(text.len());
    let mut end = range.end.clamp(start, text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

/// A source line of a megabyte helps nobody.
fn clip(line: &str) -> String {
    const WIDTH: usize = 400;
    match line.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line.to_owned(),
    }
}
