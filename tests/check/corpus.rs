//! Rules that people run: none may be refused.

use std::time::Instant;

use monprov::check::catalog::Catalogs;
use monprov::check::rules;
use monprov::diagnostic::{Finding, Severity};
use monprov::stack::{Stack, rulefile};

use crate::support::repository;
use crate::support::resolved::stack;

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
    let catalogs = Catalogs::default();
    let findings = rules::check(&stack, &rules::sources(&stack, &catalogs));
    let errors: Vec<&Finding> = findings.iter().filter(|f| f.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    // Nothing is scraped, so every metric that no rule makes is worth a warning.
    assert!(findings.iter().filter(|f| f.code.id == "M104").count() > 500);
}

/// The corpus several times, under other names.
fn repeated(profile: &str, copies: usize) -> Stack {
    let mut stack = corpus(profile);
    let once = stack.groups.clone();
    for n in 1..copies {
        let mut more = once.clone();
        for group in &mut more {
            group.name = format!("{}-{n}", group.name);
            for rule in &mut group.rules {
                rule.name = format!("{}{n}", rule.name);
            }
        }
        stack.groups.extend(more);
    }
    stack
}

#[test]
fn ten_times_the_rules_cost_about_ten_times_as_much() {
    let catalogs = Catalogs::default();
    let cost = |copies: usize| {
        let stack = repeated(super::meaning::STACK, copies);
        let runs = (0..3).map(|_| {
            let start = Instant::now();
            let sources = rules::sources(&stack, &catalogs);
            assert!(!rules::check(&stack, &sources).is_empty());
            start.elapsed()
        });
        runs.min().unwrap()
    };
    let (small, large) = (cost(2), cost(20));
    println!("{small:?} for 2 copies, {large:?} for 20");
    assert!(large < small * 20, "{small:?} for 2 copies, {large:?} for 20");
}
