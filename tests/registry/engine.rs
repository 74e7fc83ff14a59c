//! Images from a real registry, run by a real engine from what was pinned.

use std::process::Command;

use tempfile::TempDir;

use crate::support::daemon::Daemon;
use crate::support::dockerd::Dockerd;
use crate::support::project::{Output, Project};
use crate::support::{GENEROUS, registry, wait_for};

/// Free in the engine's own network.
const PORT: u16 = 5000;
const PROFILE: &str = r#"
[stack]
runtime = "compose"
network = { name = "monprov-test" }

[build]
images = "digest"

[services.prometheus]
kind = "prometheus"
image = "127.0.0.1:5000/test/prometheus:v2.42.0"
port = 9090
publish = 19090
health = { interval = "1s", start_period = "1s" }

[scrapes.prometheus]
service = "prometheus"
interval = "1s"
timeout = "1s"
"#;

struct Stack {
    engine: Dockerd,
    project: Project,
    _registry: (Daemon, TempDir),
}

impl Stack {
    fn new() -> Stack {
        let engine = Dockerd::start();
        let folder = tempfile::Builder::new().prefix("monprov-registry-").tempdir().unwrap();
        let command = engine.enter(&registry::command(folder.path(), PORT, ""));
        let daemon = Daemon::start("docker-registry", folder.path(), &command);
        wait_for(GENEROUS, "registry", || engine.get(&format!("http://127.0.0.1:{PORT}/v2/")));
        let project = Project::empty()
            .env("DOCKER_HOST", &engine.host())
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .file("profiles/prod.toml", PROFILE);
        Stack { engine, project, _registry: (daemon, folder) }
    }

    fn monprov(&self, args: &str) -> Output {
        let command: Command = self.project.command(args.split_whitespace());
        self.project.output(self.engine.enter(&command))
    }

    /// Pushes an image of the engine, and takes its names away, so that it must be pulled.
    fn push(&self, image: &str) {
        let name = format!("127.0.0.1:{PORT}/test/prometheus:v2.42.0");
        self.engine.docker(&["tag", image, &name]);
        self.engine.docker(&["push", "--quiet", &name]);
        self.engine.docker(&["rmi", &name]);
    }

    fn image(&self) -> String {
        let format = "{{.Config.Image}} {{.Image}}";
        self.engine.docker(&["inspect", "--format", format, "monprov-prod_prometheus_1"])
    }
}

#[test]
fn the_engine_runs_what_was_pinned_whatever_the_tag_means_by_then() {
    let stack = Stack::new();
    stack.push("test/prometheus:v2.42.0");
    let refused = stack.monprov("switch prod --oracle off").exits(3).stderr;
    assert!(refused.contains("M340"), "{refused}");
    stack.monprov("lock").succeeds();
    let lock: toml::Value = toml::from_str(&stack.project.read("monprov.lock")).unwrap();
    let pinned = &lock["images"]["127.0.0.1:5000/test/prometheus:v2.42.0"]["digest"];
    let digest = pinned.as_str().unwrap();
    // The tag moves: to the same program, in another image.
    stack.engine.docker(&["create", "--name", "other", "test/prometheus:v2.42.0"]);
    stack.engine.docker(&["commit", "--change", "LABEL moved=yes", "other", "test/other:v2.42.0"]);
    stack.push("test/other:v2.42.0");
    stack.monprov("lock --check").exits(3);
    stack.monprov("switch prod --oracle off --deadline 60s").succeeds();
    let running = stack.image();
    assert!(running.contains(&format!("@{digest} ")), "{running}");
    let label = ["inspect", "--format", "{{index .Config.Labels \"moved\"}}", "monprov-prod_prometheus_1"];
    assert_eq!(stack.engine.docker(&label), "");
    stack.monprov("status prod").succeeds();
    // And what it means now only when somebody takes it over.
    stack.monprov("lock --update").succeeds();
    stack.monprov("switch prod --oracle off --deadline 60s").succeeds();
    assert_eq!(stack.engine.docker(&label), "yes");
    // Back is back to the image, too.
    stack.monprov("rollback prod").succeeds();
    assert_eq!(stack.image(), running);
}
