//! Asks the real promtool about many expressions at once.

use std::collections::BTreeMap;
use std::process::Command;

use monprov::check::promql::Dialect;
use monprov::stack::Version;

use crate::support::program;

/// What Debian's promtool understands.
pub const DIALECT: Dialect = Dialect { version: Version::new(2, 42, 0), experimental: false };

/// promtool's complaint about each rule, by its place in the list; rules that it accepts are
/// not in it.
fn refused(rules: &[String]) -> BTreeMap<usize, String> {
    let file = tempfile::Builder::new().suffix(".yml").tempfile().unwrap();
    std::fs::write(file.path(), format!("groups:\n- name: g\n  rules:\n{}", rules.concat())).unwrap();
    let output = Command::new(program("promtool"))
        .args(["check", "rules", "--lint=none"])
        .arg(file.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    // `FILE: 12:9: group "g", rule 3, "name": could not parse expression: …`
    text.lines()
        .filter_map(|line| {
            let (_, rest) = line.split_once("group \"g\", rule ")?;
            let (number, complaint) = rest.split_once(',')?;
            Some((number.parse::<usize>().ok()? - 1, complaint.to_owned()))
        })
        .collect()
}

fn yaml(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// What promtool says of each expression; `None` where it accepts.
pub fn expressions<S: AsRef<str>>(expressions: &[S]) -> Vec<Option<String>> {
    let rules: Vec<String> = expressions
        .iter()
        .enumerate()
        .map(|(n, e)| format!("  - record: r{n}\n    expr: {}\n", yaml(e.as_ref())))
        .collect();
    let mut refused = refused(&rules);
    (0..rules.len()).map(|n| refused.remove(&n)).collect()
}

/// What promtool says of each template, as an annotation.
pub fn templates(templates: &[&str]) -> Vec<Option<String>> {
    let rules: Vec<String> = templates
        .iter()
        .enumerate()
        .map(|(n, t)| {
            format!("  - alert: a{n}\n    expr: up\n    annotations:\n      summary: {}\n", yaml(t))
        })
        .collect();
    let mut refused = refused(&rules);
    (0..rules.len()).map(|n| refused.remove(&n)).collect()
}
