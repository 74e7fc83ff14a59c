//! The engine's own commands, `docker` and Compose, and what their errors mean.
#![expect(clippy::disallowed_methods, reason = "runs the engine's commands")]

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};

use crate::activate::RuntimeError;
use crate::secret::Secret;

/// Variables that tell the commands where the engine is; nothing else of the environment
/// reaches them, least of all `COMPOSE_FILE` or a secret.
const PASSED: &[&str] =
    &["PATH", "HOME", "TMPDIR", "LANG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK"];

/// What an engine says when it, and not the bundle, is the trouble, and what to do then.
const TROUBLES: &[(&str, &str)] = &[
    ("permission denied while trying to connect", "run this as root or as a member of the group `docker`"),
    ("Permission denied", "run this as root or as a member of the group `docker`"),
    ("Cannot connect to the Docker daemon", "start Docker, or set DOCKER_HOST to where it is"),
    ("Couldn't connect to Docker daemon", "start Docker, or set DOCKER_HOST to where it is"),
    ("Error while fetching server API version", "start Docker, or set DOCKER_HOST to where it is"),
    ("error during connect", "start Docker, or set DOCKER_HOST to where it is"),
    ("port is already allocated", "end what has the port, or set another `publish` in the profile"),
    ("address already in use", "end what has the port, or set another `publish` in the profile"),
    ("no space left on device", "free some space on the engine's disk"),
    ("No such image", "pull or load the image"),
    ("pull access denied", "log in to the registry, or load the image"),
    ("manifest unknown", "correct the image's tag in the profile"),
    // Compose 2 only; 1 takes such a network without a word.
    (
        "has incorrect label com.docker.compose.network",
        "somebody else made the network: set `external = true` in `stack.network`, or remove the network",
    ),
    ("declared as external", "create the network, or start the stack that it belongs to"),
];

/// What it says when a service of the bundle is the trouble.
const REJECTIONS: &[&str] = &[
    "unhealthy",
    "OCI runtime",
    "executable file not found",
    "exited",
    "Unsupported config option",
    "is invalid",
    "Invalid",
    // Compose 2 about the file
    "is not allowed",
];

/// The commands of an engine.
#[derive(Debug)]
pub(super) struct Engine {
    /// `docker compose` (2) or `docker-compose` (1).
    compose: &'static [&'static str],
}

impl Engine {
    /// Finds the Compose that is there.
    pub(super) fn find() -> Result<Self, RuntimeError> {
        let answers = |program: &[&str]| {
            command(program, &["version"]).output().is_ok_and(|output| output.status.success())
        };
        const SECOND: &[&str] = &["docker", "compose"];
        const FIRST: &[&str] = &["docker-compose"];
        let compose = [SECOND, FIRST].into_iter().find(|program| answers(program)).ok_or_else(|| {
            RuntimeError::unavailable(
                "neither `docker compose` nor `docker-compose` is there",
                "install Docker Compose, or build the profile with another `stack.runtime`",
            )
        })?;
        Ok(Engine { compose })
    }

    pub(super) fn docker(&self, args: &[&str]) -> Result<String, RuntimeError> {
        let output = run(command(&["docker"], args), "docker")?;
        result(&output, &format!("docker {}", args.first().unwrap_or(&"")))
            .map(|()| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What a container wrote to both of its outputs.
    pub(super) fn logs(&self, container: &str, lines: usize) -> String {
        let lines = lines.to_string();
        let output = command(&["docker"], &["logs", "--tail", &lines, container]).output();
        let text = |output: Output| [output.stdout, output.stderr].concat();
        output.map(|o| String::from_utf8_lossy(&text(o)).trim_end().to_owned()).unwrap_or_default()
    }

    pub(super) fn compose(
        &self,
        args: &[&str],
        environment: &BTreeMap<String, Secret>,
    ) -> Result<(), RuntimeError> {
        let mut command = command(self.compose, args);
        command.envs(environment.iter().map(|(name, secret)| (name, secret.expose())));
        let output = run(command, "Compose")?;
        result(&output, "Compose")
    }
}

fn command(program: &[&str], args: &[&str]) -> Command {
    let (first, rest) = program.split_first().unwrap_or((&"docker", &[]));
    let mut command = Command::new(first);
    command.args(rest).args(args).stdin(Stdio::null()).env_clear();
    let passed =
        |name: &str| PASSED.contains(&name) || name.starts_with("DOCKER_") || name.starts_with("LC_");
    command.envs(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(passed)));
    command
}

fn run(mut command: Command, what: &str) -> Result<Output, RuntimeError> {
    command.output().map_err(|error| {
        RuntimeError::unavailable(format!("{what} can't be started: {error}"), "install Docker")
    })
}

fn result(output: &Output, what: &str) -> Result<(), RuntimeError> {
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(4)..).unwrap_or_default().join("\n");
    if let Some((_, remedy)) = TROUBLES.iter().find(|(sign, _)| said.contains(sign)) {
        return Err(RuntimeError::unavailable(format!("{what} failed: {last}"), *remedy));
    }
    if REJECTIONS.iter().any(|sign| said.contains(sign)) {
        return Err(RuntimeError::Rejected { what: format!("{what} did not start it: {last}"), logs: None });
    }
    Err(RuntimeError::unavailable(format!("{what} failed: {last}"), "see what the engine's own log says"))
}
