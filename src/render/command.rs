//! What a service is started with: its own arguments and environment, and those that monprov
//! passes to the tools it knows. What differs between runtimes is decided here, so that the
//! renderers of runtimes only write it down.

use std::collections::BTreeMap;

use crate::profile::text::{Piece, Text};
use crate::render::relay;
use crate::stack::{Runtime, Service, ServiceKind, Stack, Uptake};

/// Secret files by service and file name, as far as configuration files name them.
pub type SecretFiles = BTreeMap<String, BTreeMap<String, Text>>;

/// A file that holds a secret.
#[derive(Debug, Clone, PartialEq)]
pub struct SecretFile {
    pub text: Text,
    /// What the service does when it changes.
    pub uptake: Uptake,
}

/// How a service is started under the stack's runtime.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Command {
    /// The program with its subcommand; empty where the image's entrypoint is started.
    pub program: Vec<String>,
    pub args: Vec<String>,
    pub environment: BTreeMap<String, String>,
    /// Variables that hold a secret, by the secret file that has the same name.
    pub secret_environment: BTreeMap<String, Text>,
    /// Variables that stand in the container's environment although they hold a secret.
    pub open_environment: BTreeMap<String, Text>,
    /// Every secret file of the service, by name.
    pub secret_files: BTreeMap<String, SecretFile>,
    /// The data directory: in the container, or relative to the state directory.
    pub data: Option<String>,
    /// A URL that answers 200 where the service is well, as the service itself reaches it.
    pub health: Option<String>,
}

/// The commands of all services, by name.
pub fn commands(stack: &Stack, files: &SecretFiles) -> BTreeMap<String, Command> {
    let none = BTreeMap::new();
    stack
        .services
        .iter()
        .map(|(name, service)| (name.clone(), command(stack, service, files.get(name).unwrap_or(&none))))
        .collect()
}

/// `files`: the secret files that the service's configuration names.
pub fn command(stack: &Stack, service: &Service, files: &BTreeMap<String, Text>) -> Command {
    let compose = stack.runtime.in_containers();
    let mut command = Command { data: data(stack, service), health: health(service), ..Command::default() };
    let file = |text: &Text, uptake| SecretFile { text: text.clone(), uptake };
    let read = match service.kind {
        ServiceKind::Relay => Uptake::Reload,
        // Prometheus and Alertmanager read these anew for each request and each notification.
        _ => Uptake::Nothing,
    };
    let configured = files.iter().map(|(name, text)| (name.clone(), file(text, read)));
    let uptake = if service.reload.is_some() { Uptake::Reload } else { Uptake::Restart };
    let own = service.secret_files.iter().map(|(name, text)| (name.clone(), file(text, uptake)));
    command.secret_files.extend(configured.chain(own));
    if !compose {
        command.program = program(service);
    }

    let own = match service.kind {
        ServiceKind::Prometheus => prometheus_flags(stack, service, command.data.as_deref()),
        ServiceKind::Alertmanager => alertmanager_flags(stack, service, command.data.as_deref()),
        ServiceKind::Relay => relay_flags(stack, service, command.data.as_deref()),
        ServiceKind::Grafana | ServiceKind::Exporter => vec![],
    };
    if service.kind == ServiceKind::Relay {
        command.args.push("relay".into());
    }
    // A flag given twice is an error of these tools: the profile's own wins.
    let own = own.into_iter().filter(|(flag, _)| !sets_flag(&service.args, flag));
    command.args.extend(own.map(|(flag, value)| match value {
        Some(value) => format!("--{flag}={value}"),
        None => format!("--{flag}"),
    }));
    command.args.extend(service.args.iter().cloned());

    let mut environment = BTreeMap::new();
    if service.kind == ServiceKind::Grafana {
        environment = grafana_environment(stack, service, command.data.as_deref());
    }
    environment.extend(service.environment.clone());
    for (name, text) in environment {
        // A variable has no threshold; what is left is a secret or plain.
        match text.fill("") {
            Some(plain) => {
                command.environment.insert(name, plain);
            }
            None if compose && service.allow_env && !stack.runtime.fills_environment() => {
                command.open_environment.insert(name, text);
            }
            None => {
                command.secret_files.insert(name.clone(), file(&text, Uptake::Restart));
                let path = stack.runtime.secret_path(&stack.name, &service.name, &name);
                match (service.kind, compose) {
                    // Read by the image's own start script …
                    (ServiceKind::Grafana, true) if name.starts_with("GF_") => {
                        command.environment.insert(format!("{name}__FILE"), path);
                    }
                    // … and by Grafana itself, in any of its settings.
                    (ServiceKind::Grafana, false) if name.starts_with("GF_") => {
                        command.environment.insert(name, format!("$__file{{{path}}}"));
                    }
                    _ => {
                        command.secret_environment.insert(name, text);
                    }
                }
            }
        }
    }
    command
}

/// True if the arguments set a flag themselves, switched off or on.
pub(crate) fn sets_flag(args: &[String], flag: &str) -> bool {
    args.iter().any(|arg| {
        let name = arg.trim_start_matches('-').split('=').next().unwrap_or_default();
        arg.starts_with('-') && (name == flag || name.strip_prefix("no-") == Some(flag))
    })
}

type Flag = (&'static str, Option<String>);

fn prometheus_flags(stack: &Stack, service: &Service, data: Option<&str>) -> Vec<Flag> {
    let config = stack.runtime.bundle_path(&stack.name, "prometheus/prometheus.yml");
    let mut flags = vec![
        ("config.file", Some(config)),
        // Without it a reload answers 403.
        ("web.enable-lifecycle", None),
        ("web.listen-address", listen(stack.runtime, service)),
        ("storage.tsdb.path", data.map(str::to_owned)),
        // Also a setting of the configuration since 3.8, where the flag is called deprecated;
        // the flag is what all versions from 2.42 to 3.14 take.
        ("storage.tsdb.retention.time", Some(stack.prometheus.retention.to_string())),
    ];
    flags.retain(|(flag, value)| value.is_some() || *flag == "web.enable-lifecycle");
    flags
}

fn alertmanager_flags(stack: &Stack, service: &Service, data: Option<&str>) -> Vec<Flag> {
    let config = stack.runtime.bundle_path(&stack.name, "alertmanager/alertmanager.yml");
    let mut flags = vec![
        ("config.file", Some(config)),
        ("storage.path", data.map(str::to_owned)),
        ("web.listen-address", listen(stack.runtime, service)),
        // One Alertmanager is no cluster; without this it waits for peers and opens a port.
        ("cluster.listen-address", Some(String::new())),
    ];
    flags.retain(|(_, value)| value.is_some());
    flags
}

fn relay_flags(stack: &Stack, service: &Service, data: Option<&str>) -> Vec<Flag> {
    let secrets = stack.runtime.secret_path(&stack.name, &service.name, "");
    let mut flags = vec![
        ("config", Some(stack.runtime.bundle_path(&stack.name, relay::FILE))),
        ("secrets", Some(secrets.trim_end_matches('/').to_owned())),
        ("data", data.map(str::to_owned)),
        ("listen", listen(stack.runtime, service)),
    ];
    flags.retain(|(_, value)| value.is_some());
    flags
}

/// Settings that a Grafana provisioned from files needs, and nothing that calls home: a
/// bundle says all that a stack is, so nothing is fetched when it starts.
fn grafana_environment(stack: &Stack, service: &Service, data: Option<&str>) -> BTreeMap<String, Text> {
    let provisioning = stack.runtime.bundle_path(&stack.name, "grafana/provisioning");
    let mut environment: BTreeMap<String, Text> = [
        ("GF_PATHS_PROVISIONING", provisioning.as_str()),
        ("GF_SECURITY_ADMIN_USER", &stack.grafana.admin_user),
        ("GF_USERS_ALLOW_SIGN_UP", "false"),
        ("GF_ANALYTICS_REPORTING_ENABLED", "false"),
        ("GF_ANALYTICS_CHECK_FOR_UPDATES", "false"),
        ("GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES", "false"),
        ("GF_NEWS_NEWS_FEED_ENABLED", "false"),
        ("GF_PLUGINS_PREINSTALL_DISABLED", "true"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), Text::plain(value)))
    .collect();
    let mut set =
        |name: &str, value: String| environment.insert(name.to_owned(), Text(vec![Piece::Plain(value)]));
    if let Some(port) = service.port {
        set("GF_SERVER_HTTP_PORT", port.to_string());
    }
    // The image has these paths in its own environment.
    if let (Runtime::Process, Some(data)) = (stack.runtime, data) {
        set("GF_SERVER_HTTP_ADDR", "127.0.0.1".into());
        set("GF_PATHS_DATA", data.to_owned());
        set("GF_PATHS_LOGS", format!("{data}/log"));
        set("GF_PATHS_PLUGINS", format!("{data}/plugins"));
    }
    if let Some(password) = &stack.grafana.admin_password {
        environment.insert("GF_SECURITY_ADMIN_PASSWORD".into(), password.clone());
    }
    environment
}

fn listen(runtime: Runtime, service: &Service) -> Option<String> {
    service.port.map(|port| match runtime {
        Runtime::Process => format!("127.0.0.1:{port}"),
        Runtime::Compose | Runtime::Swarm | Runtime::Kubernetes => format!(":{port}"),
    })
}

/// Where the tools that monprov knows keep their data; the images declare the same places.
fn data(stack: &Stack, service: &Service) -> Option<String> {
    let in_container = match service.kind {
        ServiceKind::Prometheus => "/prometheus",
        ServiceKind::Alertmanager => "/alertmanager",
        ServiceKind::Grafana => "/var/lib/grafana",
        ServiceKind::Relay => "/var/lib/monprov",
        ServiceKind::Exporter => return None,
    };
    Some(match stack.runtime {
        Runtime::Process => format!("data/{}/{}", stack.name, service.name),
        Runtime::Compose | Runtime::Swarm | Runtime::Kubernetes => in_container.to_owned(),
    })
}

fn health(service: &Service) -> Option<String> {
    let path = service.health.http.as_deref().or(match service.kind {
        // A relay is well while it compiles its plugins; that it runs them, its status proves.
        ServiceKind::Prometheus | ServiceKind::Alertmanager | ServiceKind::Relay => Some("/-/healthy"),
        ServiceKind::Grafana => Some("/api/health"),
        ServiceKind::Exporter => None,
    })?;
    let slash = if path.starts_with('/') { "" } else { "/" };
    Some(format!("http://127.0.0.1:{}{slash}{path}", service.port?))
}

fn program(service: &Service) -> Vec<String> {
    match (&service.program, service.kind) {
        (Some(program), ServiceKind::Grafana) if program.ends_with("grafana") => {
            vec![program.clone(), "server".into()]
        }
        (Some(program), _) => vec![program.clone()],
        (None, ServiceKind::Prometheus) => vec!["prometheus".into()],
        (None, ServiceKind::Alertmanager) => vec!["alertmanager".into()],
        (None, ServiceKind::Grafana) => vec!["grafana".into(), "server".into()],
        (None, ServiceKind::Relay) => vec!["monprov".into()],
        // Refused by the check of services.
        (None, ServiceKind::Exporter) => vec![],
    }
}
