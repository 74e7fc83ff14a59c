//! A switch that goes well, one that a program refuses, and the ways back.

use monprov::activate::process::State;

use super::{Profile, Stack};
use crate::support::daemon::free_port;
use crate::support::parts::{PrometheusApi, Redis, celery_exporter_program};
use crate::support::project::Project;
use crate::support::{GENEROUS, wait_for};

#[test]
fn a_threshold_is_reloaded_without_a_restart_and_proved() {
    let stack = Stack::start();
    let before = stack.processes();
    let changed = Profile { threshold: 500, ..Profile::default() };

    stack.write(&changed);
    let dry = stack.project().run("switch dev --oracle off --dry-run").succeeds();
    assert_eq!(dry.stdout, "reload   prometheus\n");
    assert_eq!(stack.expression(), "prometheus_tsdb_head_series > 100");

    let switched = stack.switch(&changed, "-m more").succeeds();
    for line in [
        "threshold 100 → 500",
        "live      generation 1 → 2",
        "reload    prometheus ✓",
        "-dev (1 rule)",
        "prometheus has 1 of 1 targets up",
        "current   generation 2",
    ] {
        assert!(switched.stderr.contains(line), "{line} is not in\n{}", switched.stderr);
    }
    assert_eq!(stack.expression(), "prometheus_tsdb_head_series > 500");
    assert_eq!(stack.processes(), before);
    stack.is_well();

    let again = stack.switch(&changed, "").succeeds();
    assert!(again.stderr.contains("unchanged"), "{}", again.stderr);
    assert_eq!(stack.outcomes(), ["activated", "activated"]);

    // Back, and it stays back.
    let back = stack.project().run("rollback dev").succeeds();
    assert!(back.stderr.contains("reload    prometheus ✓"), "{}", back.stderr);
    assert_eq!(stack.expression(), "prometheus_tsdb_head_series > 100");
    let refused = stack.switch(&changed, "").exits(3);
    assert!(refused.stderr.contains("which generation 3 rolled back"), "{}", refused.stderr);
    stack.switch(&changed, "--force").succeeds();
    assert_eq!(stack.processes(), before);
}

#[test]
fn what_only_the_real_program_refuses_is_undone() {
    let stack = Stack::start();
    let before = stack.processes();
    // Prometheus 2.42 runs, whatever the profile says.
    let newer = Profile {
        threshold: 700,
        more: "[groups.default]\nquery_offset = \"1m\"\n".into(),
        ..Profile::default()
    };
    stack.write(&newer);
    let text = stack.project().read("profiles/dev.toml").replace("\"2.42.0\"", "\"3.0.0\"");
    let text = text.replace("severity = \"warning\"\n\n", "severity = \"warning\"\ngroup = \"default\"\n\n");
    stack.project().write("profiles/dev.toml", text);

    let failed = stack.project().run("switch dev --oracle off").exits(5);
    assert!(failed.stderr.contains("field query_offset not found"), "{}", failed.stderr);
    assert!(failed.stderr.contains("generation 1 runs again"), "{}", failed.stderr);
    assert!(failed.stderr.contains("is marked as failed"), "{}", failed.stderr);
    assert_eq!(stack.expression(), "prometheus_tsdb_head_series > 100");
    assert_eq!(stack.processes(), before);
    assert_eq!(stack.outcomes(), ["activated", "restored"]);
    stack.is_well();
    stack.project().run("switch dev --oracle off").exits(3);
}

#[test]
fn a_service_that_dies_or_never_gets_well_is_undone() {
    let stack = Stack::start();
    let service = |name: &str, script: &str, health: &str| Profile {
        threshold: 300,
        more: format!("[services.{name}]\nprogram = \"sh\"\nargs = [\"-c\", '{script}']\n{health}\n"),
        ..Profile::default()
    };
    let dies = service("dies", "sleep 3; echo out of cheese; exit 7", "");
    let failed = stack.switch(&dies, "").exits(5);
    assert!(failed.stderr.contains("out of cheese"), "{}", failed.stderr);
    assert!(!stack.up.status().services.contains_key("dies"));

    let ill = service(
        "ill",
        "exec sleep 100000",
        "health = { command = [\"false\"], interval = \"1s\", start_period = \"1s\" }",
    );
    let failed = stack.switch(&ill, "").exits(5);
    assert!(failed.stderr.contains("ill is unhealthy"), "{}", failed.stderr);
    assert_eq!(stack.expression(), "prometheus_tsdb_head_series > 100");
    assert_eq!(stack.outcomes(), ["activated", "restored", "restored"]);
    stack.is_well();
}

#[test]
fn a_rotated_secret_restarts_only_who_reads_it_at_the_start() {
    let mut stack = Stack::start();
    let before = stack.processes();
    assert_eq!(stack.project().read(".monprov/seen"), "first-token");
    stack.up.project =
        std::mem::replace(&mut stack.up.project, Project::empty()).env("TOKEN", "second-token");
    let drift = stack.project().run("status dev").exits(1);
    assert!(drift.stderr.contains("the secrets of reader have changed"), "{}", drift.stderr);
    let switched = stack.switch(&Profile::default(), "").succeeds();
    assert!(switched.stderr.contains("restart reader"), "{}", switched.stderr);
    assert_eq!(stack.project().read(".monprov/seen"), "second-token");
    let changed: Vec<String> = before
        .into_iter()
        .zip(stack.processes())
        .filter(|(a, b)| a != b)
        .map(|((name, _), _)| name)
        .collect();
    assert_eq!(changed, ["reader"]);
    stack.is_well();
}

#[test]
fn secrets_sync_restarts_only_who_reads_them_at_the_start_and_makes_no_generation() {
    let mut stack = Stack::start();
    let before = stack.processes();
    let idle = stack.project().run("secrets sync dev").succeeds();
    assert!(idle.stderr.contains("unchanged since generation 1"), "{}", idle.stderr);
    stack.up.project =
        std::mem::replace(&mut stack.up.project, Project::empty()).env("TOKEN", "second-token");
    let synced = stack.project().run("secrets sync dev").succeeds();
    assert!(synced.stdout.contains("reader   restart  token"), "{}", synced.stdout);
    assert_eq!(stack.project().read(".monprov/seen"), "second-token");
    let changed: Vec<String> = before
        .into_iter()
        .zip(stack.processes())
        .filter_map(|(old, new)| (old != new).then_some(new.0))
        .collect();
    assert_eq!(changed, ["reader"]);
    assert_eq!(stack.outcomes(), ["activated"]);
    stack.is_well();
}

/// Whether it read the new value then is known to the service alone.
#[test]
fn a_reload_that_can_not_be_proved_is_said_to_be_unproved() {
    let mut stack = Stack::start();
    let port = free_port();
    let server = "import http.server as h, pathlib\n\
        class S(h.BaseHTTPRequestHandler):\n    \
            def do_GET(self):\n        \
                self.send_response(200)\n        \
                self.end_headers()\n    \
            def do_POST(self):\n        \
                pathlib.Path('reloaded').touch()\n        \
                self.do_GET()\n\
        h.HTTPServer(('127.0.0.1', PORT), S).serve_forever()";
    let more = format!(
        "[services.reloader]\nprogram = \"python3\"\nargs = [\"-c\", \"\"\"{}\"\"\"]\nport = {port}\n\
         reload = \"/reload\"\nhealth.http = \"/\"\nsecret_files = {{ token = \"${{secret.token}}\" }}\n",
        server.replace("PORT", &port.to_string())
    );
    let reloaded = Profile { more, ..Profile::default() };
    stack.switch(&reloaded, "").succeeds();
    let unproved = "reloader what it took over with its reload";
    stack.up.project =
        std::mem::replace(&mut stack.up.project, Project::empty()).env("TOKEN", "second-token");
    let switched = stack.switch(&reloaded, "").succeeds();
    assert!(switched.stderr.contains("reload    reloader ✓"), "{}", switched.stderr);
    assert!(switched.stderr.contains(&format!("not provable: {unproved}")), "{}", switched.stderr);
    assert!(stack.project().path(".monprov/reloaded").exists());

    stack.up.project = std::mem::replace(&mut stack.up.project, Project::empty()).env("TOKEN", "third-token");
    let switched = stack.switch(&reloaded, "--json").succeeds();
    let told: serde_json::Value = serde_json::from_str(&switched.stdout).unwrap();
    let check = serde_json::json!(
        { "service": "reloader", "verdict": "unproved", "text": "what it took over with its reload" }
    );
    assert!(told["checks"].as_array().unwrap().contains(&check), "{told}");
    assert_eq!(told["outcome"], "activated");
}

#[test]
fn secrets_sync_that_leaves_a_service_ill_says_so_and_is_tried_again() {
    let mut stack = Stack::start();
    // Starts only with the right token.
    let picky = Profile {
        more: "[services.picky]\nprogram = \"sh\"\n\
               args = [\"-c\", '[ \"$TOKEN\" != bad ] || { echo no such user; exit 1; }; exec sleep 100000']\n\
               environment = { TOKEN = \"${secret.token}\" }\n"
            .into(),
        ..Profile::default()
    };
    stack.switch(&picky, "").succeeds();
    let with = |stack: &mut Stack, token: &str| {
        let project = std::mem::replace(&mut stack.up.project, Project::empty());
        stack.up.project = project.env("TOKEN", token);
    };
    with(&mut stack, "bad");
    let failed = stack.project().run("secrets sync dev").exits(1);
    assert!(failed.stderr.contains("no such user"), "{}", failed.stderr);
    assert!(failed.stderr.contains("`monprov secrets sync dev` tries again"), "{}", failed.stderr);
    with(&mut stack, "good");
    stack.project().run("secrets sync dev").succeeds();
    stack.is_well();
}

#[test]
fn targets_that_are_down_already_block_nothing_and_others_may_not_go_down() {
    let stack = Stack::start();
    let outage =
        Profile { more: "[scrapes.gone]\ntargets = [\"127.0.0.1:1\"]\n".into(), ..Profile::default() };
    let switched = stack.switch(&outage, "").succeeds();
    assert!(switched.stderr.contains("target 127.0.0.1:1 of the job gone is down"), "{}", switched.stderr);
    let again = Profile { threshold: 800, ..outage };
    let switched = stack.switch(&again, "").succeeds();
    assert!(switched.stderr.contains("is down, as before"), "{}", switched.stderr);

    // A scrape that the change itself breaks: its targets are the same, and were up a moment ago.
    let limited = Profile { threshold: 850, ..again.clone() };
    stack.write(&limited);
    let text = stack.project().read("profiles/dev.toml");
    let text = text.replace("service = \"prometheus\"", "service = \"prometheus\"\nsample_limit = 1");
    stack.project().write("profiles/dev.toml", text);
    let failed = stack.project().run("switch dev --oracle off").exits(5);
    assert!(failed.stderr.contains("was up and is down: sample limit exceeded"), "{}", failed.stderr);

    // The same where Prometheus has to find them anew.
    let broken = Profile { threshold: 900, ..again };
    stack.write(&broken);
    let text = stack.project().read("profiles/dev.toml");
    let text = text.replace("service = \"prometheus\"", "service = \"prometheus\"\npath = \"/nowhere\"");
    stack.project().write("profiles/dev.toml", text);
    let failed = stack.project().run("switch dev --oracle off").exits(5);
    assert!(failed.stderr.contains("was up and is down"), "{}", failed.stderr);
    assert_eq!(stack.expression(), "prometheus_tsdb_head_series > 800");
}

/// Celery's exporter answers 500 while its broker is down. Whoever is on call then must be able
/// to switch, and to go back.
#[test]
fn a_redis_outage_blocks_no_switch() {
    let stack = Stack::start();
    let mut redis = Redis::with_password("first-token");
    celery_exporter_program(&stack.project().path("bin"));
    let exporter = free_port();
    // A scrape takes 2 s, and 6 s without a broker.
    let watched = Profile {
        more: format!(
            r#"
[services.celery-exporter]
program = "celery-exporter"
args = ["--host=127.0.0.1", "--port={exporter}", "--retry-interval=5"]
port = {exporter}
environment.CE_BROKER_URL = "redis://:${{secret.token}}@127.0.0.1:{}/0"
health = {{ http = "/health", interval = "1s" }}

[scrapes.celery]
service = "celery-exporter"
interval = "8s"
timeout = "8s"
"#,
            redis.port
        ),
        ..Profile::default()
    };
    let switched = stack.switch(&watched, "").succeeds();
    assert!(switched.stderr.contains("prometheus has 2 of 2 targets up"), "{}", switched.stderr);
    let before = stack.processes();

    redis.daemon.kill();
    let prometheus = PrometheusApi { port: stack.prometheus };
    wait_for(GENEROUS, "target that is down", || {
        prometheus.query("up{job=\"celery\"}").iter().any(|(_, up)| *up == 0.0).then_some(())
    });
    let changed = Profile { threshold: 500, severity: "critical", ..watched };
    let as_before = "target celery-exporter of the job celery is down, as before: \
                     server returned HTTP status 500";
    let switched = stack.switch(&changed, "").succeeds();
    assert!(switched.stderr.contains(as_before), "{}", switched.stderr);
    assert_eq!(stack.expression(), "prometheus_tsdb_head_series > 500");
    let back = stack.project().run("rollback dev").succeeds();
    assert!(back.stderr.contains(as_before), "{}", back.stderr);
    assert_eq!(stack.expression(), "prometheus_tsdb_head_series > 100");
    assert_eq!(stack.processes(), before);
    // Nothing has drifted from the profile; the target is told of all the same.
    let status = stack.project().run("status dev").succeeds();
    assert!(status.stderr.contains("of the job celery is down"), "{}", status.stderr);
}

/// One that an outage makes fall again and again may just stand when a switch begins.
#[test]
fn a_service_that_falls_already_blocks_no_switch() {
    let stack = Stack::start();
    let script = "until [ -e outage ]; do sleep 0.1; done; sleep 1; exit 1";
    let falls = Profile {
        more: format!("[services.falls]\nprogram = \"sh\"\nargs = [\"-c\", '{script}']\n"),
        ..Profile::default()
    };
    stack.switch(&falls, "").succeeds();
    stack.project().write(".monprov/outage", "");
    stack.up.until_that("falls", "running again", |s| s.state == State::Running && s.restarts > 0);

    // Prometheus needs some seconds for a new target: the service falls within.
    let more = falls.more + "[scrapes.gone]\ntargets = [\"127.0.0.1:1\"]\n";
    let switched = stack.switch(&Profile { more, ..Profile::default() }, "").succeeds();
    assert!(switched.stderr.contains("falls failed, as before: ended: exit code 1"), "{}", switched.stderr);
}

/// Whoever is on call must be able to switch all the same, and is told that it did not help.
#[test]
fn a_prometheus_that_is_dead_before_and_after_is_no_success() {
    let stack = Stack::start();
    let program = stack.project().path("bin/lying-prometheus");
    let aside = stack.project().path("bin/aside");
    std::fs::rename(&program, &aside).unwrap();
    stack.project().write("bin/lying-prometheus", "#!/bin/sh\necho no space on the disk; exit 1\n");
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let pid = stack.up.status().services["prometheus"].pid.unwrap();
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    stack.up.until_that("prometheus", "failed", |s| s.state == State::Restarting && s.restarts > 1);

    let changed = Profile { severity: "critical", ..Profile::default() };
    let switched = stack.switch(&changed, "").exits(1);
    for line in [
        "note      prometheus failed, as before: ended: exit code 1",
        "current   generation 2",
        "error: prometheus ran neither before nor after: what this generation means for it is not proved",
    ] {
        assert!(switched.stderr.contains(line), "{line} is not in\n{}", switched.stderr);
    }
    assert!(stack.alertmanager_config().contains("severity=\"critical\""));
    assert_eq!(stack.outcomes(), ["activated", "activated"]);
    stack.project().run("status dev").exits(1);

    // Once the cause is gone, the same command proves it.
    std::fs::rename(&aside, &program).unwrap();
    stack.switch(&changed, "").succeeds();
    stack.is_well();
}

#[test]
fn what_another_runtime_carries_is_not_left_running_beside_the_new() {
    let stack = Stack::start();
    let other = "[stack]\nruntime = \"compose\"\n[services.one]\nimage = \"example/image:v1.0.0\"\n";
    stack.project().write("profiles/dev.toml", other);
    let built = stack.project().run("build dev --oracle off").succeeds();
    let bundle = built.last_line().rsplit('/').next().unwrap().to_owned();
    let refused = stack.project().run(&format!("activate {bundle}")).exits(1);
    let remedy =
        "generation 1 of `dev` runs under `process`, and this bundle is for `compose`: `monprov down dev`";
    assert!(refused.stderr.contains(remedy), "{}", refused.stderr);
}

#[test]
fn a_clean_stop_wipes_secrets() {
    let mut stack = Stack::start();
    assert!(stack.project().path(".monprov/secrets/dev/reader").exists());
    assert_eq!(stack.up.interrupt(), Some(0));
    assert!(!stack.project().path(".monprov/secrets/dev").exists());
    let status = stack.project().run("status dev").succeeds();
    assert!(status.stderr.contains("nothing runs"), "{}", status.stderr);
    // And the next one starts what was current.
    let Stack { up, .. } = stack;
    let up = crate::support::up::Up::of("dev", up.project, &["--no-build"]);
    up.until_printed("current   generation 2");
}

#[test]
fn down_stops_all_wipes_secrets_and_keeps_generations() {
    let mut stack = Stack::start();
    stack.project().run("down dev").succeeds();
    assert_eq!(stack.up.ended(), Some(0));
    stack.up.nothing_remains();
    assert!(!stack.project().path(".monprov/secrets/dev").exists());
    assert!(stack.project().path(".monprov/data/dev/prometheus").exists());
    assert_eq!(stack.outcomes(), ["activated"]);
    let status = stack.project().run("status dev").succeeds();
    assert!(status.stderr.contains("nothing runs"), "{}", status.stderr);
}
