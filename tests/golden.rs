//! Bad profiles and what people are told: `golden/CASE/profiles/` → `golden/CASE/error.txt`.
//!
//! `BLESS=1 cargo test golden` writes the expectations anew; read the difference before you
//! commit it. A case's `command` says what is run instead of `check profile`.

use std::path::{Path, PathBuf};

use crate::support::project::{Project, copy_folder};
use crate::support::repository;

fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<_> = std::fs::read_dir(repository().join("tests/golden"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("profiles").is_dir())
        .collect();
    cases.sort();
    cases
}

/// What the command prints in a copy of the case, without what differs from run to run.
fn run(case: &Path) -> String {
    let project = Project::empty();
    copy_folder(case, project.root());
    let command = std::fs::read_to_string(case.join("command"))
        .unwrap_or_else(|_| "check profile --oracle off --no-secrets".into());
    let words = shell_words(command.trim());
    let output = project.output(project.command(words));
    assert_eq!(output.stdout, "", "{}: a refused profile prints no result", case.display());
    format!("{}exit code {}\n", output.stderr, output.code)
}

fn shell_words(text: &str) -> Vec<String> {
    let mut words = vec![];
    for (index, part) in text.split('"').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[test]
fn golden_errors() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = vec![];
    let cases = cases();
    assert!(cases.len() >= 60, "only {} cases", cases.len());
    for case in &cases {
        let is = run(case);
        let file = case.join("error.txt");
        if bless {
            std::fs::write(&file, &is).unwrap();
        }
        let should = std::fs::read_to_string(&file).unwrap_or_default();
        if is != should {
            wrong.push(format!("== {}\n-- expected\n{should}-- got\n{is}", case.display()));
        }
        let refused = is.ends_with("exit code 3\n") || is.ends_with("exit code 4\n");
        if !refused {
            wrong.push(format!("== {} is not refused:\n{is}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
