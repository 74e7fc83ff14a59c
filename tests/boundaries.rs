//! The house rules that no compiler holds: which room may use which, how long a file may
//! get, and that nothing of the machine it was written on stays in the repository.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::support::{repository, repository_files};

const PURE: &[&str] =
    &["profile", "stack", "check", "render", "bundle", "diff", "observe", "plugin", "trust", "diagnostic"];
const EDGE: &[&str] = &[
    "secret", "store", "cache", "activate", "registry", "relay", "memo", "oracle", "pins", "compiled",
    "project", "engine", "cli",
];
/// What the pure rooms may not reach either.
const EFFECTS: &[&str] = &["std::fs", "std::env", "std::net", "std::process", "fs_err", "reqwest", "tokio"];

/// Lines without unit tests.
const LONGEST: usize = 450;

#[test]
fn pure_rooms_use_no_edge_room_and_have_no_effects() {
    let forbidden: Vec<String> =
        EDGE.iter().map(|room| format!("crate::{room}")).chain(EFFECTS.iter().map(|&e| e.into())).collect();
    let mut found = Vec::new();
    for (file, source) in sources() {
        let room = file.components().nth(1).unwrap().as_os_str().to_string_lossy().replace(".rs", "");
        if !PURE.contains(&room.as_str()) {
            continue;
        }
        for path in used_paths(product(&source)) {
            if forbidden.iter().any(|f| path == *f || path.starts_with(&format!("{f}::"))) {
                found.push(format!("{} uses {path}", file.display()));
            }
        }
    }
    assert!(found.is_empty(), "effects stand at the edge:\n{}", found.join("\n"));
}

#[test]
fn every_room_is_pure_or_edge() {
    let rooms: BTreeSet<String> = sources()
        .iter()
        .map(|(file, _)| file.components().nth(1).unwrap().as_os_str().to_string_lossy().replace(".rs", ""))
        .filter(|room| room != "main" && room != "lib")
        .collect();
    let listed: BTreeSet<String> = PURE.iter().chain(EDGE).map(|&room| room.to_owned()).collect();
    assert_eq!(rooms, listed, "say in tests/boundaries.rs what a new room may use");
}

#[test]
fn no_file_is_two_rooms() {
    let long: Vec<String> = sources()
        .iter()
        .map(|(file, source)| (file, product(source).lines().count()))
        .filter(|(_, lines)| *lines > LONGEST)
        .map(|(file, lines)| format!("{} has {lines} lines", file.display()))
        .collect();
    assert!(long.is_empty(), "split by topic:\n{}", long.join("\n"));
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    // A home or workspace folder; documentation may say `/home/USER`, in capitals.
    let personal = Regex::new(r"/(root|work)/[a-z.]|/home/[a-z]").unwrap();
    let mut found = Vec::new();
    for file in repository_files() {
        let Ok(text) = std::fs::read_to_string(repository().join(&file)) else { continue };
        for (number, line) in text.lines().enumerate() {
            if personal.is_match(line) && file != Path::new("tests/boundaries.rs") {
                found.push(format!("{}:{}: {line}", file.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "absolute paths of one machine:\n{}", found.join("\n"));
}

#[test]
fn used_paths_are_seen_through_braces_and_in_expressions() {
    let source = "use std::{fs, io::{self, Read}};\nuse crate::store;\n// std::env is only spoken of\n\
                  fn f() { std::process::exit(1) }\nuse super::super::cli::x;";
    let paths = used_paths(source);
    for expected in
        ["std::fs", "std::io::self", "std::io::Read", "crate::store", "std::process::exit", "crate::cli::x"]
    {
        assert!(paths.contains(expected), "{expected} is not in {paths:?}");
    }
    assert!(!paths.contains("std::env"));
}

/// A source without its unit tests.
fn product(source: &str) -> &str {
    source.split("#[cfg(test)]\nmod ").next().unwrap()
}

/// Every path in a source: `use` trees taken apart, and paths in expressions. A path from
/// `super` is taken as one from the crate: rooms are never named like their own parts.
fn used_paths(source: &str) -> BTreeSet<String> {
    let code: String = source
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .fold(String::new(), |all, line| all + line + "\n");
    let (uses, plain) = (Regex::new(r"\buse\s+([^;]+);").unwrap(), Regex::new(r"\b\w+(::\w+)+").unwrap());
    let mut paths = BTreeSet::new();
    for tree in uses.captures_iter(&code) {
        take_apart("", &tree[1].split_whitespace().collect::<Vec<_>>().join(" "), &mut paths);
    }
    paths.extend(plain.find_iter(&code).map(|found| found.as_str().to_owned()));
    let parents = Regex::new(r"^(super::)+").unwrap();
    paths.into_iter().map(|path| parents.replace(&path, "crate::").into_owned()).collect()
}

/// `std::{fs, io::Read}` → `std::fs`, `std::io::Read`.
fn take_apart(prefix: &str, tree: &str, paths: &mut BTreeSet<String>) {
    let Some((head, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default().trim();
        if !path.is_empty() {
            paths.insert(format!("{prefix}{path}"));
        }
        return;
    };
    let (prefix, body) = (format!("{prefix}{}", head.trim()), rest.trim_end().trim_end_matches('}'));
    let (mut depth, mut start) = (0_i32, 0);
    for (at, c) in body.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                take_apart(&prefix, &body[start..at], paths);
                start = at + 1;
            }
            _ => {}
        }
    }
    take_apart(&prefix, &body[start..], paths);
}

/// The Rust files of the crate with their text, relative to the repository.
fn sources() -> Vec<(PathBuf, String)> {
    repository_files()
        .into_iter()
        .filter(|file| file.starts_with("src") && file.extension().is_some_and(|e| e == "rs"))
        .map(|file| (file.clone(), std::fs::read_to_string(repository().join(file)).unwrap()))
        .collect()
}
