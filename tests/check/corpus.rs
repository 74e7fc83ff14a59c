//! Rules that people run: none may be refused.

use monprov::check::catalog::Catalogs;
use monprov::check::rules;
use monprov::diagnostic::{Finding, Severity};
use monprov::stack::{Stack, rulefile};

use crate::support::model::stack;
use crate::support::repository;

/// File names and texts of the corpus.
pub fn files() -> Vec<(String, String)> {
    let mut files: Vec<_> = std::fs::read_dir(repository().join("tests/corpus/rules"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

/// The corpus in a stack.
pub fn corpus(profile: &str) -> Stack {
    let mut stack = stack(profile);
    let (groups, findings) = rulefile::groups(&files(), &[]);
    assert!(findings.is_empty(), "{findings:?}");
    stack.groups.extend(groups);
    stack
}

const PROMETHEUS: &str = r#"
[services.prometheus]
kind = "prometheus"
version = "2.42.0"
port = 9090
"#;

#[test]
fn no_rule_of_the_corpus_is_refused() {
    let stack = corpus(PROMETHEUS);
    assert!(stack.rules().count() > 400, "{}", stack.rules().count());
    let findings = rules::check(&stack, &Catalogs::default());
    let errors: Vec<&Finding> = findings.iter().filter(|f| f.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    // Nothing is scraped, so every metric that no rule makes is worth a warning.
    assert!(findings.iter().filter(|f| f.code.id == "M104").count() > 500);
}

#[test]
fn timing() {
    for (profile, copies) in [
        (PROMETHEUS, 2),
        (PROMETHEUS, 4),
        (PROMETHEUS, 20),
        (super::meaning::STACK, 2),
        (super::meaning::STACK, 20),
    ] {
        let mut stack = corpus(profile);
        let groups = stack.groups.clone();
        for n in 1..copies {
            let mut more = groups.clone();
            for g in &mut more {
                g.name = format!("{}-{n}", g.name);
                for r in &mut g.rules {
                    r.name = format!("{}{n}", r.name);
                }
            }
            stack.groups.extend(more);
        }
        let start = std::time::Instant::now();
        let findings = rules::check(&stack, &Catalogs::default());
        println!("{} rules: {:?} {} findings", stack.rules().count(), start.elapsed(), findings.len());
    }
}
