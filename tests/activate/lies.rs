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

/// Somebody edits what runs behind monprov's back: `status` says so.
#[test]
fn drift_is_seen_by_status() {
    let stack = Stack::start();
    // The daemon has another configuration than the bundle: it reloads a bundle that is not current.
    stack.write(&Profile { threshold: 900, ..Profile::default() });
    let built = stack.project().run("build dev --oracle off").succeeds();
    let name = built.last_line().rsplit('/').next().unwrap().to_owned();
    let live = stack.project().path(".monprov/run/dev/live");
    std::fs::remove_file(&live).unwrap();
    std::os::unix::fs::symlink(format!("../../store/{name}"), &live).unwrap();
    let url = format!("http://127.0.0.1:{}/-/reload", stack.prometheus);
    assert_eq!(crate::support::http::post(&url, "").unwrap().0, 200);

    let status = stack.project().run("status dev").exits(1);
    assert!(status.stderr.contains("drift"), "{}", status.stderr);
    assert!(
        status.stderr.contains("`Load` has the expression prometheus_tsdb_head_series > 900"),
        "{}",
        status.stderr
    );
    // And an activation of the current bundle mends it.
    stack.switch(&Profile::default(), "").succeeds();
    assert_eq!(stack.expression(), "prometheus_tsdb_head_series > 100");
}
