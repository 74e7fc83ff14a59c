//! Docker Swarm on a real engine: one node, which is all that one machine can show.

mod file;
mod killed;
mod life;
mod refused;
mod relay;
mod secrets;

use std::process::Command;

use serde_json::Value;

use crate::support::dockerd::Dockerd;
use crate::support::project::{Output, Project};

struct Stack {
    engine: Dockerd,
    project: Project,
}

const PROMETHEUS: &str = "http://127.0.0.1:19090";

impl Stack {
    fn new() -> Stack {
        let engine = Dockerd::swarm();
        let project = Project::empty()
            .env("DOCKER_HOST", &engine.host())
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("TOKEN", "first-token")
            .env("OPEN", "open-secret {{.Node.ID}}");
        Stack { engine, project }
    }

    fn env(&mut self, name: &str, value: &str) {
        self.project = std::mem::replace(&mut self.project, Project::empty()).env(name, value);
    }

    fn monprov(&self, args: &str) -> Output {
        let command: Command = self.project.command(args.split_whitespace());
        self.project.output(self.engine.enter(&command))
    }

    fn switch(&self, profile: &str) -> Output {
        self.project.write("profiles/prod.toml", profile);
        self.monprov("switch prod --oracle off --deadline 90s")
    }

    /// Service and container: what a restart changes.
    fn containers(&self) -> Vec<String> {
        let format = "{{.Label \"com.docker.swarm.service.name\"}} {{.ID}}";
        let all = self.engine.docker(&["ps", "--no-trunc", "--format", format]);
        let mut all: Vec<String> = all.lines().map(str::to_owned).collect();
        all.sort();
        all
    }

    fn services(&self) -> Vec<String> {
        let all = self.engine.docker(&["service", "ls", "--format", "{{.Name}}"]);
        let mut all: Vec<String> = all.lines().map(str::to_owned).collect();
        all.sort();
        all
    }

    /// The services whose containers are others than before.
    fn changed(&self, before: &[String]) -> Vec<String> {
        let now = self.containers();
        let new = now.iter().filter(|one| !before.contains(one));
        new.map(|one| one.split(' ').next().unwrap().to_owned()).collect()
    }

    /// The names of configs or secrets.
    fn named(&self, what: &str) -> Vec<String> {
        let all = self.engine.docker(&[what, "ls", "--format", "{{.Name}}"]);
        let mut all: Vec<String> = all.lines().map(str::to_owned).collect();
        all.sort();
        all
    }

    /// What the newest container of a service wrote.
    fn log(&self, service: &str) -> String {
        let filter = format!("name=monprov-prod_{service}");
        let newest = self.engine.docker(&["ps", "--all", "--latest", "--quiet", "--filter", &filter]);
        self.engine.docker(&["logs", &newest])
    }

    fn api(&self, path: &str) -> Value {
        serde_json::from_str(&self.engine.get(&format!("{PROMETHEUS}/api/v1/{path}")).unwrap()).unwrap()
    }

    fn expression(&self) -> String {
        self.api("rules")["data"]["groups"][0]["rules"][0]["query"].as_str().unwrap().to_owned()
    }
}

/// Alertmanager publishes nothing, so that it is reached on its node alone.
fn profile(threshold: u32) -> String {
    format!(
        r#"
[stack]
runtime = "swarm"
network = {{ name = "monprov-test" }}

[build]
images = "any"

[prometheus]
scrape_interval = "1s"
scrape_timeout = "1s"
evaluation_interval = "1s"

[services.prometheus]
kind = "prometheus"
image = "test/prometheus:v2.42.0"
port = 9090
publish = 19090
health = {{ interval = "1s", start_period = "1s" }}
swarm.constraints = ["node.role == manager"]

[services.alertmanager]
kind = "alertmanager"
image = "test/alertmanager:v0.25.0"
port = 9093
health = {{ interval = "1s", start_period = "1s" }}
swarm.constraints = ["node.role == manager"]

[scrapes.prometheus]
service = "prometheus"

[scrapes.alertmanager]
service = "alertmanager"

[services.reader]
image = "test/tool:v1.0.0"
user = "1000"
entrypoint = ["/bin/sh", "-c"]
args = ['echo "token $TOKEN"; trap "exit 0" TERM; sleep 100000 & wait']
environment = {{ TOKEN = "${{secret.token}}" }}
after = ["alertmanager"]

[services.opened]
image = "test/tool:v1.0.0"
args = ['echo "open $OPEN, $PLAIN"; trap "exit 0" TERM; sleep 100000 & wait']
environment = {{ OPEN = "${{secret.open}}", PLAIN = "{{{{.Node.ID}}}} costs $5" }}
allow_env = true
limits = {{ cpus = "0.5", memory = "64MiB" }}

[secrets]
token = {{ env = "TOKEN" }}
open = {{ env = "OPEN" }}

[alertmanager]
channel = "hook"

[channels.hook.webhook]
url = "http://127.0.0.1:1/hook"

[alerts.Load]
group = "default"
expr = "prometheus_tsdb_head_series > ${{threshold}}"
threshold = {threshold}
severity = "warning"
"#
    )
}
