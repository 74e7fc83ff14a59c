//! Docker Compose, version 1 or 2, whichever is there.
//!
//! Compose starts what it is told to, and no more is left to it: which containers are made
//! anew is decided by the label `monprov.digest`, since Compose looks neither at the contents
//! of mounts nor at containers that failed, and answers 0 where a container has ended again.
//! So everything is read back from the engine.
//!
//! The two versions name containers differently and print different tables. So Compose is only
//! called for `up` with options that both have, and everything else goes by the labels that both
//! write, through `docker`. Tests run version 1.29; what is known of 2 is from its documentation.

mod container;
mod engine;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::docker::{docker, logs, require_image};
use super::{Bundle, Observed, Plan, Runtime, RuntimeError, Step, Target};
use container::{Container, PROJECT};
use engine::Engine;

const FILE: &str = "compose.yaml";

/// The containers of a profile.
#[derive(Debug)]
pub struct Compose {
    engine: Engine,
    /// The state directory, absolute: mounts are relative to it.
    state: PathBuf,
    /// All in which something of the profile may run: a bundle may bring another name.
    projects: BTreeSet<String>,
    /// What the last look at the engine gave, for addresses; nothing after a change.
    seen: RefCell<Option<Vec<Container>>>,
}

impl Compose {
    pub fn new(state: &Path, projects: BTreeSet<String>) -> Result<Self, RuntimeError> {
        Ok(Compose { engine: Engine::find()?, state: state.to_owned(), projects, seen: RefCell::default() })
    }

    /// The name of a bundle's Compose project, or Swarm stack.
    pub fn project(bundle: &Bundle) -> String {
        let own = bundle.manifest.settings.pointer("/stack/project").and_then(Value::as_str);
        own.map_or_else(|| format!("monprov-{}", bundle.manifest.profile), str::to_owned)
    }

    fn containers(&self) -> Result<Vec<Container>, RuntimeError> {
        let mut ids = String::new();
        for project in &self.projects {
            let filter = format!("label={PROJECT}={project}");
            ids += &docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter])?;
        }
        if ids.is_empty() {
            return Ok(vec![]);
        }
        let mut args = vec!["inspect", "--type", "container"];
        args.extend(ids.lines());
        let text = docker(&args)?;
        let containers: Vec<Container> = serde_json::from_str(&text).map_err(|error| {
            RuntimeError::unavailable(
                format!("`docker inspect` answers with something unknown: {error}"),
                "use an engine of version 20.10 or later",
            )
        })?;
        Ok(containers.into_iter().filter(|c| c.service().is_some()).collect())
    }

    /// The containers, as they were seen last.
    fn with<T>(&self, read: impl FnOnce(&[Container]) -> T) -> Result<T, RuntimeError> {
        if self.seen.borrow().is_none() {
            let containers = self.containers()?;
            self.seen.replace(Some(containers));
        }
        Ok(read(self.seen.borrow().as_deref().unwrap_or_default()))
    }

    fn of(&self, service: &str) -> Result<Option<Container>, RuntimeError> {
        self.with(|all| all.iter().find(|c| c.service() == Some(service)).cloned())
    }

    fn up(&self, target: &Target<'_>, flags: &[&str], services: &[&str]) -> Result<(), RuntimeError> {
        if services.is_empty() {
            return Ok(());
        }
        let project = Compose::project(target.bundle);
        let file = target.bundle.path.path().join(FILE).display().to_string();
        let state = self.state.display().to_string();
        let mut args = vec![
            "--project-name",
            &project,
            "--file",
            &file,
            "--project-directory",
            &state,
            "up",
            "--detach",
            "--no-build",
        ];
        args.extend(flags);
        args.extend(services);
        self.engine.compose(&args, target.environment)
    }

    fn remove(&self, containers: &[Container]) -> Result<(), RuntimeError> {
        for verb in ["stop", "rm"] {
            let mut args = vec![verb];
            args.extend(containers.iter().map(|c| c.id.as_str()));
            if args.len() > 1 {
                docker(&args)?;
            }
        }
        Ok(())
    }

    fn remove_networks(&self, project: &str) -> Result<(), RuntimeError> {
        let filter = format!("label={PROJECT}={project}");
        let networks = docker(&["network", "ls", "--quiet", "--filter", &filter])?;
        let mut args = vec!["network", "rm"];
        args.extend(networks.lines());
        if args.len() > 2 {
            docker(&args)?;
        }
        Ok(())
    }
}

impl Runtime for Compose {
    fn name(&self) -> &'static str {
        "compose"
    }

    fn observe(&self) -> Result<Observed, RuntimeError> {
        self.seen.replace(Some(self.containers()?));
        let running = |c: &Container| Some((c.service()?.to_owned(), c.running()));
        self.with(|all| Observed(all.iter().filter_map(running).collect()))
    }

    fn check(&self, target: &Target<'_>, plan: &Plan) -> Result<(), RuntimeError> {
        let text = target.bundle.text(FILE);
        let unreadable = |why: String| RuntimeError::Rejected { what: format!("{FILE}: {why}"), logs: None };
        let text = text.map_err(|error| unreadable(error.to_string()))?;
        let file: Value = serde_saphyr::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        let network = file.pointer("/networks/default");
        if let Some(network) = network.filter(|n| n.get("external").and_then(Value::as_bool) == Some(true)) {
            let name = network.get("name").and_then(Value::as_str).unwrap_or_default();
            if docker(&["network", "inspect", name]).is_err() {
                docker(&["version"])?;
                return Err(RuntimeError::unavailable(
                    format!("the network `{name}` does not exist"),
                    format!("start the stack that it belongs to, or create it: docker network create {name}"),
                ));
            }
        }
        for name in plan.having(Step::Create).chain(plan.having(Step::Restart)) {
            let service = file.pointer("/services").and_then(|services| services.get(name));
            let image = service.and_then(|s| s.get("image")?.as_str()).unwrap_or_default().replace("$$", "$");
            require_image(name, &image)?;
        }
        let ports = |name: &str| {
            let ports = file.pointer("/services").and_then(|s| s.get(name)?.get("ports")?.as_array());
            ports.into_iter().flatten().filter_map(|p| p.as_str().map(str::to_owned)).collect::<Vec<_>>()
        };
        for name in plan.having(Step::Create) {
            for published in ports(name) {
                // `address:published:port`
                let Some((host, _)) = published.rsplit_once(':') else { continue };
                if let Err(error) = TcpListener::bind(host)
                    && error.kind() == std::io::ErrorKind::AddrInUse
                {
                    return Err(RuntimeError::unavailable(
                        format!("{host}, where {name} is to be published, is in use"),
                        "end what has it, or set another `publish` in the profile",
                    ));
                }
            }
        }
        Ok(())
    }

    fn apply(&self, target: &Target<'_>, plan: &Plan) -> Result<(), RuntimeError> {
        let project = Compose::project(target.bundle);
        let is_gone = |c: &Container| {
            c.project() != project || plan.having(Step::Remove).any(|name| c.service() == Some(name))
        };
        let gone: Vec<Container> = self.containers()?.into_iter().filter(is_gone).collect();
        self.seen.replace(None);
        self.remove(&gone)?;
        for other in self.projects.iter().filter(|other| **other != project) {
            // The new project may want its name; where others are attached, it stays.
            let _ = self.remove_networks(other);
        }
        let restarted: Vec<&str> = plan.having(Step::Restart).collect();
        self.up(target, &["--no-deps", "--force-recreate"], &restarted)?;
        let created: Vec<&str> = plan.having(Step::Create).collect();
        self.up(target, &["--no-recreate"], &created)
    }

    fn address(&self, service: &str, port: u16) -> Result<Option<String>, RuntimeError> {
        Ok(self.of(service)?.and_then(|container| container.address(port)))
    }

    fn logs(&self, service: &str, lines: usize) -> String {
        let container = self.of(service).ok().flatten();
        container.map(|c| logs(&["logs"], &c.id, lines)).unwrap_or_default()
    }

    fn stop(&self) -> Result<(), RuntimeError> {
        let containers = self.containers()?;
        self.seen.replace(None);
        self.remove(&containers)?;
        self.projects.iter().try_for_each(|project| self.remove_networks(project))
    }
}
