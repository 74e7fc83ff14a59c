//! The same promises under Docker Compose, on a real engine.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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
        let engine = Dockerd::start();
        let project = Project::empty()
            .env("DOCKER_HOST", &engine.host())
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("TOKEN", "first-token")
            .env("OPEN", "open-secret");
        Stack { engine, project }
    }

    fn monprov(&self, args: &str) -> Output {
        let command: Command = self.project.command(args.split_whitespace());
        self.project.output(self.engine.enter(&command))
    }

    fn switch(&self, profile: &str) -> Output {
        self.project.write("profiles/prod.toml", profile);
        self.monprov("switch prod --oracle off --deadline 60s")
    }

    /// Container by service, with its start: what a restart changes.
    fn containers(&self) -> Vec<String> {
        let ids = self.engine.docker(&["ps", "--quiet", "--no-trunc"]);
        let mut all: Vec<String> = ids
            .lines()
            .map(|id| {
                let format =
                    "{{index .Config.Labels \"com.docker.compose.service\"}} {{.Id}} {{.State.StartedAt}}";
                self.engine.docker(&["inspect", "--format", format, id])
            })
            .collect();
        all.sort();
        all
    }

    fn services(&self) -> Vec<String> {
        self.containers().iter().map(|c| c.split(' ').next().unwrap().to_owned()).collect()
    }

    fn api(&self, path: &str) -> Value {
        serde_json::from_str(&self.engine.get(&format!("{PROMETHEUS}/api/v1/{path}")).unwrap()).unwrap()
    }

    fn expression(&self) -> String {
        self.api("rules")["data"]["groups"][0]["rules"][0]["query"].as_str().unwrap().to_owned()
    }
}

fn profile(threshold: u32) -> String {
    format!(
        r#"
[stack]
runtime = "compose"
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

[services.alertmanager]
kind = "alertmanager"
image = "test/alertmanager:v0.25.0"
port = 9093
publish = 0
health = {{ interval = "1s", start_period = "1s" }}

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

[services.opened]
image = "test/tool:v1.0.0"
args = ['echo "open $OPEN"; trap "exit 0" TERM; sleep 100000 & wait']
environment = {{ OPEN = "${{secret.open}}" }}
allow_env = true

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

#[test]
fn a_stack_lives_through_everything_on_a_real_engine() {
    let mut stack = Stack::new();

    // Nothing is touched, and nobody blamed, for what lies around the stack.
    let external = profile(100).replace("name = \"monprov-test\"", "name = \"elsewhere\", external = true");
    let failed = stack.switch(&external).exits(1);
    assert!(failed.stderr.contains("docker network create elsewhere"), "{}", failed.stderr);
    let failed = stack.switch(&profile(100).replace("test/tool:v1.0.0", "test/none:v1.0.0")).exits(1);
    assert!(failed.stderr.contains("the image test/none:v1.0.0"), "{}", failed.stderr);

    // A first activation that fails leaves nothing running, although `compose up` says 0.
    let dies = profile(100)
        .replace("[services.alertmanager]", "[services.alertmanager]\nargs = ['--log.level=loud']");
    let failed = stack.switch(&dies).exits(5);
    assert!(failed.stderr.contains("alertmanager"), "{}", failed.stderr);
    assert!(failed.stderr.contains("loud"), "{}", failed.stderr);
    assert!(failed.stderr.contains("nothing runs, as before"), "{}", failed.stderr);
    assert_eq!(stack.services(), [""; 0]);

    let first = stack.switch(&profile(100)).succeeds();
    assert!(first.stderr.contains("prometheus has 2 of 2 targets up"), "{}", first.stderr);
    assert_eq!(stack.services(), ["alertmanager", "opened", "prometheus", "reader"]);
    let log = |service: &str| stack.engine.docker(&["logs", &format!("monprov-prod_{service}_1")]);
    assert_eq!(log("reader"), "token first-token");
    assert_eq!(log("opened"), "open open-secret");
    let before = stack.containers();

    // A threshold: reloaded, nothing restarted, no scrape lost.
    let changed = stack.switch(&profile(500)).succeeds();
    assert!(changed.stderr.contains("reload    prometheus ✓"), "{}", changed.stderr);
    assert_eq!(stack.expression(), "prometheus_tsdb_head_series > 500");
    assert_eq!(stack.containers(), before);
    stack.monprov("status prod").succeeds();

    // A rule that only the real Prometheus refuses.
    let newer = profile(700).replace("v2.42.0\"", "v2.42.0\"\nversion = \"3.0.0\"")
        + "[groups.default]\nquery_offset = \"1m\"\n";
    let failed = stack.switch(&newer).exits(5);
    assert!(failed.stderr.contains("field query_offset not found"), "{}", failed.stderr);
    assert!(failed.stderr.contains("is marked as failed"), "{}", failed.stderr);
    assert_eq!(stack.expression(), "prometheus_tsdb_head_series > 500");
    assert_eq!(stack.containers(), before);
    assert_eq!(stack.api("query?query=min_over_time(up[20s])")["data"]["result"][0]["value"][1], "1");

    // One whose health check fails.
    let ill = profile(800)
        + "[services.ill]\nimage = \"test/tool:v1.0.0\"\nargs = [\"sleep 100000\"]\n\
           health = { command = [\"sh\", \"-c\", \"exit 1\"], interval = \"1s\", start_period = \"0s\", retries = 1 }\n";
    let failed = stack.switch(&ill).exits(5);
    assert!(failed.stderr.contains("ill is unhealthy"), "{}", failed.stderr);
    assert_eq!(stack.containers(), before);

    // Back, and to what was before nothing.
    stack.monprov("rollback prod").succeeds();
    assert_eq!(stack.expression(), "prometheus_tsdb_head_series > 100");
    assert_eq!(stack.containers(), before);

    // Only the service that changed is made anew.
    let slower = profile(100).replace("echo \"open", "echo \"very open");
    stack.switch(&slower).succeeds();
    let changed: Vec<String> = stack
        .containers()
        .into_iter()
        .filter(|c| !before.contains(c))
        .map(|c| c.split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(changed, ["opened"]);

    // A rotated secret.
    stack.project = std::mem::replace(&mut stack.project, Project::empty()).env("TOKEN", "second-token");
    let rotated = stack.switch(&slower).succeeds();
    assert!(rotated.stderr.contains("restart reader"), "{}", rotated.stderr);
    let log = |service: &str| stack.engine.docker(&["logs", &format!("monprov-prod_{service}_1")]);
    assert_eq!(log("reader"), "token second-token");

    // What somebody does by hand is seen and mended.
    stack.engine.docker(&["rm", "--force", "monprov-prod_reader_1"]);
    let drift = stack.monprov("status prod").exits(1);
    assert!(drift.stderr.contains("reader does not run"), "{}", drift.stderr);
    let mended = stack.switch(&slower).succeeds();
    assert!(mended.stderr.contains("create reader"), "{}", mended.stderr);
    stack.monprov("status prod").succeeds();
    stack.engine.docker(&["rm", "--force", "monprov-prod_opened_1"]);
    for service in ["opened", "stray"] {
        let name = format!("monprov-prod_{service}_1");
        let label = |label: &str| format!("--label=com.docker.compose.{label}");
        let labels =
            ["project=monprov-prod", &format!("service={service}"), "oneoff=False", "container-number=1"];
        let labels = labels.map(label);
        let mut run = vec!["run", "--detach", "--name", &name];
        run.extend(labels.iter().map(String::as_str));
        stack.engine.docker(&[&run[..], &["test/tool:v1.0.0", "sleep 100000"]].concat());
    }
    let drift = stack.monprov("status prod").exits(1);
    for seen in
        ["opened runs with another definition than the bundle's", "stray runs, and no bundle knows it"]
    {
        assert!(drift.stderr.contains(seen), "{}", drift.stderr);
    }
    let mended = stack.switch(&slower).succeeds();
    assert!(mended.stderr.contains("restart opened; remove stray"), "{}", mended.stderr);
    stack.monprov("status prod").succeeds();

    stack.monprov("down prod").succeeds();
    assert_eq!(stack.services(), [""; 0]);
    assert!(stack.engine.docker(&["volume", "ls"]).contains("prometheus-data"));
    assert_eq!(stack.engine.docker(&["network", "ls", "--quiet", "--filter", "name=monprov-test"]), "");
    // And up again, with the data that was there.
    stack.switch(&slower).succeeds();

    stack.engine.kill();
    let failed = stack.project.run("status prod").exits(1);
    assert!(failed.stderr.contains("start Docker"), "{}", failed.stderr);
}

/// Under Compose nothing of ours lives on that could settle it: `status` says which service runs
/// what, and whatever acts next settles it.
#[test]
fn killed_between_two_reloads_it_says_which_half_is_new() {
    let mut stack = Stack::new();
    let routed = |threshold, severity: &str| {
        profile(threshold)
            + &format!(
                "[channels.pager.webhook]\nurl = \"http://127.0.0.1:1/pager\"\n\
                 [routes.pager]\nmatch = {{ severity = \"{severity}\" }}\nchannel = \"pager\"\n"
            )
    };
    stack.switch(&routed(100, "warning")).succeeds();
    let before = stack.containers();
    stack.project.write("profiles/prod.toml", routed(500, "critical"));
    let own: Command = stack.project.command("switch prod --oracle off".split_whitespace());
    let mut child = stack.engine.enter(&own).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("live")));
    // It asks the engine now, and has told nobody to reload.
    kill_what_it_entered(child.id());
    child.wait().unwrap();
    let old = "prometheus_tsdb_head_series > 100";
    assert_eq!(stack.expression(), old);
    stack.engine.docker(&[
        "exec",
        "monprov-prod_alertmanager_1",
        "wget",
        "-q",
        "-O",
        "-",
        "--post-data=",
        "http://127.0.0.1:9093/-/reload",
    ]);

    let status = stack.monprov("status prod").exits(1);
    let seen = "was cut short; alertmanager runs generation 2, prometheus runs generation 1: `monprov switch prod` \
                finishes, `monprov rollback prod` undoes it";
    assert!(status.stderr.contains(seen), "{}", status.stderr);
    let told: Value = serde_json::from_str(&stack.monprov("status prod --json").stdout).unwrap();
    assert_eq!(told[0]["runs"], serde_json::json!({ "alertmanager": 2, "prometheus": 1 }));

    // Also what is about something else.
    stack.project = std::mem::replace(&mut stack.project, Project::empty()).env("TOKEN", "second-token");
    let synced = stack.monprov("secrets sync prod").succeeds();
    assert!(synced.stderr.contains("generation 1 is brought back"), "{}", synced.stderr);
    assert_eq!(stack.expression(), old);
    let changed: Vec<String> = stack.containers().into_iter().filter(|c| !before.contains(c)).collect();
    assert!(changed.len() == 1 && changed[0].starts_with("reader "), "{changed:?}");
    stack.monprov("status prod").succeeds();
    stack.monprov("switch prod --oracle off").succeeds();
    assert_eq!(stack.expression(), "prometheus_tsdb_head_series > 500");
}

/// Compose itself would leave the containers of the old name running, and their ports taken.
#[test]
fn a_renamed_project_takes_the_place_of_the_old_one() {
    let stack = Stack::new();
    let named = |project: &str, threshold| {
        profile(threshold).replace("[stack]\n", &format!("[stack]\nproject = \"{project}\"\n"))
    };
    let projects = || {
        let format = "{{.Label \"com.docker.compose.project\"}}";
        let all = stack.engine.docker(&["ps", "--all", "--format", format]);
        all.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
    };
    let only = |project: &str| std::collections::BTreeSet::from([project.to_owned()]);
    stack.switch(&profile(100)).succeeds();
    assert_eq!(projects(), only("monprov-prod"));
    let renamed = stack.switch(&named("watch", 500)).succeeds();
    let said =
        "Compose project monprov-prod → watch: its containers are replaced, its volumes (monprov-prod_…)";
    assert!(renamed.stderr.contains(said), "{}", renamed.stderr);
    assert_eq!(projects(), only("watch"));
    assert_eq!(stack.services(), ["alertmanager", "opened", "prometheus", "reader"]);
    stack.monprov("status prod").succeeds();

    // A failure brings the old name back.
    let ill = named("other", 700)
        .replace("[services.alertmanager]", "[services.alertmanager]\nargs = ['--log.level=loud']");
    stack.switch(&ill).exits(5);
    assert_eq!((projects(), stack.expression()), (only("watch"), "prometheus_tsdb_head_series > 500".into()));
    stack.monprov("rollback prod").succeeds();
    assert_eq!(
        (projects(), stack.expression()),
        (only("monprov-prod"), "prometheus_tsdb_head_series > 100".into())
    );
    assert!(stack.engine.docker(&["volume", "ls"]).contains("watch_prometheus-data"));
    stack.monprov("down prod").succeeds();
    assert_eq!(stack.services(), [""; 0]);
}

/// The `docker-compose` that a killed run has started may go on for a while.
#[test]
fn killed_at_random_instants_it_is_settled_by_the_next() {
    let mut random = super::killed::random();
    let stack = Stack::new();
    let [old, new] = [(100, "open"), (500, "open")];
    let very = (700, "very open");
    let write = |(threshold, says): (u32, &str)| {
        let text = profile(threshold).replace("echo \"open", &format!("echo \"{says}"));
        stack.project.write("profiles/prod.toml", text);
    };
    let command = |args: &str| {
        let own: Command = stack.project.command(args.split_whitespace());
        stack.engine.enter(&own)
    };
    const SWITCH: &str = "switch prod --oracle off --force";
    let switch = |version| {
        write(version);
        let start = Instant::now();
        stack.monprov(SWITCH).succeeds();
        start.elapsed()
    };
    switch(old);
    let whole = switch(new).as_micros() as u64;

    // About a third of them die while they change things. So many that chance decides nothing.
    let (mut at, mut cut_short, mut round) = (new, 0, 0);
    while round < 20 || cut_short < 3 {
        assert!(round < 60, "{cut_short} of {round}");
        // Every fifth one makes a container anew.
        let to = if round % 5 == 4 {
            very
        } else if at == old {
            new
        } else {
            old
        };
        let verb = if round % 2 == 0 { SWITCH } else { "rollback prod" };
        if verb == SWITCH {
            write(to);
        }
        let before = at;
        let after = random.u64(..if to == very { whole * 2 } else { whole });
        let mut child = command(verb).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // Most of the time it only looks. Three of four times it dies after that.
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        if round % 4 > 0 {
            lines.find(|line| line.starts_with("plan"));
        }
        std::thread::sleep(Duration::from_micros(after));
        kill_what_it_entered(child.id());
        child.wait().unwrap();

        let at_round = format!("{verb} killed after {after} µs in round {round}");
        let runs = stack.expression();
        let known = [old, new, very].map(|(t, _)| format!("prometheus_tsdb_head_series > {t}"));
        assert!(known.contains(&runs), "{at_round}: {runs}");
        let status = stack.monprov("status prod --json");
        let found: Value = serde_json::from_str(&status.stdout).unwrap();
        if status.code == 0 {
            let bundle = found[0]["current"]["bundle"].as_str().unwrap();
            let rules = stack.project.read(&format!(".monprov/store/{bundle}/prometheus/rules/default.yml"));
            assert!(rules.contains(&runs), "{at_round}: {runs}, but current is {rules}");
        } else {
            let mut checks = found[0]["checks"].as_array().unwrap().iter();
            let drifted = checks.any(|check| check["verdict"] == "wrong");
            assert!(drifted || !found[0]["interrupted"].is_null(), "{at_round}: {found}");
        }

        at = if random.bool() { to } else { before };
        write(at);
        let next = stack.monprov(SWITCH).succeeds();
        cut_short += u32::from(next.stderr.contains("was cut short"));
        assert_eq!(stack.expression(), format!("prometheus_tsdb_head_series > {}", at.0), "{at_round}");
        assert_eq!(stack.services(), ["alertmanager", "opened", "prometheus", "reader"], "{at_round}");
        stack.monprov("status prod").succeeds();
        round += 1;
    }
    eprintln!("{cut_short} of {round} died while they changed things");
    let all = stack.monprov("generations prod --json").succeeds().stdout;
    assert!(!all.contains("\"pending\""), "{all}");
    stack.monprov("verify").succeeds();
}

/// `nsenter` forks, and only its child is `monprov`.
pub fn kill_what_it_entered(nsenter: u32) {
    let children = std::fs::read_to_string(format!("/proc/{nsenter}/task/{nsenter}/children"));
    for child in children.unwrap_or_default().split_whitespace() {
        let pid = rustix::process::Pid::from_raw(child.parse().unwrap()).unwrap();
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// The relay in a container delivers what Alertmanager sends it, and takes over another
/// configuration without a restart.
#[test]
fn the_relay_runs_in_a_container() {
    let stack = Stack::new();
    stack.engine.import_relay();
    crate::support::project::copy_plugins(stack.project.root());
    // What takes every POST here is Prometheus.
    let relayed = |text: &str| {
        profile(100).replace("channel = \"hook\"", "channel = \"room\"\ngroup_wait = \"1s\"").replace(
            "[channels.hook.webhook]\nurl = \"http://127.0.0.1:1/hook\"",
            &format!(
                r#"
[services.relay]
kind = "relay"
image = "test/monprov:v0.1.0"
port = 9095
publish = 19095
health = {{ interval = "1s", start_period = "1s" }}

[plugins.webhook-template]
file = "plugins/webhook-template/webhook-template.wasm"

[channels.room.plugin]
name = "webhook-template"
settings = {{ body = '{{ "{text}": {{{{ text }}}} }}' }}
endpoints.hook = {{ url = "http://prometheus:9090/-/reload", private = true }}
"#
            ),
        )
    };
    let first = stack.switch(&relayed("text")).succeeds();
    assert!(first.stderr.contains("relay runs "), "{}", first.stderr);
    let held = stack.monprov("drill prod --json").succeeds();
    let held: Value = serde_json::from_str(&held.stdout).unwrap();
    let outcome = &held["outcomes"][0];
    assert_eq!(
        (&outcome["receiver"], &outcome["verdict"]),
        (&"room".into(), &"delivered".into()),
        "{held:#}"
    );

    let before = stack.containers();
    let changed = stack.switch(&relayed("message")).succeeds();
    assert!(changed.stderr.contains("reload    relay ✓"), "{}", changed.stderr);
    assert_eq!(stack.containers(), before);
    stack.monprov("status prod").succeeds();
    // Only its own user reads its secrets, and nobody's process list has one.
    let token = stack.project.path(".monprov/secrets/prod/relay/room.token");
    let token = std::fs::read_to_string(token).unwrap();
    let listed = stack.engine.docker(&["inspect", "monprov-prod_relay_1", "monprov-prod_alertmanager_1"]);
    assert!(token.len() == 43 && !listed.contains(&token));
}
