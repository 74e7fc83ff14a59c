//! A proxy before the real program swallows reloads and answers 200. No change may get past it.

use super::{Profile, Stack};

/// Each change, and what must still run afterwards.
fn is_found_out(change: &Profile) {
    let stack = Stack::start();
    let (rules, routes) = (stack.expression(), stack.alertmanager_config());
    stack.lie(true);
    let failed = stack.switch(change, "").exits(5);
    assert!(failed.stderr.contains("none happened"), "{}", failed.stderr);
    assert!(failed.stderr.contains("generation 1 runs again"), "{}", failed.stderr);
    assert_eq!((stack.expression(), stack.alertmanager_config()), (rules, routes));
    stack.is_well();

    // Where nobody lies any more, the same change goes through.
    stack.lie(false);
    stack.switch(change, "--force").succeeds();
    assert_eq!(stack.outcomes(), ["activated", "restored", "activated"]);
    stack.is_well();
}

#[test]
fn about_a_threshold() {
    is_found_out(&Profile { threshold: 500, ..Profile::default() });
}

#[test]
fn about_a_route() {
    is_found_out(&Profile { severity: "critical", ..Profile::default() });
}

#[test]
fn about_an_annotation() {
    let more = "summary = \"{{ $value }} series\"\n".into();
    is_found_out(&Profile { more, ..Profile::default() });
}

/// Somebody changes what runs behind monprov's back: `status` says what, and a switch to what
/// is current mends it.
#[test]
fn drift_is_seen_by_status() {
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
        let live = stack.project().path(".monprov/run/dev/live");
        let current = std::fs::read_link(&live).unwrap();
        let point = |target: &std::path::Path| {
            std::fs::remove_file(&live).unwrap();
            std::os::unix::fs::symlink(target, &live).unwrap();
        };
        point(format!("../../store/{name}").as_ref());
        for port in [stack.prometheus, stack.alertmanager] {
            let answer = crate::support::http::post(&format!("http://127.0.0.1:{port}/-/reload"), "");
            assert_eq!(answer.unwrap().0, 200);
        }
        point(&current);

        let status = stack.project().run("status dev").exits(1);
        assert!(status.stderr.contains(seen), "{}", status.stderr);
        stack.switch(&Profile::default(), "").succeeds();
        assert_eq!(stack.expression(), "prometheus_tsdb_head_series > 100");
        stack.is_well();
    }
}
