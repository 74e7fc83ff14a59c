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
    let mut up = Up::start(project(&tables).env("SOURCE", CANARY));
    up.until("reads", State::Healthy);
    up.until("other", State::Running);
    assert_eq!(up.project.read(".monprov/seen"), CANARY);

    let needle = CANARY.trim();
    let program = up.process("sleep 100007");
    for (pid, line) in up.processes() {
        let environment = file_of(pid, "environ");
        // What monprov itself was started with stays with it.
        let may = pid == program || pid == up.status().pid;
        assert_eq!(environment.contains(needle), may, "{line}");
        assert!(!environment.contains("SOURCE=") || pid == up.status().pid, "{line}");
        assert!(!line.contains(needle), "{line}");
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
    // Nobody resolves it, so that nothing is written.
    let up = Up::of("dev", project(&tables), &["--oracle", "off", "--no-secrets"]);
    up.until_printed("error: the secret for TOKEN, secrets/dev/reads/TOKEN: No such file or directory");
}
