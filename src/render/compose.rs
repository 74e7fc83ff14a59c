//! `compose.yaml`, in the language that docker-compose 1.29 and Compose v2 have in common:
//! no `version` (2 warns), no `name` and no `create_host_path` (1.29 refuses), limits as
//! `mem_limit` and `cpus` (1.29 ignores `deploy` outside a swarm).
//!
//! The project directory is the state directory, so mounts are relative to it, and they are
//! directories: a mounted file pins the inode, and a reload would read the old one. The
//! stack's network is the project's default network: no service can stand outside it.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::command::Command;
use super::{Error, script, yaml};
use crate::profile::units::{Bytes, Duration};
use crate::stack::{Health, Service, ServiceKind, Stack};

#[derive(Debug, Serialize)]
struct Compose {
    services: BTreeMap<String, Container>,
    networks: Networks,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    volumes: BTreeMap<String, Empty>,
}

/// `{}`: a thing with nothing to say about it.
#[derive(Debug, Serialize)]
pub(super) struct Empty {}

#[derive(Debug, Serialize)]
struct Networks {
    default: Network,
}

#[derive(Debug, Serialize)]
struct Network {
    name: Literal,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    external: bool,
}

#[derive(Debug, Serialize)]
struct Container {
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
    ports: Vec<Literal>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volumes: Vec<Mount>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tmpfs: Vec<&'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    depends_on: BTreeMap<String, Dependency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<Healthcheck>,
    restart: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_grace_period: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpus: Option<Literal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_limit: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    read_only: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cap_drop: Vec<&'static str>,
    security_opt: Vec<&'static str>,
    logging: Logging,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'static str, Literal>,
}

#[derive(Debug, Serialize)]
pub(super) struct Mount {
    r#type: &'static str,
    source: Literal,
    target: Literal,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    read_only: bool,
}

impl Mount {
    fn read_only(source: String, target: String) -> Self {
        Mount { r#type: "bind", source: Literal(source), target: Literal(target), read_only: true }
    }

    pub(super) fn volume(name: &str, target: &str) -> Self {
        Mount {
            r#type: "volume",
            source: Literal(name.into()),
            target: Literal(target.into()),
            read_only: false,
        }
    }
}

#[derive(Debug, Serialize)]
struct Dependency {
    condition: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Healthcheck {
    test: Vec<Literal>,
    interval: String,
    timeout: String,
    retries: u32,
    start_period: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Logging {
    driver: &'static str,
    options: BTreeMap<&'static str, &'static str>,
}

impl Logging {
    pub(super) fn bounded() -> Self {
        Logging { driver: "json-file", options: [("max-file", "3"), ("max-size", "10m")].into() }
    }
}

/// A string that Compose must take as it stands: it interpolates `$` everywhere else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Literal(pub(super) String);

impl Serialize for Literal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.replace('$', "$$"))
    }
}

/// The value of a variable.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Value {
    Plain(Literal),
    /// `${NAME:?…}`, from the environment in which Compose is called.
    Interpolated(String),
}

/// `digests`: what a container's label says about what it was made from, by service.
pub fn compose(
    stack: &Stack,
    commands: &BTreeMap<String, Command>,
    digests: &BTreeMap<String, String>,
) -> Result<String, Error> {
    let mut services = BTreeMap::new();
    let mut volumes = BTreeMap::new();
    for (name, service) in &stack.services {
        let Some(command) = commands.get(name) else { continue };
        for volume in data_volumes(service, command).into_keys() {
            volumes.insert(volume, Empty {});
        }
        services.insert(name.clone(), container(stack, service, command, digests.get(name)));
    }
    let network = Network { name: Literal(stack.network.name.clone()), external: stack.network.external };
    let compose = Compose { services, networks: Networks { default: network }, volumes };
    let comment = format!(
        "Profile {}: services of the stack. Made by monprov from profiles/{0}.toml; edits here are lost.\n\
         Call Compose with the state directory as project directory.",
        stack.name
    );
    yaml::document(&comment, &compose)
}

/// A service's part of the file, without the label that is made from it. Under another project
/// it is another container, so a project of the profile's own choice is part of it.
pub fn definition(stack: &Stack, service: &Service, command: &Command) -> Result<String, Error> {
    let body = yaml::body(&container(stack, service, command, None))?;
    Ok(match stack.project == format!("monprov-{}", stack.name) {
        true => body,
        false => format!("{body}# project {}\n", stack.project),
    })
}

/// The variable in which Compose finds a secret that may stand in a container's environment:
/// two services may have one variable with two values.
pub fn outer_variable(service: &str, variable: &str) -> String {
    let service = service.to_ascii_uppercase().replace(['-', '.'], "_");
    format!("MONPROV_{service}__{variable}")
}

fn container(stack: &Stack, service: &Service, command: &Command, digest: Option<&String>) -> Container {
    let literal = |s: &str| Literal(s.to_owned());
    let known = service.kind != ServiceKind::Exporter;
    let sealed =
        matches!(service.kind, ServiceKind::Prometheus | ServiceKind::Alertmanager | ServiceKind::Relay);
    Container {
        image: literal(service.image.as_deref().unwrap_or_default()),
        entrypoint: entrypoint(stack, service, command),
        command: command.args.iter().map(|arg| literal(arg)).collect(),
        user: service.user.as_deref().map(literal),
        environment: environment(service, command, |text| Literal(text.to_owned())),
        ports: ports(service),
        volumes: mounts(stack, service, command),
        tmpfs: if sealed { vec!["/tmp"] } else { vec![] },
        depends_on: service.after.iter().map(|name| (name.clone(), dependency(stack, name))).collect(),
        healthcheck: healthcheck(stack, service, command),
        restart: "unless-stopped",
        // Prometheus writes out its head block; 10 s are too few for a large one.
        stop_grace_period: (service.kind == ServiceKind::Prometheus).then_some("1m"),
        cpus: service.limits.cpus.as_deref().map(literal),
        mem_limit: service.limits.memory.map(memory),
        read_only: sealed,
        // What an exporter needs is its own affair: some ping or read other processes.
        cap_drop: if known { vec!["ALL"] } else { vec![] },
        security_opt: vec!["no-new-privileges:true"],
        logging: Logging::bounded(),
        labels: digest.map(|digest| ("monprov.digest", literal(digest))).into_iter().collect(),
    }
}

/// `plain`: how a value is written that stands for itself.
pub(super) fn environment(
    service: &Service,
    command: &Command,
    plain: impl Fn(&str) -> Literal,
) -> BTreeMap<String, Value> {
    let open = command.open_environment.keys().map(|name| {
        let outer = outer_variable(&service.name, name);
        (name.clone(), Value::Interpolated(format!("${{{outer}:?start this stack with monprov}}")))
    });
    let plain = command.environment.iter().map(|(name, value)| (name.clone(), Value::Plain(plain(value))));
    plain.chain(open).collect()
}

/// The wrapper in front of the image's own entrypoint, where secrets go to the environment.
pub(super) fn entrypoint(stack: &Stack, service: &Service, command: &Command) -> Vec<Literal> {
    if command.secret_environment.is_empty() {
        return vec![];
    }
    let wrapper = stack.runtime.bundle_path(&stack.name, &script::wrapper_file(&service.name));
    let own = service.entrypoint.iter().cloned();
    ["/bin/sh".into(), wrapper].into_iter().chain(own).map(Literal).collect()
}

fn ports(service: &Service) -> Vec<Literal> {
    let (Some(port), Some(publish)) = (service.port, service.publish) else { return vec![] };
    let address = &service.publish_address;
    let address = if address.contains(':') { format!("[{address}]") } else { address.clone() };
    vec![Literal(format!("{address}:{publish}:{port}"))]
}

fn mounts(stack: &Stack, service: &Service, command: &Command) -> Vec<Mount> {
    let profile = &stack.name;
    let mut mounts = vec![];
    let reads_bundle = service.kind != ServiceKind::Exporter
        || !command.secret_environment.is_empty()
        || (command.health.is_some() && service.health.command.is_empty());
    if reads_bundle {
        mounts.push(Mount::read_only("./store".into(), "/monprov/store".into()));
        mounts.push(Mount::read_only(format!("./run/{profile}"), format!("/monprov/run/{profile}")));
    }
    if !command.secret_files.is_empty() {
        let source = format!("./secrets/{profile}/{}", service.name);
        mounts.push(Mount::read_only(source, "/run/monprov/secrets".into()));
    }
    let volumes = data_volumes(service, command);
    mounts.extend(volumes.iter().map(|(name, target)| Mount::volume(name, target)));
    mounts
}

/// The volumes of the profile, and one for the data of a tool that monprov knows where the
/// profile has none there.
pub(super) fn data_volumes(service: &Service, command: &Command) -> BTreeMap<String, String> {
    let mut volumes = service.volumes.clone();
    if let Some(data) = &command.data
        && !volumes.values().any(|path| path == data)
    {
        volumes.insert(format!("{}-data", service.name), data.clone());
    }
    volumes
}

fn dependency(stack: &Stack, name: &str) -> Dependency {
    let checked = stack.services.get(name).is_some_and(|s| {
        s.kind != ServiceKind::Exporter || s.health.http.is_some() || !s.health.command.is_empty()
    });
    Dependency { condition: if checked { "service_healthy" } else { "service_started" } }
}

pub(super) fn healthcheck(stack: &Stack, service: &Service, command: &Command) -> Option<Healthcheck> {
    let Health { command: own, interval, timeout, retries, start_period, .. } = &service.health;
    let test: Vec<String> = match (own.as_slice(), &command.health) {
        ([], None) => return None,
        ([], Some(url)) => {
            let probe = stack.runtime.bundle_path(&stack.name, script::PROBE);
            vec!["CMD".into(), "/bin/sh".into(), probe, url.clone()]
        }
        (own, _) => std::iter::once("CMD".into()).chain(own.iter().cloned()).collect(),
    };
    Some(Healthcheck {
        test: test.into_iter().map(Literal).collect(),
        interval: duration(interval.unwrap_or(Duration::seconds(15))),
        timeout: duration(timeout.unwrap_or(Duration::seconds(5))),
        retries: retries.unwrap_or(3),
        start_period: duration(start_period.unwrap_or(Duration::seconds(30))),
    })
}

/// As Go writes durations, which have no unit above the hour.
pub(super) fn duration(duration: Duration) -> String {
    match duration.0 {
        ms if ms % 3_600_000 == 0 && ms > 0 => format!("{}h", ms / 3_600_000),
        ms if ms % 60_000 == 0 && ms > 0 => format!("{}m", ms / 60_000),
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

/// As Docker writes sizes: its `m` is a MiB.
pub(super) fn memory(bytes: Bytes) -> String {
    for (unit, scale) in [("g", 1 << 30), ("m", 1 << 20), ("k", 1 << 10)] {
        if bytes.0 > 0 && bytes.0.is_multiple_of(scale) {
            return format!("{}{unit}", bytes.0 / scale);
        }
    }
    format!("{}b", bytes.0)
}
