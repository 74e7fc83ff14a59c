//! What a runtime decides about names and places. All paths are relative to the state
//! directory or fixed inside the container, so that a bundle names no path of the host.
//!
//! | | process | compose, swarm, kubernetes |
//! | --- | --- | --- |
//! | a service | `127.0.0.1:PORT` | `NAME:PORT` |
//! | the bundle | `run/PROFILE/live` | `/monprov/run/PROFILE/live` |
//! | a service's secrets | `secrets/PROFILE/SERVICE` | `/run/monprov/secrets` |
//!
//! Processes start in the state directory. In a container of Compose the store is mounted at
//! `/monprov/store` beside `run`, so that the relative link `live` resolves there too; Swarm
//! puts each file there by itself.

use super::{Runtime, Service, ServiceKind};

impl Runtime {
    pub fn name(self) -> &'static str {
        match self {
            Runtime::Process => "process",
            Runtime::Compose => "compose",
            Runtime::Swarm => "swarm",
            Runtime::Kubernetes => "kubernetes",
        }
    }

    /// Whether services run from images, each with addresses and paths of its own.
    pub fn in_containers(self) -> bool {
        self != Runtime::Process
    }

    /// Whether services see new files without being started anew. Engines that pin files to a
    /// container restart what others reload.
    pub fn reloads(self) -> bool {
        !matches!(self, Runtime::Swarm | Runtime::Kubernetes)
    }

    /// Whether secrets reach a variable through the engine, which shows them to nobody who may
    /// not read its secrets: without a wrapper in front of the image's entrypoint.
    pub fn fills_environment(self) -> bool {
        self == Runtime::Kubernetes
    }

    /// Where other services of the stack reach a port of a service.
    pub fn address(self, service: &str, port: u16) -> String {
        match self {
            Runtime::Process => format!("127.0.0.1:{port}"),
            Runtime::Compose | Runtime::Swarm | Runtime::Kubernetes => format!("{service}:{port}"),
        }
    }

    /// A file of the bundle, as a service names it in an argument.
    pub fn bundle_path(self, profile: &str, file: &str) -> String {
        match self {
            Runtime::Process => format!("run/{profile}/live/{file}"),
            Runtime::Compose | Runtime::Swarm | Runtime::Kubernetes => {
                format!("/monprov/run/{profile}/live/{file}")
            }
        }
    }

    /// A secret file of a service, as the service names it in an argument or variable, or
    /// in a configuration whose paths are relative to the working directory (Alertmanager).
    pub fn secret_path(self, profile: &str, service: &str, file: &str) -> String {
        match self {
            Runtime::Process => format!("secrets/{profile}/{service}/{file}"),
            Runtime::Compose | Runtime::Swarm | Runtime::Kubernetes => format!("/run/monprov/secrets/{file}"),
        }
    }

    /// The user (uid or uid:gid) that a service's secret files belong to on this host; `None`
    /// where that is whoever starts the stack, or where nobody said it.
    pub fn secret_owner(self, service: &Service) -> Option<String> {
        match self {
            Runtime::Compose => self.secret_reader(service),
            // These have their own copies; those of this host are for monprov to compare.
            Runtime::Process | Runtime::Swarm | Runtime::Kubernetes => None,
        }
    }

    /// The user that reads them where the service runs; `None` where nobody said it.
    pub fn secret_reader(self, service: &Service) -> Option<String> {
        match self.in_containers() {
            true => service.container_user(),
            false => None,
        }
    }

    /// The same in `prometheus/prometheus.yml`: Prometheus joins a relative path to the
    /// folder of its configuration, by text, so four steps up from
    /// `run/PROFILE/live/prometheus` are the working directory.
    pub fn secret_path_from_prometheus(self, profile: &str, service: &str, file: &str) -> String {
        let path = self.secret_path(profile, service, file);
        match self {
            Runtime::Process => format!("../../../../{path}"),
            Runtime::Compose | Runtime::Swarm | Runtime::Kubernetes => path,
        }
    }
}

impl Service {
    /// The user (uid or uid:gid) that its container runs as; `None` where only the image says it.
    pub fn container_user(&self) -> Option<String> {
        match (self.kind, &self.user) {
            (_, Some(user)) => Some(user.clone()),
            // The users of the official images: nobody, and Grafana's own.
            (ServiceKind::Prometheus | ServiceKind::Alertmanager | ServiceKind::Relay, None) => {
                Some("65534".into())
            }
            (ServiceKind::Grafana, None) => Some("472".into()),
            (ServiceKind::Exporter, None) => None,
        }
    }

    /// Where other services reach it; `None` where it has no port.
    pub fn address(&self, runtime: Runtime) -> Option<String> {
        self.port.map(|port| runtime.address(&self.name, port))
    }
}
