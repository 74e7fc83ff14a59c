//! `stack.yaml`, for `docker stack deploy`, in the version 3.8 of the format that engines from
//! 20.10 on take.
//!
//! Swarm mounts no folder of the host that calls it: each file of the bundle that a service reads
//! is a config of the swarm, named by its content, and mounted where it would be under Compose.
//! Configs never change, so the names in a service's definition say all that it reads, and a
//! change of a file is a change of the service. Secrets stand here by a name for people; what
//! they are called in the swarm is decided when their values are handed over.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::command::Command;
use super::compose::{
    Empty, Healthcheck, Literal, Logging, Mount, Value, data_volumes, entrypoint, environment, healthcheck,
    memory,
};
use super::{Error, script, yaml};
use crate::bundle::Tree;
use crate::bundle::manifest::sha256;
use crate::render::relay;
use crate::stack::{PublishMode, Service, ServiceKind, Stack, SwarmMode};

/// The file in a bundle.
pub const FILE: &str = "stack.yaml";

#[derive(Debug, Serialize)]
struct File {
    version: &'static str,
    services: BTreeMap<String, Task>,
    networks: Networks,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    volumes: BTreeMap<String, Empty>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    configs: BTreeMap<String, Config>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    secrets: BTreeMap<String, External>,
}

#[derive(Debug, Serialize)]
struct Networks {
    default: Network,
}

#[derive(Debug, Serialize)]
struct Network {
    name: Literal,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    external: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    driver: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    attachable: bool,
}

#[derive(Debug, Serialize)]
struct Config {
    name: String,
    /// Relative to the bundle.
    file: Literal,
    labels: BTreeMap<&'static str, Literal>,
}

#[derive(Debug, Serialize)]
struct External {
    external: bool,
}

#[derive(Debug, Serialize)]
struct Task {
    image: Literal,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entrypoint: Vec<Literal>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    command: Vec<Literal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Literal>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    environment: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<Port>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    configs: Vec<Mounted>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<Mounted>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volumes: Vec<Mount>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tmpfs: Vec<&'static str>,
    /// Swarm pays no heed to it; whoever deploys the file does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    depends_on: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<Healthcheck>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_grace_period: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    read_only: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cap_drop: Vec<&'static str>,
    logging: Logging,
    deploy: Deploy,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'static str, Literal>,
}

#[derive(Debug, Serialize)]
struct Port {
    target: u16,
    published: u16,
    protocol: &'static str,
    mode: PublishMode,
}

/// A config or a secret, as a file in the container.
#[derive(Debug, Serialize)]
struct Mounted {
    source: String,
    target: Literal,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gid: Option<String>,
    /// In decimal: YAML 1.1 and 1.2 write octal numbers differently.
    mode: u32,
}

#[derive(Debug, Serialize)]
struct Deploy {
    labels: BTreeMap<&'static str, Literal>,
    mode: SwarmMode,
    #[serde(skip_serializing_if = "Option::is_none")]
    replicas: Option<u32>,
    endpoint_mode: &'static str,
    #[serde(skip_serializing_if = "Placement::is_empty")]
    placement: Placement,
    update_config: Update,
    rollback_config: Update,
    restart_policy: Restart,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<Resources>,
}

#[derive(Debug, Serialize)]
struct Placement {
    constraints: Vec<Literal>,
}

impl Placement {
    fn is_empty(&self) -> bool {
        self.constraints.is_empty()
    }
}

#[derive(Debug, Serialize)]
struct Update {
    parallelism: u32,
    order: &'static str,
    failure_action: &'static str,
}

/// One after the other, and the old one ends first: it holds its data and its port. What fails
/// stays as it is: the way back is one for the whole stack, and proved.
const UPDATE: Update = Update { parallelism: 1, order: "stop-first", failure_action: "pause" };

#[derive(Debug, Serialize)]
struct Restart {
    condition: &'static str,
    delay: &'static str,
}

#[derive(Debug, Serialize)]
struct Resources {
    limits: Limits,
}

#[derive(Debug, Serialize)]
struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    cpus: Option<Literal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<String>,
}

/// The label with what a service was when it was deployed.
pub const SHAPE: &str = "monprov.shape";

/// What of a service looks the same in the file and in the swarm, so that what somebody changes by
/// hand is seen.
#[derive(Debug, Default, Serialize)]
pub struct Shape {
    pub image: String,
    pub entrypoint: Vec<String>,
    pub args: Vec<String>,
    pub user: String,
    /// Of values that stand openly nothing is known but their variables.
    pub environment: BTreeMap<String, String>,
    /// The configs, by their places.
    pub configs: BTreeMap<String, String>,
    pub constraints: BTreeSet<String>,
    /// `None`: one on each node.
    pub replicas: Option<u64>,
    /// Port, and the one on nodes.
    pub ports: BTreeMap<u16, u16>,
}

impl Shape {
    /// The label's value: a digest, and the variables whose values are not in it.
    pub fn label<'a>(mut self, open: impl Iterator<Item = &'a str>) -> String {
        let open: Vec<&str> = open.collect();
        for name in &open {
            self.environment.insert((*name).to_owned(), String::new());
        }
        let text = serde_json::to_string(&self).unwrap_or_default();
        let digest = sha256(text.as_bytes());
        [digest.get(..32).unwrap_or(&digest)].into_iter().chain(open).collect::<Vec<_>>().join(" ")
    }
}

/// `digests`: what a task's label says about what it was made from, by service.
pub fn swarm(
    stack: &Stack,
    commands: &BTreeMap<String, Command>,
    digests: &BTreeMap<String, String>,
    tree: &Tree,
) -> Result<String, Error> {
    let mut file = File {
        version: "3.8",
        services: BTreeMap::new(),
        networks: Networks { default: network(stack) },
        volumes: BTreeMap::new(),
        configs: BTreeMap::new(),
        secrets: BTreeMap::new(),
    };
    for (name, service) in &stack.services {
        let Some(command) = commands.get(name) else { continue };
        file.volumes.extend(data_volumes(service, command).into_keys().map(|volume| (volume, Empty {})));
        for (path, one) in reads(stack, service, command, tree) {
            let config = Config {
                name: one.name.clone(),
                file: Literal(format!("./{path}")),
                labels: [("monprov.profile", Literal(stack.name.clone()))].into(),
            };
            file.configs.entry(one.name).or_insert(config);
        }
        let external = |file: &String| (secret(name, file), External { external: true });
        file.secrets.extend(command.secret_files.keys().map(external));
        file.services.insert(name.clone(), task(stack, service, command, tree, digests.get(name)));
    }
    let comment = format!(
        "Profile {}: services of the stack. Made by monprov from profiles/{0}.toml; edits here are lost.\n\
         `monprov activate` deploys it: it makes the secrets, and heeds `depends_on`.",
        stack.name
    );
    yaml::document(&comment, &file)
}

/// A service's part of the file, without the label that is made from it. In another stack it is
/// another service, so a name of the profile's own choice is part of it.
pub fn definition(stack: &Stack, service: &Service, command: &Command, tree: &Tree) -> Result<String, Error> {
    let body = yaml::body(&task(stack, service, command, tree, None))?;
    Ok(match stack.project == format!("monprov-{}", stack.name) {
        true => body,
        false => format!("{body}# stack {}\n", stack.project),
    })
}

/// What a secret file is called in the file.
pub fn secret(service: &str, file: &str) -> String {
    format!("{service}.{file}")
}

/// The name of something in the swarm that is made once and never changes. Names have at most 64
/// characters.
pub fn immutable(profile: &str, digest: &str) -> String {
    let profile = profile.get(..31).unwrap_or(profile);
    format!("monprov-{profile}-{}", digest.get(..24).unwrap_or(digest))
}

/// Swarm fills in `{{.Node.Hostname}}` and its like where it starts a container.
pub fn untemplated(value: &str) -> String {
    value.replace("{{", "{{\"{{\"}}")
}

fn network(stack: &Stack) -> Network {
    let own = !stack.network.external;
    Network {
        name: Literal(stack.network.name.clone()),
        external: stack.network.external,
        driver: own.then_some("overlay"),
        attachable: own,
    }
}

fn task(stack: &Stack, service: &Service, command: &Command, tree: &Tree, digest: Option<&String>) -> Task {
    let literal = |s: &str| Literal(s.to_owned());
    let known = service.kind != ServiceKind::Exporter;
    let sealed =
        matches!(service.kind, ServiceKind::Prometheus | ServiceKind::Alertmanager | ServiceKind::Relay);
    let config = |(path, one): (String, Read)| Mounted {
        source: one.name,
        target: Literal(stack.runtime.bundle_path(&stack.name, &path)),
        uid: None,
        gid: None,
        mode: if one.executable { 0o555 } else { 0o444 },
    };
    let volumes = data_volumes(service, command);
    Task {
        image: literal(service.image.as_deref().unwrap_or_default()),
        entrypoint: entrypoint(stack, service, command),
        command: command.args.iter().map(|arg| literal(arg)).collect(),
        user: service.user.as_deref().map(literal),
        environment: environment(service, command, |value| Literal(untemplated(value))),
        ports: ports(service),
        configs: reads(stack, service, command, tree).map(config).collect(),
        secrets: secrets(stack, service, command),
        volumes: volumes.iter().map(|(name, target)| Mount::volume(name, target)).collect(),
        tmpfs: if sealed { vec!["/tmp"] } else { vec![] },
        depends_on: service.after.clone(),
        healthcheck: healthcheck(stack, service, command),
        // Prometheus writes out its head block; 10 s are too few for a large one.
        stop_grace_period: (service.kind == ServiceKind::Prometheus).then_some("1m"),
        read_only: sealed,
        // What an exporter needs is its own affair: some ping or read other processes.
        cap_drop: if known { vec!["ALL"] } else { vec![] },
        logging: Logging::bounded(),
        deploy: deploy(stack, service, command, tree),
        labels: digest.map(|digest| ("monprov.digest", literal(digest))).into_iter().collect(),
    }
}

/// A file of the bundle as a config.
struct Read {
    name: String,
    executable: bool,
}

/// The files of the bundle that a service reads.
fn reads<'a>(
    stack: &'a Stack,
    service: &'a Service,
    command: &'a Command,
    tree: &'a Tree,
) -> impl Iterator<Item = (String, Read)> {
    let wrapper = script::wrapper_file(&service.name);
    let probes = command.health.is_some() && service.health.command.is_empty();
    let folder = super::folder(service.kind);
    let read = move |path: &str| {
        folder.is_some_and(|folder| path.starts_with(folder))
            || (path == wrapper && !command.secret_environment.is_empty())
            || (path == script::PROBE && probes)
    };
    let files = tree.iter().filter(move |(path, _)| read(path)).map(|(path, file)| {
        let name = immutable(&stack.name, &sha256(&file.content));
        (path.to_owned(), Read { name, executable: file.executable })
    });
    files.chain(components(stack, service))
}

/// The relay's plugins: their bytes come into the bundle later, but their digests are known.
fn components<'a>(stack: &'a Stack, service: &Service) -> impl Iterator<Item = (String, Read)> + use<'a> {
    let relayed: BTreeMap<&String, &String> = match service.kind {
        ServiceKind::Relay => stack.relayed.values().map(|r| (&r.plugin, &r.sha256)).collect(),
        _ => BTreeMap::new(),
    };
    let folder = super::folder(ServiceKind::Relay).unwrap_or_default();
    relayed.into_iter().map(move |(plugin, digest)| {
        let name = immutable(&stack.name, digest);
        (format!("{folder}{}", relay::component(plugin)), Read { name, executable: false })
    })
}

/// Readable by the user that the service runs as, and by no one else.
fn secrets(stack: &Stack, service: &Service, command: &Command) -> Vec<Mounted> {
    let reader = stack.runtime.secret_reader(service).unwrap_or_default();
    let (uid, gid) = reader.split_once(':').unwrap_or((&reader, "0"));
    let mounted = |file: &String| Mounted {
        source: secret(&service.name, file),
        target: Literal(stack.runtime.secret_path(&stack.name, &service.name, file)),
        uid: Some(uid.to_owned()),
        gid: Some(gid.to_owned()),
        mode: 0o400,
    };
    command.secret_files.keys().map(mounted).collect()
}

fn ports(service: &Service) -> Vec<Port> {
    let (Some(target), Some(published)) = (service.port, service.publish) else { return vec![] };
    vec![Port { target, published, protocol: "tcp", mode: service.swarm.publish_mode }]
}

fn shape(stack: &Stack, service: &Service, command: &Command, tree: &Tree) -> Literal {
    let swarm = &service.swarm;
    let place = |path: &str| stack.runtime.bundle_path(&stack.name, path);
    let environment = command.environment.iter();
    let replicas = u64::from(swarm.replicas.unwrap_or(1));
    let shape = Shape {
        image: service.image.clone().unwrap_or_default(),
        entrypoint: entrypoint(stack, service, command).into_iter().map(|Literal(word)| word).collect(),
        args: command.args.clone(),
        user: service.user.clone().unwrap_or_default(),
        environment: environment.map(|(name, value)| (name.clone(), untemplated(value))).collect(),
        configs: reads(stack, service, command, tree).map(|(path, one)| (place(&path), one.name)).collect(),
        constraints: swarm.constraints.iter().cloned().collect(),
        replicas: (swarm.mode == SwarmMode::Replicated).then_some(replicas),
        ports: ports(service).into_iter().map(|port| (port.target, port.published)).collect(),
    };
    Literal(shape.label(command.open_environment.keys().map(String::as_str)))
}

fn deploy(stack: &Stack, service: &Service, command: &Command, tree: &Tree) -> Deploy {
    let swarm = &service.swarm;
    let limits =
        Limits { cpus: service.limits.cpus.clone().map(Literal), memory: service.limits.memory.map(memory) };
    let ingress = service.publish.is_some() && swarm.publish_mode == PublishMode::Ingress;
    Deploy {
        labels: [(SHAPE, shape(stack, service, command, tree))].into(),
        mode: swarm.mode,
        replicas: (swarm.mode == SwarmMode::Replicated).then(|| swarm.replicas.unwrap_or(1)),
        // A virtual address forgets a quiet connection after 15 minutes, and there is nothing to
        // balance. Ports of every node can't do without.
        endpoint_mode: if ingress { "vip" } else { "dnsrr" },
        placement: Placement { constraints: swarm.constraints.iter().cloned().map(Literal).collect() },
        update_config: UPDATE,
        rollback_config: UPDATE,
        restart_policy: Restart { condition: "any", delay: "5s" },
        resources: (limits.cpus.is_some() || limits.memory.is_some()).then_some(Resources { limits }),
    }
}
