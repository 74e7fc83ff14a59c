//! Containers as `docker inspect` shows them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use crate::activate::{Running, State};

/// The label by which Compose, 1 and 2, knows what is of a project.
pub(super) const PROJECT: &str = "com.docker.compose.project";

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Container {
    pub(super) id: String,
    #[serde(default)]
    restart_count: u64,
    config: Config,
    state: ContainerState,
    network_settings: NetworkSettings,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerState {
    status: String,
    #[serde(default)]
    exit_code: i64,
    #[serde(default)]
    error: String,
    #[serde(default, rename = "OOMKilled")]
    oom_killed: bool,
    #[serde(default)]
    started_at: String,
    health: Option<Health>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Health {
    status: String,
    #[serde(default)]
    log: Option<Vec<Probe>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Probe {
    #[serde(default)]
    output: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings {
    #[serde(default)]
    ports: BTreeMap<String, Option<Vec<Published>>>,
    #[serde(default)]
    networks: BTreeMap<String, Network>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Published {
    host_ip: String,
    host_port: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Network {
    #[serde(default, rename = "IPAddress")]
    address: String,
}

impl Container {
    /// The service that it is of; `None` for those that `docker compose run` made.
    pub(super) fn service(&self) -> Option<&str> {
        let label = |name: &str| self.config.labels.get(name).map(String::as_str);
        let oneoff = label("com.docker.compose.oneoff").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        if oneoff { None } else { label("com.docker.compose.service") }
    }

    pub(super) fn project(&self) -> &str {
        self.config.labels.get(PROJECT).map(String::as_str).unwrap_or_default()
    }

    pub(super) fn running(&self) -> Running {
        Running {
            state: self.state(),
            definition: self.config.labels.get("monprov.digest").cloned(),
            since: self.since(),
            restarts: self.restart_count,
        }
    }

    fn since(&self) -> Option<SystemTime> {
        let started: jiff::Timestamp = self.state.started_at.parse().ok()?;
        // A container that never ran has started in the year 1.
        let since = u64::try_from(started.as_millisecond()).ok()?;
        Some(UNIX_EPOCH + Duration::from_millis(since))
    }

    fn state(&self) -> State {
        let state = &self.state;
        if state.status != "running" {
            let why = match state {
                ContainerState { oom_killed: true, .. } => "it needed more memory than its limit".to_owned(),
                ContainerState { error, .. } if !error.is_empty() => error.clone(),
                _ => format!("exit code {}", state.exit_code),
            };
            return State::Failed(format!("{}, {why}", state.status));
        }
        match &state.health {
            None => State::Running,
            Some(health) => match health.status.as_str() {
                "healthy" => State::Healthy,
                "unhealthy" => {
                    let last = health.log.as_ref().and_then(|log| log.last());
                    State::Unhealthy(last.map(|probe| probe.output.trim().to_owned()).unwrap_or_default())
                }
                "starting" => State::Starting,
                _ => State::Running,
            },
        }
    }

    /// Where this host reaches a port: where it is published, else the container itself.
    pub(super) fn address(&self, port: u16) -> Option<String> {
        if self.state.status != "running" {
            return None;
        }
        let published = self.network_settings.ports.get(&format!("{port}/tcp"));
        if let Some(published) = published.and_then(|p| p.as_ref()?.first()) {
            let host = match published.host_ip.as_str() {
                "" | "0.0.0.0" => "127.0.0.1".to_owned(),
                "::" => "[::1]".to_owned(),
                ip if ip.contains(':') => format!("[{ip}]"),
                ip => ip.to_owned(),
            };
            return Some(format!("{host}:{}", published.host_port));
        }
        let addresses = self.network_settings.networks.values().map(|network| &network.address);
        addresses.into_iter().find(|a| !a.is_empty()).map(|address| format!("{address}:{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(state: &str, network: &str) -> Container {
        let text = format!(
            r#"{{ "Id": "abc", "RestartCount": 2, "State": {state}, "NetworkSettings": {network},
                 "Config": {{ "Labels": {{ "com.docker.compose.service": "redis", "monprov.digest": "d1" }} }} }}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn states_are_those_of_the_engine() {
        let state = |text: &str| container(text, "{}").running().state;
        assert_eq!(state(r#"{ "Status": "running" }"#), State::Running);
        let health = |status: &str| {
            format!(
                r#"{{ "Status": "running", "Health": {{ "Status": "{status}", "Log": [{{ "Output": "no\n" }}] }} }}"#
            )
        };
        assert_eq!(state(&health("starting")), State::Starting);
        assert_eq!(state(&health("healthy")), State::Healthy);
        assert_eq!(state(&health("unhealthy")), State::Unhealthy("no".into()));
        let exited = r#"{ "Status": "exited", "ExitCode": 2 }"#;
        assert_eq!(state(exited), State::Failed("exited, exit code 2".into()));
        let killed = r#"{ "Status": "restarting", "OOMKilled": true }"#;
        assert_eq!(state(killed), State::Failed("restarting, it needed more memory than its limit".into()));
    }

    #[test]
    fn a_port_is_reached_where_it_is_published_or_in_the_container() {
        let running = r#"{ "Status": "running", "StartedAt": "2026-11-24T23:37:05.513425513Z" }"#;
        let at = |network: &str| container(running, network).address(9090);
        let published = |ip: &str| {
            format!(r#"{{ "Ports": {{ "9090/tcp": [{{ "HostIp": "{ip}", "HostPort": "19090" }}] }} }}"#)
        };
        assert_eq!(at(&published("0.0.0.0")).unwrap(), "127.0.0.1:19090");
        assert_eq!(at(&published("::")).unwrap(), "[::1]:19090");
        assert_eq!(at(&published("192.0.2.1")).unwrap(), "192.0.2.1:19090");
        let inside =
            r#"{ "Ports": { "9090/tcp": null }, "Networks": { "a": { "IPAddress": "172.18.0.2" } } }"#;
        assert_eq!(at(inside).unwrap(), "172.18.0.2:9090");
        assert!(container(running, "{}").running().since.is_some());
    }
}
