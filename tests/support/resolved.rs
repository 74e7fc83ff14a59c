//! Stacks from profiles in memory, by the same way that the engine takes.

use monprov::diagnostic::{Finding, Place, Severity};
use monprov::profile::layers::{Read, Source};
use monprov::stack::Stack;
use monprov::stack::resolve::{Files, resolve};

#[derive(Debug)]
struct Memory<'a>(&'a str);

impl Source for Memory<'_> {
    fn read(&self, name: &str) -> Read {
        if name == "test" { Read::Text(self.0.to_owned()) } else { Read::Missing }
    }

    fn names(&self) -> Vec<String> {
        vec!["test".into()]
    }

    fn file(&self, name: &str) -> String {
        format!("profiles/{name}.toml")
    }
}

/// The stack of a profile named `test`, which must be sound by itself.
#[track_caller]
pub fn stack(toml: &str) -> Stack {
    let loaded = monprov::profile::load("test", &Memory(toml), &|_| None);
    let lines: Vec<String> = loaded.findings.iter().map(line).collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
    let (stack, findings) = resolve(&loaded.profile.unwrap(), &Files::default());
    let lines: Vec<String> = findings.iter().map(line).collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
    stack
}

/// A finding in one line: severity, code, place and message.
pub fn line(finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Advice => "advice",
    };
    let place = match &finding.place {
        Place::Setting { path, .. } | Place::Key(path) => path.to_string(),
        Place::File { file, range } => format!("{file}:{range:?}"),
        Place::Profile => "profile".into(),
    };
    format!("{severity} {} {place}: {}", finding.code.id, finding.message)
}
