//! Stack → files, one file a tool. Everything is a typed value that a serialiser writes.

pub mod alertmanager;
pub mod command;
pub mod compose;
pub mod grafana;
pub mod integrations;
pub mod kubernetes;
mod manifest;
pub mod process;
pub mod prometheus;
pub mod relay;
pub mod script;
pub mod swarm;
pub mod versions;
pub mod yaml;

use std::collections::BTreeMap;

use command::Command;

pub use manifest::manifest;

use crate::bundle::Tree;
use crate::bundle::manifest::sha256;
use crate::stack::{Runtime, ServiceKind, Stack};

/// A value that a format cannot hold: a fault of monprov, since stacks are checked first.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot be written as YAML: {0}")]
    Yaml(#[from] serde_saphyr::ser::Error),
    #[error("cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Everything that a stack renders to.
#[derive(Debug, Default)]
pub struct Rendered {
    pub tree: Tree,
    pub services: BTreeMap<String, ServiceFiles>,
}

/// What one service is started with and reads.
#[derive(Debug)]
pub struct ServiceFiles {
    /// SHA-256 of how it is started: a change restarts it.
    pub definition: String,
    /// Beginnings of the paths in the bundle that it reads: a change there reloads it.
    pub reads: Vec<String>,
    pub command: Command,
}

/// What can only be made once all other files are there, those of plugins included.
pub fn complete(
    stack: &Stack,
    services: &BTreeMap<String, ServiceFiles>,
    tree: &mut Tree,
) -> Result<(), Error> {
    match stack.runtime {
        Runtime::Kubernetes => kubernetes::add(stack, services, tree),
        Runtime::Compose | Runtime::Swarm | Runtime::Process => Ok(()),
    }
}

/// Renders a stack.
pub fn render(stack: &Stack) -> Result<Rendered, Error> {
    let mut tree = Tree::new();
    let mut named = command::SecretFiles::new();
    for (kind, files) in [
        (ServiceKind::Prometheus, prometheus::render(stack)?),
        (ServiceKind::Alertmanager, alertmanager::render(stack)?),
        (ServiceKind::Relay, relay::render(stack)?),
    ] {
        tree.extend(files.files);
        if let Some(service) = stack.service_of(kind) {
            let files = match stack.runtime == Runtime::Kubernetes && kubernetes::by_operator(stack, service)
            {
                true => kubernetes::secret_files(stack, service),
                false => files.secret_files,
            };
            named.insert(service.name.clone(), files);
        }
    }
    tree.extend(grafana::grafana(stack)?);
    let commands = command::commands(stack, &named);
    tree.extend(script::scripts(stack, &commands));
    let mut definitions = BTreeMap::new();
    for (name, service) in &stack.services {
        let Some(command) = commands.get(name) else { continue };
        let definition = match stack.runtime {
            Runtime::Compose => compose::definition(stack, service, command)?,
            Runtime::Swarm => swarm::definition(stack, service, command, &tree)?,
            Runtime::Kubernetes => kubernetes::definition(stack, service, command)?,
            Runtime::Process => process::definition(stack, service, command)?,
        };
        definitions.insert(name.clone(), sha256(definition.as_bytes()));
    }
    match stack.runtime {
        Runtime::Compose => tree.insert("compose.yaml", compose::compose(stack, &commands, &definitions)?),
        Runtime::Swarm => tree.insert(swarm::FILE, swarm::swarm(stack, &commands, &definitions, &tree)?),
        Runtime::Process => tree.insert("processes.json", process::process(stack, &commands)?),
        // Made by `complete` from all the other files.
        Runtime::Kubernetes => {}
    }
    let mut services = BTreeMap::new();
    for (name, command) in commands {
        let Some(definition) = definitions.remove(&name) else { continue };
        let own = stack.services.get(&name).and_then(|s| folder(s.kind));
        let folder = own.map_or_else(|| script::wrapper_file(&name), str::to_owned);
        services.insert(name, ServiceFiles { definition, reads: vec![folder], command });
    }
    Ok(Rendered { tree, services })
}

/// The folder of the bundle that holds the configuration of a tool that monprov knows.
fn folder(kind: ServiceKind) -> Option<&'static str> {
    match kind {
        ServiceKind::Prometheus => Some("prometheus/"),
        ServiceKind::Alertmanager => Some("alertmanager/"),
        ServiceKind::Grafana => Some("grafana/"),
        ServiceKind::Relay => Some("relay/"),
        ServiceKind::Exporter => None,
    }
}
