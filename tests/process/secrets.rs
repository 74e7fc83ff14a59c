//! A secret reaches the program that it is for, and nobody else.

use monprov::activate::process::State;

use super::{IDLE, project, script};
use crate::support::up::{Up, file_of};

const CANARY: &str = "canary \"5f1d\" $(1)\n";

#[test]
fn a_secret_variable_is_in_the_environment_of_its_program_alone() {
    let reads = "printf %s \"$TOKEN\" > seen; [ -n \"$HOME\" ] && echo told; exec sleep 100007";
    let tables = script(
        "reads",
        reads,
        "environment = { TOKEN = \"${secret.token}\", PLAIN = \"open\" }\n\
        health = { command = [\"sh\", \"-c\", \"env > health; test -e seen\"] }",
    ) + &script("other", IDLE, "")
        + "[secrets]\ntoken = { env = \"SOURCE\" }\n";
    let project = project(&tables)
        .file(".monprov/secrets/dev/reads/TOKEN", CANARY)
        .env("SOURCE", "source-of-the-token");
    let mut up = Up::start(project);
    up.until("reads", State::Healthy);
    up.until("other", State::Running);
    assert_eq!(up.project.read(".monprov/seen"), CANARY);

    let needle = CANARY.trim();
    let program = up.process("sleep 100007");
    for (pid, line) in up.processes() {
        let environment = file_of(pid, "environ");
        assert_eq!(environment.contains(needle), pid == program, "{line}");
        assert!(!line.contains(needle), "{line}");
        // What monprov itself was started with stays with it.
        let own = pid == up.status().pid;
        assert_eq!(environment.contains("source-of-the-token"), own, "{line}");
    }
    let health = up.project.read(".monprov/health");
    assert!(health.contains("PLAIN=open") && !health.contains("canary"), "{health}");
    assert_eq!(up.interrupt(), Some(0));
    assert!(!up.output().contains("canary"), "{}", up.output());
}

#[test]
fn a_secret_that_was_not_written_is_named() {
    let tables = script("reads", IDLE, "environment = { TOKEN = \"${secret.token}\" }")
        + "[secrets]\ntoken = { env = \"SOURCE\" }\n";
    let up = Up::start(project(&tables).env("SOURCE", "source-of-the-token"));
    up.until_printed("error: the secret for TOKEN, secrets/dev/reads/TOKEN: No such file or directory");
}
