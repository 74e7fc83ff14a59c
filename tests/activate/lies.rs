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
