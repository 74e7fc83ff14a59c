//! Printing: results to stdout; what a person watches and what is wrong to stderr.
#![expect(clippy::disallowed_methods, reason = "NO_COLOR and TERM are the environment's")]

use std::io::{IsTerminal, Write};

use serde::Serialize;

use crate::diagnostic::show::{Position, Printer};
use crate::diagnostic::{Finding, Severity};
use crate::engine::Report;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone)]
pub(super) struct Output {
    /// stderr takes colours.
    color: bool,
    /// stdout takes colours.
    pub(super) result_color: bool,
    pub(super) json: bool,
    quiet: bool,
}

#[derive(Serialize)]
struct JsonFinding<'a> {
    code: &'a str,
    severity: Severity,
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    label: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    notes: &'a [String],
}

impl Output {
    pub(super) fn new(color: Color, json: bool, quiet: bool) -> Self {
        let wanted = |terminal: bool| {
            let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
                || std::env::var("TERM").is_ok_and(|t| t == "dumb");
            let forced = std::env::var_os("CLICOLOR_FORCE").is_some_and(|v| v != "0");
            !plain && (forced || terminal)
        };
        let takes = |terminal: bool| match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => wanted(terminal),
        };
        let result_color = takes(std::io::stdout().is_terminal());
        Output { color: takes(std::io::stderr().is_terminal()), result_color, json, quiet }
    }

    /// A result. A reader that went away is no error of ours.
    pub(super) fn result(&self, text: &str) {
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(text.as_bytes());
        let _ = stdout.flush();
    }

    pub(super) fn json<T: Serialize>(&self, value: &T) {
        if let Ok(text) = serde_json::to_string_pretty(value) {
            self.result(&format!("{text}\n"));
        }
    }

    /// A line of the summary: what it is about, what there is, and what it took.
    pub(super) fn line(&self, what: &str, text: &str) {
        if self.quiet || self.json {
            return;
        }
        if self.color {
            say(format_args!("\x1b[36m{what:<9}\x1b[0m {text}\n"));
        } else {
            say(format_args!("{what:<9} {text}\n"));
        }
    }

    /// Text for those who watch, laid out already.
    pub(super) fn watch(&self, text: impl FnOnce(bool) -> String) {
        if !self.quiet && !self.json {
            say(format_args!("{}", text(self.color)));
        }
    }

    /// A line of a program under its name, in a colour of its own.
    pub(super) fn program_line(&self, name: &str, width: usize, number: usize, line: &str) {
        const COLORS: [u8; 6] = [36, 33, 32, 35, 34, 31];
        if self.result_color {
            let color = COLORS.get(number % COLORS.len()).copied().unwrap_or_default();
            self.result(&format!("\x1b[{color}m{name:<width$} │\x1b[0m {line}\n"));
        } else {
            self.result(&format!("{name:<width$} | {line}\n"));
        }
    }

    /// One of many values, on a line of its own.
    pub(super) fn json_line<T: Serialize>(&self, value: &T) {
        if let Ok(text) = serde_json::to_string(value) {
            self.result(&format!("{text}\n"));
        }
    }

    /// A line of the summary that asks for attention.
    pub(super) fn warn(&self, what: &str, text: &str) {
        if self.json {
            return;
        }
        if self.color {
            say(format_args!("\x1b[1;33m{what:<9}\x1b[0m {text}\n"));
        } else {
            say(format_args!("{what:<9} {text}\n"));
        }
    }

    /// Whether somebody watches.
    pub(super) fn watched(&self) -> bool {
        !self.quiet && !self.json && std::io::stderr().is_terminal()
    }

    pub(super) fn error(&self, error: &anyhow::Error) {
        if self.json {
            self.json(&serde_json::json!({ "error": with_causes(error) }));
        } else {
            say(format_args!("{}\n", self.error_as_text(error)));
        }
    }

    pub(super) fn error_as_text(&self, error: &anyhow::Error) -> String {
        let (on, off) = if self.color { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
        format!("{on}error{off}: {}", with_causes(error))
    }

    /// Warnings and advice of a profile that is not refused.
    pub(super) fn findings_if_any(&self, report: Report) {
        if !report.findings.is_empty() && !self.json {
            self.findings(report);
        }
    }

    /// All findings, the errors last, where a person's eye ends up.
    pub(super) fn findings(&self, report: Report) {
        if self.json {
            self.json(&serde_json::json!({ "findings": self.findings_as_json(report) }));
            return;
        }
        self.told(&self.findings_as_text(report));
    }

    pub(super) fn findings_as_json(&self, mut report: Report) -> serde_json::Value {
        let printer = Printer::new(&report.sources, report.map.as_ref());
        printer.sort(&mut report.findings);
        let finding = |f: &Finding| {
            serde_json::json!(JsonFinding {
                code: f.code.id,
                severity: f.severity,
                message: &f.message,
                label: &f.label,
                position: printer.position(&f.place),
                notes: &f.notes,
            })
        };
        report.findings.iter().map(finding).collect()
    }

    /// Each as it is shown.
    pub(super) fn findings_as_text(&self, mut report: Report) -> Vec<(Severity, String)> {
        if report.findings.is_empty() {
            return vec![];
        }
        let printer = Printer::new(&report.sources, report.map.as_ref());
        printer.sort(&mut report.findings);
        let shown = |f: &Finding| (f.severity, printer.show(f, self.color).trim_end().to_owned());
        report.findings.iter().map(shown).collect()
    }

    /// Findings that were made text before.
    pub(super) fn told(&self, findings: &[(Severity, String)]) {
        let count = |wanted| findings.iter().filter(|(severity, _)| *severity == wanted).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        for (severity, text) in findings {
            if !self.quiet || *severity == Severity::Error {
                say(format_args!("{text}\n\n"));
            }
        }
        if errors + warnings > 1 {
            say(format_args!("{}, {}\n", plural(errors, "error"), plural(warnings, "warning")));
        }
    }
}

/// A size for people.
pub(super) fn kilobytes(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} KB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

/// An error with what caused it, as far as it has not said that itself.
pub(super) fn with_causes(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| match &*said {
        "" => cause,
        _ if said.contains(&cause) => said,
        _ => format!("{said}: {cause}"),
    })
}

/// To stderr. A reader that went away is no error of ours.
fn say(text: std::fmt::Arguments<'_>) {
    let _ = std::io::stderr().lock().write_fmt(text);
}

/// `1 rule`, `2 rules`.
pub(super) fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
