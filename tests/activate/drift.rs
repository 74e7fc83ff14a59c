//! What is not as it should be, and that `status` says so.

use std::path::Path;

use monprov::activate::process::State;

use super::{Profile, Stack};
use crate::support::http;

/// Both daemons reload what `live` would point to, and answer so.
fn reload_from(stack: &Stack, target: &Path, answer: u16) {
    let live = stack.project().path(".monprov/run/dev/live");
    let current = std::fs::read_link(&live).unwrap();
    let point = |target: &Path| {
        std::fs::remove_file(&live).unwrap();
        std::os::unix::fs::symlink(target, &live).unwrap();
    };
    point(target);
    for port in [stack.prometheus, stack.alertmanager] {
        assert_eq!(http::post(&format!("http://127.0.0.1:{port}/-/reload"), "").unwrap().0, answer);
    }
    point(&current);
}

/// Somebody changes what runs behind monprov's back: `status` says what, and a switch to what
/// is current mends it.
#[test]
fn another_configuration() {
    let stack = Stack::start();
    let changed = |threshold, severity, more: &str| Profile { threshold, severity, more: more.into() };
    for (other, seen) in [
        (
            changed(900, "warning", ""),
            "prometheus runs other rules: `Load` has the expression prometheus_tsdb_head_series > 900",
        ),
        (
            changed(100, "warning", "[scrapes.more]\ntargets = [\"127.0.0.1:1\"]\n"),
            "prometheus runs another configuration: scrape_configs has 1 entries, 2 run",
        ),
        (
            changed(100, "critical", ""),
            "alertmanager runs another configuration: route.routes[0].matchers[0]",
        ),
    ] {
        // The daemons reload a bundle that is not current.
        stack.write(&other);
        let built = stack.project().run("build dev --oracle off").succeeds();
        let name = built.last_line().rsplit('/').next().unwrap().to_owned();
        reload_from(&stack, format!("../../store/{name}").as_ref(), 200);

        let status = stack.project().run("status dev").exits(1);
        assert!(status.stderr.contains(seen), "{}", status.stderr);
        stack.switch(&Profile::default(), "").succeeds();
        assert_eq!(stack.expression(), "prometheus_tsdb_head_series > 100");
        stack.is_well();
    }
}

/// They run on with what they had, and say themselves that it is not what they were given.
#[test]
fn a_reload_that_failed() {
    let stack = Stack::start();
    for file in ["prometheus/prometheus.yml", "alertmanager/alertmanager.yml"] {
        stack.project().write(&format!("broken/{file}"), "nonsense: true");
    }
    reload_from(&stack, &stack.project().path("broken"), 500);
    let status = stack.project().run("status dev").exits(1);
    for service in ["prometheus", "alertmanager"] {
        let seen = format!("{service} did not take over its configuration");
        assert!(status.stderr.contains(&seen), "{}", status.stderr);
    }
    stack.switch(&Profile::default(), "").succeeds();
    stack.is_well();
}

#[test]
fn a_service_that_is_ill() {
    let stack = Stack::start();
    let moody = |threshold| Profile {
        threshold,
        more: "[services.moody]\nprogram = \"sh\"\nargs = [\"-c\", \"exec sleep 100000\"]\n\
               health = { command = [\"test\", \"!\", \"-e\", \"ill\"] }\n"
            .into(),
        ..Profile::default()
    };
    stack.switch(&moody(300), "").succeeds();
    stack.project().write(".monprov/ill", "");
    stack.up.until("moody", State::Unhealthy);
    let status = stack.project().run("status dev").exits(1);
    assert!(status.stderr.contains("drift     moody is unhealthy"), "{}", status.stderr);
    // One that got ill since blocks nothing.
    let switched = stack.switch(&moody(400), "").succeeds();
    assert!(switched.stderr.contains("moody is unhealthy"), "{}", switched.stderr);
    assert!(switched.stderr.contains(", as before"), "{}", switched.stderr);
}

#[test]
fn a_bundle_that_somebody_edited() {
    let stack = Stack::start();
    let live = std::fs::canonicalize(stack.project().path(".monprov/run/dev/live")).unwrap();
    let rules = live.join("prometheus/rules/default.yml");
    let text = std::fs::read_to_string(&rules).unwrap();
    std::fs::set_permissions(&rules, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    std::fs::write(&rules, text.replace("100", "900")).unwrap();
    let status = stack.project().run("status dev").exits(1);
    assert!(status.stderr.contains("the bundle on disk was changed: "), "{}", status.stderr);
    assert!(status.stderr.contains("prometheus/rules/default.yml"), "{}", status.stderr);
}

#[test]
fn a_supervisor_that_was_killed() {
    let mut stack = Stack::start();
    stack.up.daemon.kill();
    stack.up.nothing_remains();
    let status = stack.project().run("status dev").exits(1);
    for service in ["alertmanager", "prometheus", "reader"] {
        assert!(status.stderr.contains(&format!("drift     {service} does not run")), "{}", status.stderr);
    }
}
