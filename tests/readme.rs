//! Every command that the documents show is run, and every line that they print for it is
//! looked for in what it prints.
//!
//! A block is fenced as `console`. Its commands stand behind `$ `; what follows is output.
//! `# exit N` behind a command says that it fails. Hashes, times and sizes may differ. A block
//! that names a file (`toml profiles/x.toml`) is written to it. What is exported stays.

use std::process::{Command, Stdio};

use regex::Regex;

use crate::support::openbao::{OpenBao, bao};
use crate::support::project::{PATH, Project};
use crate::support::{repository, toolchains};

/// What differs between machines and releases.
fn normalise(text: &str) -> String {
    let text = Regex::new(r"[0-9a-z]{32}-").unwrap().replace_all(text, "HASH-");
    let text = Regex::new(r"\b[0-9a-f]{12}\b").unwrap().replace_all(&text, "DIGEST");
    let text = Regex::new(r"\d+ (ms|KB|B)\b").unwrap().replace_all(&text, "N $1");
    let text = Regex::new(r":\d+(:\d+)?\b").unwrap().replace_all(&text, ":N");
    let text = Regex::new(r"[^ \n]*/\.monprov/").unwrap().replace_all(&text, ".monprov/");
    let text = Regex::new(r" +").unwrap().replace_all(&text, " ");
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

enum Step {
    Run { command: String, exit: i32, output: Vec<String> },
    Write { file: String, content: String },
}

fn steps(document: &str) -> Vec<Step> {
    let blocks = Regex::new(r"(?ms)^```([a-z]+)(?: ([^\n]+))?\n(.*?)^```$").unwrap();
    let mut steps: Vec<Step> = vec![];
    for block in blocks.captures_iter(document) {
        if let Some(file) = block.get(2) {
            steps.push(Step::Write { file: file.as_str().into(), content: block[3].into() });
            continue;
        }
        for line in block[3].lines().filter(|_| &block[1] == "console") {
            if let Some(command) = line.strip_prefix("$ ") {
                let (command, exit) = match command.rsplit_once("# exit ") {
                    Some((command, code)) => (command, code.trim().parse().unwrap()),
                    None => (command, 0),
                };
                steps.push(Step::Run { command: command.trim().into(), exit, output: vec![] });
            } else if !line.trim().is_empty() && line.trim() != "…" {
                let Some(Step::Run { output, .. }) = steps.last_mut() else {
                    panic!("output before a command")
                };
                output.push(line.to_owned());
            }
        }
    }
    steps
}

/// `adapt` puts what this machine has in the place of what a document names.
fn run_document(file: &str, project: &Project, adapt: impl Fn(&str) -> String) {
    run_document_with(file, project, &[], adapt);
}

/// `environment`: what commands see besides.
fn run_document_with(
    file: &str,
    project: &Project,
    environment: &[(String, String)],
    adapt: impl Fn(&str) -> String,
) {
    let document = std::fs::read_to_string(repository().join(file)).unwrap();
    let steps = steps(&document);
    assert!(!steps.is_empty(), "{file} shows no command");
    let bin = project.path("bin");
    std::fs::create_dir_all(&bin).unwrap();
    for (name, program) in [("monprov", env!("CARGO_BIN_EXE_monprov").into()), ("bao", bao())] {
        std::os::unix::fs::symlink(program, bin.join(name)).unwrap();
    }
    project.write("exported", "");
    for step in steps {
        let (command, exit, output) = match step {
            Step::Run { command, exit, output } => (command, exit, output),
            Step::Write { file, content } => {
                project.write(&file, adapt(&content));
                continue;
            }
        };
        // The suite has built it already.
        let command = command.replace("cargo run --release --quiet --", "monprov");
        let command = adapt(&command.replace("cargo run --release --", "monprov"));
        if command.starts_with("git clone") || command == "tests/run" || command.starts_with("cargo install")
        {
            continue;
        }
        let run = Command::new("sh")
            .args(["-c", &format!(". ./exported; {{ {command}; }} 2>&1; c=$?; export -p >exported; exit $c")])
            .current_dir(project.root())
            .env_clear()
            .env("PATH", format!("{}:{PATH}", bin.display()))
            .env("HOME", project.path("home"))
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&run.stdout).into_owned();
        assert_eq!(run.status.code(), Some(exit), "{file}: $ {command}\n{printed}");
        let printed = normalise(&printed);
        for line in &output {
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
    run_document("README.md", &Project::reference(), str::to_owned);
}

#[test]
fn profile_guide_commands_print_what_it_says() {
    run_document("profiles/README.md", &Project::reference(), str::to_owned);
}

#[test]
fn distribution_guide_commands_print_what_it_says() {
    run_document("profiles/DISTRIBUTION.md", &Project::reference(), str::to_owned);
}

#[test]
fn vault_guide_commands_print_what_it_says() {
    let server = OpenBao::dev();
    run_document("profiles/VAULT.md", &Project::reference(), |text| {
        let text = text.replace("VAULT_TOKEN=root", &format!("VAULT_TOKEN={}", server.root));
        text.replace("http://127.0.0.1:8200", &server.address)
    });
}

#[test]
fn plugin_guide_commands_print_what_it_says() {
    run_document_with("plugins/GUIDE.md", &Project::empty(), &toolchains::environment(), |text| {
        // What is installed already stands where these would put it.
        let text = text.replace("rustup target add wasm32-unknown-unknown", "true");
        let npm = format!("ln -s {} node_modules", toolchains::npm().display());
        let text = text.replace("npm install", &npm);
        let venv = format!("ln -s {} .venv", toolchains::venv().display());
        text.replace("python3 -m venv .venv && .venv/bin/pip install -r requirements.txt", &venv)
    });
}
