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
        let warned = is.ends_with("exit code 0\n") && (is.contains("warning[") || is.contains("help["));
        if !refused && !warned {
            wrong.push(format!("== {} is neither refused nor warned of:\n{is}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Inputs that no text file should hold.
#[test]
fn hostile_files_get_a_clear_error() {
    let rules = "[rules]\nfiles = [\"rules/*.yml\"]\n";
    let deep = format!("[alerts.A]\nexpr = '{}up{}'\n", "(".repeat(1_000_000), ")".repeat(1_000_000));
    let cases: [(&str, &str, Vec<u8>, &str); 10] = [
        (
            "profiles/profile.toml",
            "",
            b"[alerts.A]\nexpr = \"\xff\xfe\"\n".to_vec(),
            "is not UTF-8 text (line 2",
        ),
        ("profiles/profile.toml", "", b"[alerts.A]\nexpr = \"up\0\"\n".to_vec(), "NUL character (line 2)"),
        ("profiles/profile.toml", "", vec![b'#'; 17 << 20], "is larger than 16 MiB"),
        ("profiles/profile.toml", "", deep.into_bytes(), "M101"),
        ("profiles/profile.toml", "", "[".repeat(1_000_000).into_bytes(), "M001"),
        ("profiles/profile.toml", "", format!("a{}=1", ".a".repeat(100_000)).into_bytes(), "M001"),
        ("profiles/rules/a.yml", rules, vec![0x7f, b'E', b'L', b'F', 0, 0, 1, 2], "NUL character"),
        ("profiles/rules/a.yml", rules, "[".repeat(1_000_000).into_bytes(), "M601"),
        ("profiles/rules/a.yml", rules, vec![b'x'; 17 << 20], "is larger than 16 MiB"),
        ("profiles/rules/a.yml", rules, b"groups:\n- name: \xc3\x28\n".to_vec(), "is not UTF-8 text"),
    ];
    for (file, profile, content, wanted) in cases {
        let project = Project::empty().file("profiles/profile.toml", profile).file(file, &content);
        let output = project.run("build profile --oracle off").exits(3);
        assert!(
            output.stderr.contains(wanted),
            "{file}: {wanted}\n{}",
            &output.stderr[..output.stderr.len().min(3000)]
        );
        assert!(output.stderr.len() < 20_000, "an error of {} bytes", output.stderr.len());
        assert!(!project.path(".monprov/store").exists());
    }
}

#[test]
fn links_out_of_the_project_and_things_that_are_no_files_are_refused() {
    let project = Project::empty().file("profiles/profile.toml", "[rules]\nfiles = [\"rules/*\"]\n");
    std::fs::create_dir_all(project.path("profiles/rules/folder.yml")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", project.path("profiles/rules/link.yml")).unwrap();
    std::os::unix::fs::symlink("nowhere", project.path("profiles/rules/dangling.yml")).unwrap();
    let refused = project.run("check profile --oracle off").exits(3).stderr;
    assert!(refused.contains("link.yml is a link that leads out of the project"), "{refused}");
    assert!(refused.contains("folder.yml is not a regular file"), "{refused}");
    assert!(refused.contains("dangling.yml: no such file"), "{refused}");
    let project = Project::empty();
    std::os::unix::fs::symlink("/etc/passwd", project.path("profiles/profile.toml")).unwrap();
    let refused = project.run("check profile --oracle off").exits(3).stderr;
    assert!(refused.contains("leads out of the project") && !refused.contains("root:"), "{refused}");
}
