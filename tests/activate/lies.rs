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

/// What no target shows.
#[test]
fn about_relabelling() {
    is_found_out(&relabelled());
}

fn relabelled() -> Profile {
    let more = "[[scrapes.prometheus.metric_relabel]]\nsource_labels = [\"__name__\"]\n\
                regex = \"go_.*\"\naction = \"drop\"\n";
    Profile { more: more.into(), ..Profile::default() }
}

/// The proxy says in the metrics that the last reload has just succeeded. What the daemons print
/// of their configuration and rules gives it away.
#[test]
fn with_forged_metrics() {
    let stack = Stack::start();
    stack.lie(true);
    stack.project().write(".monprov/forge", "");
    for (change, seen) in [
        (Profile { threshold: 500, ..Profile::default() }, "prometheus runs other rules: `Load`"),
        (relabelled(), "prometheus runs another configuration: scrape_configs[0].metric_relabel_configs"),
        (
            Profile { severity: "critical", ..Profile::default() },
            "alertmanager runs another configuration: route.routes[0].matchers[0]",
        ),
    ] {
        let failed = stack.switch(&change, "").exits(5);
        assert!(failed.stderr.contains(seen), "{}", failed.stderr);
        stack.is_well();
    }
}
