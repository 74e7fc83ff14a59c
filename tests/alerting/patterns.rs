//! Regular expressions and matchers mean here what they mean in Go: what the real amtool
//! accepts, and what it matches, is what we accept and match.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use monprov::stack::{MatchOp, Matcher, re2};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::support::program;

const VALUES: [&str; 14] =
    ["a", "ab", "aab", "A", "7", "٧", "é", " ", "\u{b}", "a&b", "[-]", "x{2}", "<a>", "數"];

/// A configuration with a route for each of these items of a `matchers` list.
fn config(items: &[&str]) -> String {
    let mut text = "route:\n  receiver: none\n  routes:\n".to_owned();
    for (index, item) in items.iter().enumerate() {
        let item = serde_json::to_string(item).unwrap();
        writeln!(text, "  - {{receiver: r{index}, continue: true, matchers: [{item}]}}").unwrap();
    }
    text.push_str("receivers:\n- name: none\n");
    (0..items.len()).for_each(|index| writeln!(text, "- name: r{index}").unwrap());
    text
}

/// Which of the items amtool takes for an alert, by index; `None` where it refuses the file.
fn amtool(folder: &Path, items: &[&str], label: &str, value: &str) -> Option<Vec<usize>> {
    let file = folder.join("alertmanager.yml");
    std::fs::write(&file, config(items)).unwrap();
    let output = Command::new(program("amtool"))
        .args(["config", "routes", "test", "--config.file"])
        .arg(file)
        .arg(Matcher::equal(label, value).to_string())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let taken = said.trim().split(',').filter_map(|name| name.strip_prefix('r')?.parse().ok());
    output.status.success().then(|| taken.collect())
}

fn item(pattern: &str) -> String {
    Matcher::new("a", MatchOp::Regex, pattern).to_string()
}

/// A pattern made of pieces that are apt to go wrong.
fn pattern() -> impl Strategy<Value = String> {
    let pieces = vec![
        "a",
        "b",
        ".",
        "*",
        "+",
        "?",
        "|",
        "(",
        ")",
        "(?:",
        "(?i)",
        "(?s:",
        "[",
        "]",
        "^",
        "$",
        "-",
        "a-z",
        "&&",
        "~~",
        "--",
        "[:alpha:]",
        "[^",
        "{",
        "}",
        "{2}",
        "{1,2}",
        "{,2}",
        "{2,1}",
        ",",
        r"\d",
        r"\D",
        r"\w",
        r"\W",
        r"\s",
        r"\S",
        r"\b",
        r"\.",
        r"\-",
        r"\<",
        r"\[",
        r"\_",
        r"\x41",
        r"\x{6578}",
        r"\pL",
        r"\p{Han}",
        r"\P{Lu}",
        r"\Q",
        r"\E",
        r"\A",
        r"\z",
        r"\n",
        r"\v",
        "é",
        "數",
        " ",
        "<",
        "&",
        "x",
    ];
    prop::collection::vec(prop::sample::select(pieces), 1..6).prop_map(|pieces| pieces.concat())
}

#[test]
fn patterns_mean_what_they_mean_in_go() {
    let folder = tempfile::tempdir().unwrap();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[3; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let patterns: Vec<String> =
        (0..1500).map(|_| pattern().new_tree(&mut runner).unwrap().current()).collect();
    // Those that we take must be taken, all in one file, and match the same values.
    let ours: Vec<(String, regex::Regex)> =
        patterns.iter().filter_map(|p| Some((item(p), re2::anchored(p).ok()?))).collect();
    assert!(ours.len() > 400, "only {} patterns are valid", ours.len());
    let items: Vec<&str> = ours.iter().map(|(item, _)| item.as_str()).collect();
    for value in VALUES {
        let Some(theirs) = amtool(folder.path(), &items, "a", value) else {
            let bad = items.iter().find(|i| amtool(folder.path(), &[i], "a", value).is_none());
            panic!("Go does not take {bad:?}");
        };
        for (index, (item, regex)) in ours.iter().enumerate() {
            assert_eq!(regex.is_match(value), theirs.contains(&index), "{item} and {value:?}");
        }
    }
    // Of those that we refuse, Go may take only what we say that we refuse.
    // A quote without an end can balance a bracket that is closed too early. And a repetition
    // behind a flag repeats what stands before the flag, which nobody writes.
    let odd = |p: &str| {
        p.contains(r"\Q") || p.split("(?i)").skip(1).any(|rest| rest.starts_with(['*', '+', '?', '{']))
    };
    let refused =
        patterns.iter().filter_map(|p| Some((p, re2::anchored(p).err()?))).filter(|(p, _)| !odd(p)).take(300);
    for (pattern, error) in refused {
        if amtool(folder.path(), &[&item(pattern)], "a", "a").is_some() {
            panic!("Go takes {pattern:?}, we say: {error}");
        }
    }
}

/// What may stand in a `matchers` list, right or wrong.
fn matchers() -> impl Strategy<Value = String> {
    let pieces = vec![
        "a", "a", "b", "=", "=", "!=", "=~", "!~", "\"", "\"", "\"x\"", "\\", "\\\\", "\\\"", "\\n", "\\t",
        ",", "{", "}", " ", "x", "é", "1", ".", ":", "'",
    ];
    let free = prop::collection::vec(prop::sample::select(pieces.clone()), 1..8).prop_map(|p| p.concat());
    let value = prop::collection::vec(prop::sample::select(pieces), 0..5).prop_map(|p| p.concat());
    let quoted = value.clone().prop_map(|v| format!("a=\"{v}\""));
    prop_oneof![free, value.prop_map(|v| format!("a={v}")), quoted]
}

#[test]
fn matchers_mean_what_they_mean_to_amtool() {
    let folder = tempfile::tempdir().unwrap();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[5; 32]);
    let config = Config { cases: 400, failure_persistence: None, max_shrink_iters: 100, ..Config::default() };
    TestRunner::new_with_rng(config, rng)
        .run(&matchers(), |text| {
            let ours = Matcher::parse(&text);
            // The values of our reading are those to tell a difference by.
            let value =
                ours.as_ref().ok().and_then(|m| m.first()).map_or("x", |m| m.value.as_str()).to_owned();
            // It must match what we write again in the same way.
            let again = ours.iter().flatten().map(ToString::to_string).collect::<Vec<_>>().join(",");
            match (amtool(folder.path(), &[&text], "a", &value), &ours) {
                (Some(theirs), Ok(_)) => {
                    let written = amtool(folder.path(), &[&again], "a", &value);
                    prop_assert_eq!(Some(theirs), written, "{:?} written as {:?}", text, again);
                }
                (None, Err(_)) => {}
                // amtool 0.25 knows no UTF-8 names, and takes a list without any matcher.
                (None, Ok(parsed)) => prop_assert!(
                    parsed.iter().any(|m| !m.is_classic()) || { text.contains('"') },
                    "amtool refuses {:?}",
                    text
                ),
                (Some(_), Err(e)) => prop_assert!(
                    text.trim_matches(['{', '}', ',', ' ']).is_empty() || e.message.contains("regular"),
                    "amtool takes {text:?}, we say: {e}"
                ),
            }
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
}
