//! Docker's own commands, and what their errors mean.
#![expect(clippy::disallowed_methods, reason = "runs the engine's commands")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::RuntimeError;
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
    (
        "not in the right scope",
        "create the network with `docker network create --driver overlay --attachable`",
    ),
    (
        "not a swarm manager",
        "point DOCKER_HOST to a manager of the swarm, or make one with `docker swarm init`",
    ),
    ("The swarm does not have a leader", "bring back enough managers of the swarm"),
    ("as an ingress port", "set another `publish` in the profile, or remove the service that has the port"),
    ("update out of sequence", "somebody else changes the service: wait for them, then run this again"),
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

/// Runs a command of `docker`; what it prints.
pub(super) fn docker(args: &[&str]) -> Result<String, RuntimeError> {
    let output = run(command(&["docker"], args), "docker")?;
    result(&output, &format!("docker {}", args.first().unwrap_or(&"")))
        .map(|()| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The same for a command that reads something. `directory`: where it runs.
pub(super) fn feed(
    args: &[&str],
    input: &[u8],
    directory: Option<&Path>,
    environment: &BTreeMap<String, Secret>,
) -> Result<String, RuntimeError> {
    let mut command = command(&["docker"], args);
    command.envs(environment.iter().map(|(name, secret)| (name, secret.expose())));
    if let Some(directory) = directory {
        command.current_dir(directory);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| cannot_start("docker", &error))?;
    // One that ends early says why by itself.
    let written = child.stdin.take().map(|mut stdin| stdin.write_all(input));
    let output = child.wait_with_output().map_err(|error| cannot_start("docker", &error))?;
    result(&output, &format!("docker {}", args.first().unwrap_or(&"")))?;
    match written {
        Some(Err(error)) => Err(cannot_start("docker", &error)),
        _ => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
    }
}

/// Pulls an image that is not there.
pub(super) fn require_image(service: &str, image: &str) -> Result<(), RuntimeError> {
    if docker(&["image", "inspect", image]).is_ok() {
        return Ok(());
    }
    docker(&["pull", "--quiet", image]).map(|_| ()).map_err(|error| {
        RuntimeError::unavailable(
            format!("the image {image} of {service} is not there: {error}"),
            "load it, or see that the engine reaches its registry",
        )
    })
}

/// What a container, or a task of a swarm, wrote to both of its outputs.
pub(super) fn logs(verb: &[&str], what: &str, lines: usize) -> String {
    let lines = lines.to_string();
    let output = command(&["docker"], &[verb, &["--tail", &lines, what]].concat()).output();
    let text = |output: Output| [output.stdout, output.stderr].concat();
    output.map(|o| String::from_utf8_lossy(&text(o)).trim_end().to_owned()).unwrap_or_default()
}

pub(super) fn command(program: &[&str], args: &[&str]) -> Command {
    let (first, rest) = program.split_first().unwrap_or((&"docker", &[]));
    let mut command = Command::new(first);
    command.args(rest).args(args).stdin(Stdio::null()).env_clear();
    let passed =
        |name: &str| PASSED.contains(&name) || name.starts_with("DOCKER_") || name.starts_with("LC_");
    command.envs(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(passed)));
    command
}

pub(super) fn run(mut command: Command, what: &str) -> Result<Output, RuntimeError> {
    command.output().map_err(|error| cannot_start(what, &error))
}

fn cannot_start(what: &str, error: &std::io::Error) -> RuntimeError {
    RuntimeError::unavailable(format!("{what} can't be started: {error}"), "install Docker")
}

pub(super) fn result(output: &Output, what: &str) -> Result<(), RuntimeError> {
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
