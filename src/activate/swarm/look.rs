//! What the managers of a swarm show, through `docker`.
#![expect(clippy::disallowed_methods, reason = "reads the clock")]

use std::collections::BTreeSet;
use std::time::SystemTime;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::service::{STACK, Service, Task};
use crate::activate::docker::docker;
use crate::activate::{Observed, RuntimeError};

/// Services, and all tasks of them that the swarm remembers.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) services: Vec<Service>,
    pub(super) tasks: Vec<Task>,
}

/// What an engine says of the swarm that it is in.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Node {
    #[serde(rename = "NodeID", default)]
    pub(super) id: String,
    #[serde(rename = "LocalNodeState", default)]
    state: String,
    #[serde(rename = "ControlAvailable", default)]
    manages: bool,
    #[serde(rename = "Nodes", default)]
    pub(super) nodes: u64,
}

impl Node {
    /// The node whose engine answers, if it is one that knows of the whole swarm.
    pub(super) fn of_a_manager() -> Result<Node, RuntimeError> {
        let told = docker(&["info", "--format", "{{json .Swarm}}"]);
        // Where no engine answers, `docker info` of 20.10 complains about the format.
        let told = told.or_else(|error| docker(&["version"]).and(Err(error)))?;
        let node: Node = read(&told)?;
        let what = match (node.state.as_str(), node.manages) {
            ("active", true) => return Ok(node),
            ("active", false) => "this engine is a worker of its swarm",
            ("locked", _) => "this engine's swarm is locked",
            _ => "this engine is in no swarm",
        };
        Err(RuntimeError::unavailable(
            what,
            "point DOCKER_HOST to a manager, or make one with `docker swarm init` (`docker swarm unlock`)",
        ))
    }
}

impl Seen {
    pub(super) fn of(stacks: &BTreeSet<String>) -> Result<Seen, RuntimeError> {
        let mut ids = String::new();
        let mut seen = Seen::default();
        for stack in stacks {
            let filter = format!("label={STACK}={stack}");
            ids += &docker(&["service", "ls", "--quiet", "--filter", &filter])?;
            seen.tasks.extend(tasks(stack)?);
        }
        if !ids.is_empty() {
            let mut args = vec!["service", "inspect"];
            args.extend(ids.lines());
            seen.services = read(&docker(&args)?)?;
            seen.services.retain(|service| service.name().is_some());
        }
        Ok(seen)
    }
}

/// Every task of a stack that the swarm remembers.
pub(super) fn tasks(stack: &str) -> Result<Vec<Task>, RuntimeError> {
    let ids = match docker(&["stack", "ps", "--quiet", "--no-trunc", stack]) {
        Err(error) if error.to_string().contains("nothing found in stack") => return Ok(vec![]),
        ids => ids?,
    };
    let mut args = vec!["inspect", "--type=task"];
    args.extend(ids.lines());
    if args.len() == 2 { Ok(vec![]) } else { read(&docker(&args)?) }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, RuntimeError> {
    serde_json::from_str(text).map_err(|error| {
        RuntimeError::unavailable(
            format!("docker answers with something unknown: {error}"),
            "use an engine of version 20.10 or later",
        )
    })
}

/// A daemon that ends says why, and then at length how it stops.
pub(super) fn telling(said: &str, lines: usize) -> String {
    let fails = |line: &&str| {
        let line = line.to_ascii_lowercase();
        ["level=error", "level=fatal", "panic:", "err="].iter().any(|sign| line.contains(sign))
    };
    let (all, failures): (Vec<&str>, Vec<&str>) =
        (said.lines().collect(), said.lines().filter(fails).collect());
    let lines_of = |lines_there: &[&str]| {
        lines_there.get(lines_there.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
    };
    lines_of(if failures.is_empty() { &all } else { &failures })
}

pub(super) fn observed(seen: &Seen) -> Observed {
    let now = SystemTime::now();
    let running = |service: &Service| Some((service.name()?.to_owned(), service.running(&seen.tasks, now)));
    Observed(seen.services.iter().filter_map(running).collect())
}

/// Where a container is on the bridge that joins overlay networks to this host.
pub(super) fn gateway(container: &str) -> Option<String> {
    let format = format!("{{{{(index .Containers \"{container}\").IPv4Address}}}}");
    let address = docker(&["network", "inspect", "--format", &format, "docker_gwbridge"]).ok()?;
    let address = address.trim().split('/').next().unwrap_or_default().to_owned();
    address.parse::<std::net::Ipv4Addr>().is_ok().then_some(address)
}

#[cfg(test)]
mod tests {
    use super::telling;

    #[test]
    fn the_lines_that_say_why_are_shown() {
        let said = "level=info a\nlevel=error err=\"no such field\"\nlevel=info stopping\nlevel=info stopped";
        assert_eq!(telling(said, 2), "level=error err=\"no such field\"");
        assert_eq!(telling("one\ntwo\nthree", 2), "two\nthree");
        assert_eq!(telling("", 2), "");
    }
}
