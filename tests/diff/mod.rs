//! What people are told about a change: `diff/CASE/old.toml` and `new.toml`, each over
//! `diff/base.toml`, → `told.txt` and `told.json`. Files in `CASE/old/` and `CASE/new/` lie
//! beside the profile.
//!
//! `BLESS=1 cargo test told` writes the expectations anew; read the difference before you
//! commit it.

mod laws;
mod verb;

use std::path::{Path, PathBuf};

use monprov::engine;
use monprov::render::render;
use monprov::store::{Store, StorePath};
use regex::Regex;

use crate::support::project::{Output, Project, copy_folder};
use crate::support::repository;

/// A project whose profile was built into `before` and then became another one.
fn changed(case: &Path) -> Project {
    let project = Project::empty();
    let lay = |side: &str| {
        let read = |name: &str| std::fs::read(case.join(name)).unwrap();
        project.write("profiles/base.toml", read("../base.toml"));
        project.write("profiles/profile.toml", read(&format!("{side}.toml")));
        if case.join(side).is_dir() {
            copy_folder(&case.join(side), &project.path("profiles"));
        }
    };
    lay("old");
    project.run("build profile --no-secrets --oracle off -o before").succeeds();
    lay("new");
    project
}

fn diff(project: &Project, more: &str) -> Output {
    project.run(&format!("diff ./before profile --no-secrets {more}"))
}

fn cases() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository().join("tests/diff")).unwrap();
    let mut cases: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    cases.sort();
    cases
}

/// Hashes differ from release to release.
fn normalise(text: &str) -> String {
    Regex::new("[0-9a-z]{32}-").unwrap().replace_all(text, "HASH-").into_owned()
}

#[test]
fn changes_are_told_as_people_on_call_see_them() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = vec![];
    let cases = cases();
    assert!(cases.len() >= 25, "only {} cases", cases.len());
    for case in &cases {
        let project = changed(case);
        let (text, json) = (diff(&project, ""), diff(&project, "--json"));
        assert_eq!(text.code, json.code);
        assert!(text.code <= 1, "{}: {}", case.display(), text.stderr);
        let told = format!("{}exit code {}\n", text.stdout, text.code);
        for (file, is) in [("told.txt", told), ("told.json", normalise(&json.stdout))] {
            let file = case.join(file);
            if bless {
                std::fs::write(&file, &is).unwrap();
            }
            let should = std::fs::read_to_string(&file).unwrap_or_default();
            if is != should {
                wrong.push(format!("== {}\n-- expected\n{should}-- got\n{is}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is compared is what was rendered: the model that is read back renders to the same files.
#[test]
fn a_bundle_is_read_back_whole() {
    for case in cases() {
        let project = changed(&case);
        let store = Store::open(&project.path(".monprov")).unwrap();
        let bundle = StorePath::at(&std::fs::read_link(project.path("before")).unwrap()).unwrap();
        let side = engine::side(&store, &bundle).unwrap();
        let rendered = render(&side.stack).unwrap().tree;
        assert_eq!(rendered.len() + 1, side.tree.len(), "{}", case.display());
        for (path, file) in rendered.iter() {
            assert_eq!(side.tree.get(path), Some(file), "{}: {path}", case.display());
        }
    }
}
