//! `switch` and its kin on real programs: what they promise when all goes well, when a program
//! refuses, when somebody lies, and when they are killed.

pub mod compose;
mod drift;
mod faults;
pub mod killed;
mod lies;
mod signed;
mod switch;

use std::os::unix::fs::PermissionsExt;

use monprov::activate::process::State;
use serde_json::Value;

use crate::support::daemon::free_port;
use crate::support::http;
use crate::support::project::{Output, PATH, Project};
use crate::support::up::Up;

/// A stack under `monprov up`: Prometheus and Alertmanager behind proxies that can lie, and an
/// exporter that is a script.
struct Stack {
    up: Up,
    prometheus: u16,
    alertmanager: u16,
}

/// What a test may change of the profile.
#[derive(Clone)]
struct Profile {
    threshold: u32,
    severity: &'static str,
    /// Tables added at the end.
    more: String,
}

impl Default for Profile {
    fn default() -> Self {
        Profile { threshold: 100, severity: "warning", more: String::new() }
    }
}

impl Stack {
    /// The first generation, running and proved.
    fn start() -> Stack {
        Stack::start_as(None)
    }

    /// As a user, or as who runs the tests.
    fn start_as(user: Option<u32>) -> Stack {
        let stack = Stack::starting(user);
        stack.up.until_printed("current   generation 1");
        stack
    }

    fn starting(user: Option<u32>) -> Stack {
        let (mut project, [prometheus, alertmanager]) = Stack::project_of_its_own();
        if let Some(user) = user {
            project = project.of_user(user);
        }
        Stack { up: Up::start(project), prometheus, alertmanager }
    }

    /// What is to run, and the ports of Prometheus and Alertmanager.
    fn project_of_its_own() -> (Project, [u16; 2]) {
        let (prometheus, alertmanager) = (free_port(), free_port());
        let mut project = Project::empty();
        for name in ["lying-prometheus", "lying-alertmanager"] {
            let script =
                format!("#!/usr/bin/python3 -B\n{}", include_str!("../support/parts/lying_proxy.py"));
            let file = format!("bin/{name}");
            project.write(&file, script);
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(project.path(&file), mode).unwrap();
        }
        let path = format!("{}:{PATH}", project.path("bin").display());
        project = project.env("PATH", &path).env("TOKEN", "first-token");
        project.write("profiles/dev.toml", text(&Profile::default(), prometheus, alertmanager));
        (project, [prometheus, alertmanager])
    }

    fn project(&self) -> &Project {
        &self.up.project
    }

    /// Writes the profile and switches to it.
    fn switch(&self, profile: &Profile, args: &str) -> Output {
        self.write(profile);
        self.project().run(&format!("switch dev --oracle off {args}"))
    }

    fn write(&self, profile: &Profile) {
        self.project().write("profiles/dev.toml", text(profile, self.prometheus, self.alertmanager));
    }

    /// While this is on, reloads are answered with 200 and nothing happens.
    fn lie(&self, on: bool) {
        let file = self.project().path(".monprov/lie");
        if on { std::fs::write(file, "").unwrap() } else { std::fs::remove_file(file).unwrap() }
    }

    /// The expression that the real Prometheus evaluates.
    fn expression(&self) -> String {
        let rules = http::json(&format!("http://127.0.0.1:{}/api/v1/rules", self.prometheus));
        rules["data"]["groups"][0]["rules"][0]["query"].as_str().unwrap().to_owned()
    }

    fn alertmanager_config(&self) -> String {
        let status = http::json(&format!("http://127.0.0.1:{}/api/v2/status", self.alertmanager));
        status["config"]["original"].as_str().unwrap().to_owned()
    }

    /// Service by process.
    fn processes(&self) -> Vec<(String, Option<u32>)> {
        self.up.status().services.into_iter().map(|(name, s)| (name, s.pid)).collect()
    }

    fn generations(&self) -> Value {
        let output = self.project().run("generations dev --json").succeeds();
        serde_json::from_str(&output.stdout).unwrap()
    }

    fn outcomes(&self) -> Vec<String> {
        let list = self.generations();
        let mut all: Vec<_> = list["generations"].as_array().unwrap().iter().collect();
        all.sort_by_key(|one| one["number"].as_u64());
        all.iter().map(|one| one["outcome"].as_str().unwrap().to_owned()).collect()
    }

    #[track_caller]
    fn is_well(&self) {
        self.project().run("status dev").succeeds();
        for (service, status) in self.up.status().services {
            assert!(matches!(status.state, State::Healthy | State::Running), "{service}: {status:?}");
        }
    }
}

fn text(profile: &Profile, prometheus: u16, alertmanager: u16) -> String {
    let Profile { threshold, severity, more } = profile;
    format!(
        r#"
[stack]
runtime = "process"

[prometheus]
scrape_interval = "1s"
scrape_timeout = "1s"
evaluation_interval = "1s"

[services.prometheus]
kind = "prometheus"
program = "lying-prometheus"
version = "2.42.0"
port = {prometheus}

[services.alertmanager]
kind = "alertmanager"
program = "lying-alertmanager"
version = "0.25.0"
port = {alertmanager}

[scrapes.prometheus]
service = "prometheus"

[services.reader]
program = "sh"
args = ["-c", 'printf %s "$TOKEN" > seen; exec sleep 100000']
environment = {{ TOKEN = "${{secret.token}}" }}

[secrets]
token = {{ env = "TOKEN" }}

[alertmanager]
channel = "hook"

[channels.hook.webhook]
url = "http://127.0.0.1:1/hook"

[channels.pager.webhook]
url = "http://127.0.0.1:1/pager"

[routes.pager]
match = {{ severity = "{severity}" }}
channel = "pager"

[alerts.Load]
expr = "prometheus_tsdb_head_series > ${{threshold}}"
threshold = {threshold}
severity = "warning"

{more}
"#
    )
}
