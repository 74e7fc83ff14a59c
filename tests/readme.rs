//! Every command that the documents show is run, and every line that they print for it is
//! looked for in what it prints.
//!
//! A block is fenced as `console`. Its commands stand behind `$ `; what follows is output.
//! `# exit N` behind a command says that it fails. Hashes, times and sizes may differ.

use std::process::{Command, Stdio};

use regex::Regex;

use crate::support::project::{PATH, Project};
use crate::support::repository;

/// What differs between machines and releases.
fn normalise(text: &str) -> String {
    let text = Regex::new(r"[0-9a-z]{32}-").unwrap().replace_all(text, "HASH-");
    let text = Regex::new(r"\b[0-9a-f]{12}\b").unwrap().replace_all(&text, "DIGEST");
    let text = Regex::new(r"\d+ (ms|KB|B)\b").unwrap().replace_all(&text, "N $1");
    let text = Regex::new(r":\d+(:\d+)?\b").unwrap().replace_all(&text, ":N");
    let text = Regex::new(r"[^ ]*/\.monprov/").unwrap().replace_all(&text, ".monprov/");
    let text = Regex::new(r" +").unwrap().replace_all(&text, " ");
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

struct Step {
    command: String,
    exit: i32,
    output: Vec<String>,
}

fn steps(document: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = vec![];
    let mut inside = false;
    for line in document.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if !inside => {}
            line => match line.strip_prefix("$ ") {
                Some(command) => {
                    let (command, exit) = match command.rsplit_once("# exit ") {
                        Some((command, code)) => (command, code.trim().parse().unwrap()),
                        None => (command, 0),
                    };
                    steps.push(Step { command: command.trim().into(), exit, output: vec![] });
                }
                None => {
                    let step = steps.last_mut().expect("output before a command");
                    if !line.trim().is_empty() && line.trim() != "…" {
                        step.output.push(line.to_owned());
                    }
                }
            },
        }
    }
    steps
}

fn run_document(file: &str, project: &Project) {
    let document = std::fs::read_to_string(repository().join(file)).unwrap();
    let steps = steps(&document);
    assert!(!steps.is_empty(), "{file} shows no command");
    let bin = project.path("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let link = bin.join("monprov");
    if !link.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_monprov"), &link).unwrap();
    }
    for step in steps {
        // The suite has built it already.
        let command = step.command.replace("cargo run --release --quiet --", "monprov");
        let command = command.replace("cargo run --release --", "monprov");
        if command.starts_with("git clone") || command == "tests/run" || command.starts_with("cargo install")
        {
            continue;
        }
        let output = Command::new("sh")
            .args(["-c", &format!("{command} 2>&1")])
            .current_dir(project.root())
            .env_clear()
            .env("PATH", format!("{}:{PATH}", bin.display()))
            .env("HOME", project.path("home"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(step.exit), "{file}: $ {command}\n{printed}");
        let printed = normalise(&printed);
        for line in &step.output {
            let wanted = normalise(line);
            assert!(
                printed.contains(wanted.trim()),
                "{file}: $ {command}\nnot printed: {line}\nprinted:\n{printed}"
            );
        }
    }
}

#[test]
fn readme_commands_print_what_the_readme_says() {
    run_document("README.md", &Project::reference());
}

#[test]
fn profile_guide_commands_print_what_it_says() {
    run_document("profiles/README.md", &Project::reference());
}
