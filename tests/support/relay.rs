//! The relay as the stack starts it: a generation behind a link, secret files, a folder for code.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::daemon::{Daemon, free_port};
use super::{guests, http};

/// The token of a channel and that of the control endpoints, as they are at first.
pub const TOKEN: &str = "the-token-of-the-channel";
pub const CONTROL: &str = "the-token-of-control";

/// What a relay runs from.
pub struct Site {
    pub folder: TempDir,
    pub port: u16,
    generations: u32,
}

/// A channel of `relay.json`, for the guest `channel.wat`.
pub fn channel(sink: SocketAddr, alerts_a_message: u32) -> Value {
    json!({
        "plugin": "plugins/guest.wasm",
        "sha256": sha256(&guests::channel_plugin()),
        "settings": alerts_a_message,
        "token": "ops-token",
        "deadline": "10s",
        "endpoints": { "sink": { "url": format!("http://{sink}/"), "private": true, "timeout": "1s" } },
    })
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Site {
    pub fn new(channels: Value) -> Site {
        let folder = tempfile::Builder::new().prefix("monprov-relay-").tempdir().unwrap();
        let mut site = Site { folder, port: free_port(), generations: 0 };
        std::fs::create_dir(site.path("secrets")).unwrap();
        site.secret("ops-token", TOKEN);
        site.secret("control-token", CONTROL);
        site.generation(channels);
        site
    }

    /// One channel `ops`.
    pub fn of(channel: Value) -> Site {
        Site::new(json!({ "ops": channel }))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Hands a secret over, all at once.
    pub fn secret(&self, name: &str, value: &str) {
        let new = self.path("secrets").join(format!(".{name}"));
        std::fs::write(&new, value).unwrap();
        std::fs::rename(new, self.path("secrets").join(name)).unwrap();
    }

    /// Makes another generation and moves the link to it; the digest of its `relay.json`.
    pub fn generation(&mut self, channels: Value) -> String {
        let relay = json!({ "version": 1, "profile": "test", "channels": channels });
        self.raw_generation(&serde_json::to_vec_pretty(&relay).unwrap())
    }

    pub fn raw_generation(&mut self, relay: &[u8]) -> String {
        self.generations += 1;
        let name = format!("generation-{}", self.generations);
        let folder = self.path(&name).join("relay");
        std::fs::create_dir_all(folder.join("plugins")).unwrap();
        std::fs::write(folder.join("plugins/guest.wasm"), guests::channel_plugin()).unwrap();
        std::fs::write(folder.join("relay.json"), relay).unwrap();
        let link = self.path("link");
        std::os::unix::fs::symlink(&name, &link).unwrap();
        std::fs::rename(link, self.path("live")).unwrap();
        sha256(relay)
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_monprov"));
        command.arg("relay").arg("--config").arg(self.path("live/relay/relay.json"));
        command.arg("--secrets").arg(self.path("secrets")).arg("--data").arg(self.path("data"));
        command.arg("--listen").arg(self.address().to_string());
        command
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Starts it and waits until it is ready.
    pub fn start(&self) -> Relay {
        self.start_with(&self.command())
    }

    pub fn start_with(&self, command: &Command) -> Relay {
        let mut daemon = Daemon::start("relay", self.folder.path(), command);
        let relay = Api { port: self.port };
        daemon.until(|| http::is_ok(&relay.url("-/ready")));
        Relay { daemon, api: relay }
    }
}

/// A relay that runs.
pub struct Relay {
    pub daemon: Daemon,
    pub api: Api,
}

impl std::ops::Deref for Relay {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

/// What a relay is asked.
#[derive(Debug, Clone, Copy)]
pub struct Api {
    pub port: u16,
}

impl Api {
    pub fn url(self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// Status and text of a POST with a token; `None` where nobody answers.
    pub fn try_post(self, path: &str, token: &str, body: &str) -> Option<(u16, String)> {
        let request = agent().post(self.url(path)).header("Authorization", format!("Bearer {token}"));
        let mut response = request.send(body).ok()?;
        let text = response.body_mut().read_to_string().ok()?;
        Some((response.status().as_u16(), text))
    }

    #[track_caller]
    pub fn post(self, path: &str, token: &str, body: &str) -> (u16, String) {
        self.try_post(path, token, body).expect("the relay answers")
    }

    /// Status and text of a payload for `ops`.
    #[track_caller]
    pub fn notify(self, payload: &str) -> (u16, String) {
        self.post("ops", TOKEN, payload)
    }

    #[track_caller]
    pub fn status(self) -> Value {
        self.get("-/status")
    }

    /// The JSON of a control endpoint.
    #[track_caller]
    pub fn get(self, path: &str) -> Value {
        let request = agent().get(self.url(path)).header("Authorization", format!("Bearer {CONTROL}"));
        let mut response = request.call().unwrap();
        serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap()
    }

    /// The value of a metric, by its name and labels as they stand there.
    #[track_caller]
    pub fn metric(self, name: &str) -> f64 {
        let all = http::text(&self.url("metrics"));
        let line = all.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{all}")).parse().unwrap()
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(30)));
    config.http_status_as_error(false).proxy(None).build().into()
}

/// Alertmanager's payload for a group: the fingerprint of each alert, and whether it fires.
pub fn payload(group: &str, alerts: &[(u64, bool)]) -> String {
    let alert = |(fingerprint, firing): &(u64, bool)| {
        json!({
            "status": if *firing { "firing" } else { "resolved" },
            "labels": { "alertname": "Down", "instance": format!("host-{fingerprint}") },
            "annotations": { "summary": "it is down" },
            "startsAt": "2026-01-02T03:04:05Z",
            "endsAt": if *firing { "0001-01-01T00:00:00Z" } else { "2026-01-02T04:04:05Z" },
            "generatorURL": "http://prometheus:9090/graph",
            "fingerprint": format!("{fingerprint:016x}"),
        })
    };
    let alerts: Vec<Value> = alerts.iter().map(alert).collect();
    json!({
        "version": "4", "groupKey": group, "truncatedAlerts": 0, "status": "firing", "receiver": "ops",
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093", "alerts": alerts,
    })
    .to_string()
}

/// The line of a message about an alert.
pub fn line(fingerprint: u64, firing: bool) -> String {
    format!("{} {fingerprint:016x}", if firing { "firing" } else { "resolved" })
}

/// The resident memory of a process, in MiB.
pub fn memory(pid: u32) -> u64 {
    // `setpriv` has become the program that it started.
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}
